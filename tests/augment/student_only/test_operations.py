"""What a student alone sees: each operation, and what is common to them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from pointstill.augment.student_only import STUDENT_ONLY, StudentOnly
from pointstill.augment.student_only.holes import Holes
from pointstill.augment.student_only.noise import Noise
from pointstill.augment.student_only.sparse import Sparse
from pointstill.augment.student_only.strays import Strays
from pointstill.errors import UsageError

SHAPES = torch.arange(400)
MOVING = [name for name in STUDENT_ONLY if name != "mute"]
"""Those that act on points; of the other see `tests/test_with_channels.py`."""


@pytest.fixture(scope="module")
def balls():
    """(400, 64, 3) points in the unit ball."""
    draw = torch.Generator().manual_seed(1)
    points = torch.randn(400, 64, 3, generator=draw)
    return points / points.norm(dim=2).amax(1)[:, None, None]


@pytest.fixture
def draws(words):
    """Words for 400 shapes of 64 points."""
    return lambda operation: words(400, operation.lanes(64))


def test_strays_are_few_and_anywhere_up_to_the_farthest(balls, draws):
    operation = Strays(most=0.2, chance=1.0)
    moved, whose = operation.apply(balls, draws(operation))
    assert whose is None
    strays = (moved != balls).any(dim=2)
    share = strays.double().mean(dim=1)
    assert share.mean() == pytest.approx(0.1, abs=0.01)
    assert share.max() < 0.2 + 4 * math.sqrt(0.2 * 0.8 / 64)
    away = moved[strays].norm(dim=1).double()
    log = torch.log(away / 0.25) / math.log(1.5 / 0.25)
    assert stats.kstest(log, "uniform").pvalue > 1e-3
    assert stats.kstest((moved[strays][:, 2] / away).double(), "uniform", (-1, 2)).pvalue > 1e-3
    assert torch.equal(moved[~strays], balls[~strays])


def test_holes_equal_the_loop(balls, draws):
    operation = Holes(most=0.6, chance=1.0)
    bits = draws(operation)
    seen, whose = operation.apply(balls, bits)
    u = ((bits >> 8).double() / 2**24).numpy()
    holes = 0
    for b in range(400):
        lost = np.zeros(64, bool)
        for ball in range(3):
            where, radius, there = u[b, 1 + 3 * ball : 4 + 3 * ball]
            if there < 0.5:
                away = (balls[b] - balls[b, int(where * 64)]).double().norm(dim=1).numpy()
                deeper = lost | (away < 0.6 * radius)
                lost = deeper if (~deeper).sum() * 4 >= 64 else lost
        left = np.flatnonzero(~lost)
        expected = left[np.arange(64) % len(left)]
        assert whose[b].tolist() == expected.tolist()
        assert torch.equal(seen[b], balls[b, expected])
        holes += lost.any()
    assert 300 < holes < 400


def test_what_would_leave_nothing_is_no_hole(balls, draws):
    operation = Holes(most=2.0, chance=1.0, count=20)
    _, whose = operation.apply(balls, draws(operation))
    assert min(len(row.unique()) for row in whose) >= 16


def test_sparse_keeps_the_first_and_repeats_them_as_deployment_does(balls, draws):
    operation = Sparse(least=4, chance=1.0)
    seen, whose = operation.apply(balls, draws(operation))
    kept = whose.amax(dim=1) + 1
    assert kept.min() < 6
    assert kept.max() > 55
    log = torch.log(kept.double() / 4) / math.log(16)
    assert log.mean() == pytest.approx(0.5, abs=0.06)
    for b in range(400):
        n = int(kept[b])
        assert whose[b].tolist() == [i * n // 64 for i in range(64)]
        assert torch.equal(seen[b], balls[b, whose[b]])


def test_a_view_of_fewer_points_than_the_least_is_kept():
    operation = Sparse(chance=1.0)
    points = torch.randn(3, 5, 3)
    seen, _ = operation.apply(points, torch.zeros(3, 2, dtype=torch.int64))
    assert torch.equal(seen, points)


def test_noise_is_laplace_of_a_scale_of_its_own(balls, draws):
    operation = Noise(most=0.1, chance=1.0)
    bits = draws(operation)
    moved, whose = operation.apply(balls, bits)
    assert whose is None
    scale = 0.1 * (bits[:, 1] >> 8).double() / 2**24
    step = ((moved - balls).double() / scale[:, None, None])[scale > 0.01]
    assert stats.kstest(step.flatten(), "laplace").pvalue > 1e-3
    assert moved.isfinite().all()


@pytest.mark.parametrize("name", MOVING)
def test_every_operation_touches_a_share_of_the_views(name, balls, draws):
    operation = STUDENT_ONLY[name](chance=0.3)
    moved, _ = operation.apply(balls, draws(operation))
    touched = (moved != balls).flatten(1).any(dim=1).double().mean()
    assert 0.1 < touched < 0.38
    never = replace(operation, chance=0.0)
    assert torch.equal(never.apply(balls, draws(never))[0], balls)


@pytest.mark.parametrize("name", MOVING)
def test_the_draw_is_that_of_the_shape_and_the_epoch(name, balls):
    student = StudentOnly.of(f"{name}(chance=1)", 7)
    together = student.apply(balls, 3, SHAPES)
    assert together.shape == balls.shape
    alone = student.apply(balls[5:6], 3, SHAPES[5:6])
    torch.testing.assert_close(alone, together[5:6])
    assert not torch.equal(student.apply(balls, 4, SHAPES), together)
    assert not torch.equal(StudentOnly.of(f"{name}(chance=1)", 8).apply(balls, 3, SHAPES), together)


@pytest.mark.parametrize("name", STUDENT_ONLY)
def test_what_is_left_is_in_the_unit_sphere(name, balls):
    seen = StudentOnly.of(f"{name}(chance=1)", 7).apply(balls, 0, SHAPES)
    torch.testing.assert_close(seen.mean(dim=1), torch.zeros(400, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.norm(dim=2).amax(dim=1), torch.ones(400))


def test_features_go_with_their_points(balls):
    number = torch.arange(64.0).expand(400, 64)[..., None]
    points = torch.cat([balls, number], dim=2)
    features = ("xyz", "intensity")
    seen = StudentOnly.of("sparse(chance=1),holes(chance=1)", 1).apply(points, 0, SHAPES, features)
    alone = StudentOnly.of("sparse(chance=1),holes(chance=1)", 1).apply(balls, 0, SHAPES)
    assert torch.equal(seen[..., :3], alone)
    for b in range(0, 400, 40):
        own = seen[b, :, 3].long()
        kept = balls[b, own]
        kept = kept - kept.mean(dim=0)
        torch.testing.assert_close(seen[b, :, :3], kept / kept.norm(dim=1).max())


def test_two_of_one_kind_draw_apart(balls):
    one = StudentOnly.of("noise(chance=1)", 1).apply(balls, 0, SHAPES)
    two = StudentOnly.of("noise(chance=1),noise(chance=1)", 1).apply(balls, 0, SHAPES)
    assert not torch.isclose(one, two).all(dim=2).any(dim=1).all()


def test_none_changes_nothing(balls):
    for text in ("", "none"):
        assert StudentOnly.of(text, 0).apply(balls, 0, SHAPES) is balls


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale", "unknown augmentation 'scale': choose from strays, holes, sparse, noise, mute"),
        ("strays(most=2)", "strays has most=2: choose 0 to 1"),
        ("strays(near=9)", "strays has near=9: choose above 0 to 1.5"),
        ("strays(near=0)", "strays has near=0: choose above 0 to 1.5"),
        ("strays(near=0,far=0)", "strays has far=0: choose above 0 to 1e+06"),
        ("holes(most=-1)", "holes has most=-1: choose 0 to 2"),
        ("holes(count=2.5)", "holes has count=2.5: choose a whole number from 0 to 100"),
        ("sparse(least=0)", "sparse has least=0: choose 1 or more"),
        ("sparse(least=1.5)", "sparse has least=1.5: choose 1 or more"),
        ("noise(chance=2)", "noise has chance=2: choose 0 to 1"),
        ("noise(sigma=2)", "noise has no option 'sigma': choose from most, chance"),
    ],
)
def test_refused(text, said):
    with pytest.raises(UsageError) as caught:
        StudentOnly.of(text, 0)
    assert str(caught.value) == said
