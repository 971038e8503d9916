import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from pointstill.points.zorder import SIDE, SPREAD, along_curve


def test_curve_interleaves_the_digits_of_the_cells() -> None:
    torch.manual_seed(0)
    cells = torch.randint(0, 1024, (50, 3))
    codes = []
    for x, y, z in cells.tolist():
        digits = zip(f"{x:010b}", f"{y:010b}", f"{z:010b}", strict=True)
        codes.append(int("".join("".join(triple) for triple in digits), 2))
    inside = ((cells + 0.5) / 1024 - 0.5) * SIDE
    order = along_curve(inside[None])[0].tolist()
    assert order == sorted(range(50), key=codes.__getitem__)


def test_the_order_in_which_points_come_does_not_matter() -> None:
    torch.manual_seed(0)
    cloud = torch.rand(1, 300, 3)
    mixed = cloud[:, torch.randperm(300)]
    assert torch.equal(cloud[0, along_curve(cloud)[0]], mixed[0, along_curve(mixed)[0]])


def test_a_part_of_a_cloud_is_in_the_order_of_the_whole() -> None:
    torch.manual_seed(0)
    cloud = torch.randn(1, 300, 3)  # a few points lie outside the cube
    part = cloud[:, along_curve(cloud)[0]][:, ::7]
    assert along_curve(part)[0].tolist() == list(range(part.shape[1]))


def test_points_in_one_place_keep_their_order() -> None:
    assert along_curve(torch.ones(2, 5, 3)).tolist() == [[0, 1, 2, 3, 4]] * 2


def test_the_order_is_that_of_a_key_with_the_index_below() -> None:
    """As the order was computed before: the same of equal points, too."""
    torch.manual_seed(0)
    for count in (8, 64, 1024, 5000):
        cloud = torch.randn(3, count, 3) * 0.5
        cloud[1] = (cloud[1] * 8).round() / 8  # many in one place
        cells = ((cloud / SIDE + 0.5) * 1024).clamp(0, 1023).long()
        spread = torch.tensor(SPREAD)[cells]
        places = 4 * spread[..., 0] + 2 * spread[..., 1] + spread[..., 2]
        key = places * count + torch.arange(count)
        assert torch.equal(along_curve(cloud), key.argsort(1))


class Order(nn.Module):
    def forward(self, points: Tensor) -> Tensor:
        return along_curve(points)


def test_the_order_in_onnx_is_the_same_and_needs_32_bits() -> None:
    """Of equal points too: TopK, which the sort becomes, gives the lower index first."""
    torch.manual_seed(0)
    clouds = torch.randn(2, 300, 3)
    free = {"points": {0: torch.export.Dim("b"), 1: torch.export.Dim("n", min=32)}}
    program = torch.onnx.export(
        Order().eval(), (clouds,), dynamo=True, dynamic_shapes=free, verbose=False
    )
    assert program is not None
    graph = onnx.shape_inference.infer_shapes(program.model_proto).graph
    (sort,) = (node for node in graph.node if node.op_type == "TopK")
    types = {each.name: each.type.tensor_type.elem_type for each in graph.value_info}
    assert types[sort.input[0]] == onnx.TensorProto.INT32
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for count in (32, 300, 1024):
        for grid in (1000, 8, 1):  # few to all points in one place
            cloud = (torch.rand(2, count, 3) * grid).floor() / grid
            (found,) = session.run(None, {session.get_inputs()[0].name: cloud.numpy()})
            np.testing.assert_array_equal(found, along_curve(cloud).numpy())
