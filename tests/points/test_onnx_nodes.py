import torch

from pointstill.models.layers.nearest_neighbours import rows
from pointstill.points.onnx_nodes import divided


class Both(torch.nn.Module):
    def forward(self, tables: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rows(tables, tables.argmax(1, keepdim=True)[..., :1]), divided(
            torch.arange(9) * tables.shape[1], 7
        )


def test_in_a_graph_they_are_one_node_with_the_same_result() -> None:
    import onnxruntime

    torch.manual_seed(0)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("n")}
    program = torch.onnx.export(
        Both(), (torch.rand(2, 5, 4),), dynamo=True, dynamic_shapes=(sizes,), verbose=False
    )
    assert program is not None
    nodes = [node.op_type for node in program.model_proto.graph.node]
    assert nodes.count("GatherND") == nodes.count("Div") == 1
    assert not {"Mod", "Sub", "Add"} & {*nodes}
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for batch, n in ((1, 3), (4, 8), (3, 100)):
        tables = torch.rand(batch, n, 4)
        name = session.get_inputs()[0].name
        found = session.run(None, {name: tables.numpy()})
        for mine, wanted in zip(found, Both()(tables), strict=True):
            assert mine.tolist() == wanted.tolist()


def test_a_row_of_each_table() -> None:
    tables = torch.arange(24.0).view(2, 4, 3)
    places = torch.tensor([[[3]], [[1]]])
    assert rows(tables, places).tolist() == [[[9, 10, 11]], [[15, 16, 17]]]
    assert divided(torch.tensor([0, 6, 7, 20]), 7).tolist() == [0, 0, 1, 2]
