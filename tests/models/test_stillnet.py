import pytest
import torch

from pointstill.models import build_model
from pointstill.models.stillnet import Block, strided


@pytest.mark.parametrize(
    ("name", "most"), [("stillnet-n", 60_000), ("stillnet-s", 140_000), ("stillnet-m", 250_000)]
)
def test_size(name: str, most: int) -> None:
    assert sum(p.numel() for p in build_model(name, 40).parameters()) <= most


@pytest.mark.parametrize("n", [32, 63, 64, 100, 1024, 3000])
def test_any_number_of_points(n: int) -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-n", 6).eval()
    with torch.inference_mode():
        logits = model(torch.rand(2, n, 3))
    assert logits.shape == (2, 6)
    assert logits.isfinite().all()


def test_centroids_are_evenly_strided_and_repeat_when_points_are_few() -> None:
    cpu = torch.device("cpu")
    assert strided(10, 4, cpu).tolist() == [0, 2, 5, 7]
    assert strided(2, 4, cpu).tolist() == [0, 0, 1, 1]
    assert strided(1000, 64, cpu).unique().numel() == 64


def test_repeated_points_are_no_problem() -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-n", 6)
    cloud = torch.rand(2, 4, 3).repeat(1, 50, 1)
    model(cloud).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_block_is_the_maximum_over_edges() -> None:
    """Linear, gather, max gives what an edge network written out in full gives."""
    torch.manual_seed(0)
    block = Block(8).double().eval()
    features = torch.rand(2 * 6, 8, dtype=torch.float64)
    centroids = torch.rand(2, 6, 3, dtype=torch.float64)
    index = torch.randint(0, 6, (2, 6, 4))
    out = block(features, centroids, index).view(2, 6, 8)
    clouds = features.view(2, 6, 8)
    for b in range(2):
        for i in range(6):
            edges = [
                block.value.weight @ clouds[b, j]
                + block.position.weight @ (centroids[b, j] - centroids[b, i])
                for j in index[b, i]
            ]
            message = torch.stack(edges).amax(0)
            update = block.mix(torch.relu(block.norm(message[None])))[0]
            torch.testing.assert_close(out[b, i], torch.relu(clouds[b, i] + update))


def test_learns_two_shapes() -> None:
    """Spheres and cylinders, freshly drawn, are told apart (running statistics lag some steps)."""
    torch.manual_seed(0)
    model = build_model("stillnet-n", 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        directions = torch.randn(count, 128, 3)
        labels = torch.arange(count) % 2
        sphere = directions / directions.norm(dim=2, keepdim=True)
        cylinder = directions / directions[..., :2].norm(dim=2, keepdim=True)
        cylinder[..., 2] = torch.rand(count, 128) * 2 - 1
        return torch.where(labels[:, None, None] == 0, sphere, cylinder), labels

    for _ in range(40):
        points, labels = draw(16)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(points), labels).backward()
        optimiser.step()
    points, labels = draw(64)
    with torch.inference_mode():
        assert (model.eval()(points).argmax(1) == labels).float().mean() > 0.9
