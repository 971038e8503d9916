import pytest
import torch

from pointstill.augment import outliers as module
from pointstill.augment.outliers import SHARES, outliers

LABELS = torch.arange(8) % 4


@pytest.fixture
def points() -> torch.Tensor:
    """Eight views of 64 points, (8, 64, 3)."""
    cloud = torch.randn(8, 64, 3, generator=torch.Generator().manual_seed(0))
    return cloud / cloud.norm(dim=2, keepdim=True).amax(dim=1, keepdim=True)


@pytest.fixture
def only(monkeypatch):
    """Make one kind alone."""

    def only(kind: str) -> None:
        monkeypatch.setattr(module, "SHARES", {name: float(name == kind) for name in SHARES})

    return only


@pytest.mark.parametrize("kind", SHARES)
def test_each_kind_fills_the_unit_sphere_and_follows_from_its_key(points, only, kind):
    only(kind)
    shapes = torch.arange(8)
    made = outliers(points, LABELS, 1, 2, shapes)
    assert made.shape == points.shape
    torch.testing.assert_close(made.mean(dim=1), torch.zeros(8, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.norm(dim=2).amax(dim=1), torch.ones(8))
    assert torch.equal(made, outliers(points, LABELS, 1, 2, shapes))
    assert not torch.equal(made, outliers(points, LABELS, 1, 3, shapes))


def test_two_halves_are_joined_at_a_plane(points):
    u = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    other = points.flip(0) + 0.01
    joined = module._mix(points, other, u)
    for row in range(8):
        mine = [(point == points[row]).all(dim=1).any() for point in joined[row]]
        theirs = [(point == other[row]).all(dim=1).any() for point in joined[row]]
        assert all(a or b for a, b in zip(mine, theirs, strict=True))
        along = (joined[row] @ module._direction(u)[row]) - 0.4 * (u[row, 2] - 0.5)
        assert ((along > -1e-6) == torch.tensor(mine)).all()
        assert any(mine)
        assert any(theirs)


def test_a_scramble_keeps_each_coordinate(points, only):
    u = torch.rand(8, 64, 3, generator=torch.Generator().manual_seed(1))
    made = module._scramble(points, u)
    assert torch.equal(made.sort(dim=1).values, points.sort(dim=1).values)
    assert not torch.equal(made, points)


def test_shapes_of_one_class_or_of_none_are_not_mixed(points, only, monkeypatch):
    only("mix")
    same = outliers(points, torch.zeros(8, dtype=torch.int64), 1, 2, torch.arange(8))
    unknown = outliers(points, torch.full((8,), -1), 1, 2, torch.arange(8))
    only("crush")
    crushed = outliers(points, LABELS, 1, 2, torch.arange(8))
    assert torch.equal(same, crushed)
    assert torch.equal(unknown, crushed)


def test_channels_go_with_the_points_of_a_mix(points, only):
    only("mix")
    numbered = torch.cat((points, torch.arange(8.0)[:, None, None].expand(8, 64, 1)), dim=2)
    made = outliers(numbered, torch.arange(8), 1, 2, torch.arange(8), ("xyz", "intensity"))
    assert made.shape == (8, 64, 4)
    assert any(len(made[row, :, 3].unique()) == 2 for row in range(8))


def test_a_trimmed_shape_is_within_a_box_and_on_its_faces(points):
    u = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    u[:, 2] = 0.1  # a level box, along x
    made, half = module._trim(points, u), module._between(u[:, 3:6], module.TRIMMED)
    assert (made.abs() <= half[:, None] + 1e-6).all()
    inside = (points.abs() <= half[:, None]).all(dim=2)
    torch.testing.assert_close(made[inside], points[inside])
    on_a_face = ((made.abs() - half[:, None]).abs() < 1e-6).any(dim=2)
    assert (on_a_face | inside).all()


def test_a_bloated_shape_keeps_its_directions(points):
    u = torch.full((8, 6), 0.9)  # from the middle
    made = module._bloat(points, u)
    cosine = (made * points).sum(2) / made.norm(dim=2) / points.norm(dim=2)
    torch.testing.assert_close(cosine, torch.ones(8, 64))
    power = 0.1 * 6**0.9
    torch.testing.assert_close(made.norm(dim=2), points.norm(dim=2) ** power)


def test_a_view_alone_has_no_partner(points):
    assert outliers(points[:1], LABELS[:1], 1, 2, torch.arange(1)).isfinite().all()
