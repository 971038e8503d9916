import numpy as np
import torch
from scipy.spatial import cKDTree

from pointstill.models.layers.nearest_neighbours import gather, k_nearest


def test_nearest_agrees_with_a_tree() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(3, 200, 5, generator=generator, dtype=torch.float64)
    queries = torch.rand(3, 40, 5, generator=generator, dtype=torch.float64)
    found = k_nearest(queries, points, 7).sort(-1).values
    for b in range(3):
        _, expected = cKDTree(points[b].numpy()).query(queries[b].numpy(), 7)
        np.testing.assert_array_equal(found[b].numpy(), np.sort(expected, 1))


def test_a_point_is_its_own_neighbour() -> None:
    points = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(2))
    index = k_nearest(points, points, 4)
    assert (index == torch.arange(50)[None, :, None]).any(-1).all()


def test_gather_takes_from_the_right_cloud() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(3, 10, 2, generator=generator, requires_grad=True)
    index = torch.randint(0, 10, (3, 4, 5), generator=generator)
    gathered = gather(values, index)
    for b, m, k in np.ndindex(3, 4, 5):
        assert torch.equal(gathered[b, m, k], values[b, index[b, m, k]])
    gathered.sum().backward()
    counts = torch.stack([torch.bincount(cloud.flatten(), minlength=10) for cloud in index])
    assert values.grad is not None
    assert torch.equal(values.grad, counts[..., None].expand(3, 10, 2).float())


def test_neighbours_are_found_in_float32_under_autocast() -> None:
    points = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(0))
    wanted = k_nearest(points, points, 8).sort(-1).values
    with torch.autocast("cpu", torch.bfloat16):
        found = k_nearest(points, points, 8).sort(-1).values
    assert torch.equal(found, wanted)


def test_recorded_and_eager_find_the_same() -> None:
    """Eager on a CPU is NumPy's code, what is recorded for ONNX or TorchScript is torch's."""

    class Search(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return k_nearest(points[:, ::4], points, 9).sort(-1).values

    generator = torch.Generator().manual_seed(4)
    example, other = (torch.rand(2, 120, 3, generator=generator) for _ in range(2))
    eager = Search()(other)
    for recorded in (
        torch.export.export(Search(), (example,)).module(),
        torch.jit.trace(Search(), (example,)),
    ):
        assert torch.equal(recorded(other), eager)
