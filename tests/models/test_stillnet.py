import pytest
import torch

from pointstill.models import build_model
from pointstill.models.stillnet import Block, loose_strides, pick_centroids, repeats, strides
from pointstill.points.zorder import along_curve


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


def farthest_in_a_loop(points: torch.Tensor, m: int) -> list[int]:
    picks = [0]
    while len(picks) < m:
        gaps = [min(float((p - points[i]).norm()) for i in picks) for p in points]
        picks.append(gaps.index(max(gaps)))
    return picks


def test_centroids_are_farthest_points_among_candidates() -> None:
    torch.manual_seed(0)
    clouds = torch.rand(2, 90, 3, dtype=torch.float64)
    for cloud, centroids in zip(clouds, pick_centroids(clouds, 8)[0], strict=True):
        assert torch.equal(centroids, cloud[farthest_in_a_loop(cloud, 8)])


def test_candidates_come_at_equal_strides_along_the_curve() -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-n", 6).eval()
    cloud = torch.rand(1, 768, 3)
    ordered = cloud[:, along_curve(cloud)[0]]
    with torch.inference_mode():
        wanted = model.classify(cloud, ordered[:, ::3])
        assert torch.equal(model(cloud), wanted)
        torch.testing.assert_close(model.in_order(ordered), wanted)


def test_candidates_change_in_training_within_their_stretch() -> None:
    torch.manual_seed(0)
    cloud = torch.rand(3, 700, 3)
    places = loose_strides(cloud, 256)
    fixed = strides(cloud, 256)
    behind = torch.cat([fixed[1:], torch.tensor([700])])
    assert bool(((places >= fixed) & (places <= behind)).all())
    assert not torch.equal(places[0], places[1])
    assert torch.equal(
        loose_strides(cloud[:, :100], 256), strides(cloud[:, :100], 256).repeat(3, 1)
    )


def test_with_fewer_points_than_centroids_all_are_taken_equally_often() -> None:
    torch.manual_seed(0)
    cloud = torch.rand(1, 32, 3)
    centroids, again = pick_centroids(cloud.repeat(1, 8, 1), 64)
    found, counts = centroids[0].unique(dim=0, return_counts=True)
    assert again.tolist() == [[False] * 32 + [True] * 32]
    assert torch.equal(found, cloud[0].unique(dim=0))
    assert counts.tolist() == [2] * 32


@pytest.mark.parametrize("name", ["stillnet-n", "stillnet-s", "stillnet-m"])
def test_the_order_of_points_does_not_matter(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, 6).eval()
    cloud = torch.randn(1, 500, 3)
    orders = [cloud[:, torch.randperm(500)] for _ in range(3)]
    with torch.inference_mode():
        wanted = model(cloud)
        for reordered in orders:
            torch.testing.assert_close(model(reordered), wanted)


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("count", [16, 40, 100, 256])
def test_a_point_that_is_drawn_again_changes_nothing(count: int, channels: int) -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-m", 6, channels).eval()
    cloud = torch.rand(2, count, channels)
    with torch.inference_mode():
        wanted = model(cloud.repeat(1, 2, 1))
        torch.testing.assert_close(model(cloud.repeat(1, 8, 1)), wanted)
        model.distinct = False  # as students of old
        assert not model(cloud.repeat(1, 8, 1)).allclose(wanted, rtol=1e-2)


def test_points_that_differ_in_a_channel_alone_are_no_repetition() -> None:
    cloud = torch.zeros(1, 4, 5)
    cloud[0, 2:, 4] = 1
    assert repeats(cloud).tolist() == [[False, True, False, True]]


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
            told = clouds[b, i] + block.norm(message[None])[0]
            torch.testing.assert_close(out[b, i], told + block.mix(told[None])[0])


def test_several_members_answer_with_the_mean_of_their_logits() -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-m", 6).eval()
    cloud = torch.rand(3, 200, 3)
    with torch.inference_mode():
        together = model(cloud)
        apart = []
        for member in list(model.members):
            model.members = torch.nn.ModuleList([member])
            apart.append(model(cloud))
    assert len(apart) == 2
    assert not torch.allclose(*apart)
    torch.testing.assert_close(together, (apart[0] + apart[1]) / 2)


def test_each_member_learns_from_its_own_share_of_a_batch() -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-m", 6)
    logits = model(torch.rand(5, 200, 3))  # shares of 3 and 2
    assert logits.shape == (5, 6)
    logits[:3].sum().backward()
    with_gradient = [
        any(p.grad is not None and bool(p.grad.any()) for p in member.parameters())
        for member in model.members
    ]
    assert with_gradient == [True, False]


def test_a_batch_too_small_to_share_goes_to_all_members() -> None:
    torch.manual_seed(0)
    model = build_model("stillnet-m", 6)
    model(torch.rand(3, 200, 3)).square().sum().backward()
    assert all(
        any(p.grad is not None and bool(p.grad.any()) for p in member.parameters())
        for member in model.members
    )


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

    for _ in range(60):
        points, labels = draw(16)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(points), labels).backward()
        optimiser.step()
    points, labels = draw(64)
    with torch.inference_mode():
        assert (model.eval()(points).argmax(1) == labels).float().mean() > 0.9
