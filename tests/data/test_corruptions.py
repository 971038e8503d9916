"""ModelNet-C: each corruption has the parameters of the paper, and the same draw everywhere."""

import numpy as np
import pytest
from scipy import stats

from pointstill.data.corruptions import (
    CORRUPTIONS,
    DGCNN,
    LEVELS,
    corrupt,
    corruption_error,
    relative_corruption_error,
)


@pytest.fixture(scope="module")
def cloud():
    """1,024 points on a flattened sphere, within the unit sphere."""
    draw = np.random.default_rng(0).normal(size=(1024, 3))
    draw /= np.linalg.norm(draw, axis=1, keepdims=True)
    draw *= (1, 0.8, 0.5)
    return (draw / np.linalg.norm(draw, axis=1).max()).astype(np.float32)


def every(cloud, corruption, level, count=60):
    return [corrupt(cloud, corruption, level, f"0/{i}") for i in range(count)]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_draw_is_named_and_repeats(cloud, corruption, level):
    one = corrupt(cloud, corruption, level, "0/a")
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, corrupt(cloud, corruption, level, "0/a"))
    assert not np.array_equal(one, corrupt(cloud, corruption, level, "0/b"))


@pytest.mark.parametrize("level", LEVELS)
def test_counts(cloud, level):
    counts = {name: len(corrupt(cloud, name, level, "0/a")) for name in CORRUPTIONS}
    assert counts == {
        "scale": 1024,
        "jitter": 1024,
        "rotate": 1024,
        "drop-global": [768, 640, 512, 384, 256][level - 1],
        "drop-local": 1024 - 100 * level,
        "add-global": 1024 + 10 * level,
        "add-local": 1024 + 100 * level,
    }


@pytest.mark.parametrize("level", LEVELS)
def test_scale(cloud, level):
    most = [1.6, 1.7, 1.8, 1.9, 2.0][level - 1]
    ratios = []
    for points in every(cloud, "scale", level):
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)
        factors = points.std(axis=0) / cloud.std(axis=0)
        ratios.append(factors.max() / factors.min())
    assert max(ratios) < most**2
    assert max(ratios) > 0.6 * most**2


@pytest.mark.parametrize("level", LEVELS)
def test_jitter(cloud, level):
    steps = np.concatenate([(p - cloud).ravel() for p in every(cloud, "jitter", level, 10)])
    assert stats.kstest(steps / (0.01 * level), "norm").pvalue > 1e-3
    assert np.abs(steps).max() > 3.8 * 0.01 * level


@pytest.mark.parametrize("level", LEVELS)
def test_rotate(cloud, level):
    most = np.radians(6 * level)
    turns = []
    for points in every(cloud, "rotate", level):
        turn, *_ = np.linalg.lstsq(cloud, points, rcond=None)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
        turns.append(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    assert max(turns) < most * np.sqrt(3)
    assert max(turns) > 0.8 * most


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_dropped(cloud, level):
    known = {tuple(point) for point in cloud.tolist()}
    for corruption in ("drop-global", "drop-local"):
        for points in every(cloud, corruption, level, 3):
            left = {tuple(point) for point in points.tolist()}
            assert left <= known
            assert len(left) == len(points)
    # Globally, the rest is all over the shape; locally, whole neighbourhoods are gone.
    lost = [
        np.array([p for p in cloud.tolist() if tuple(p) not in set(map(tuple, q.tolist()))])
        for q in every(cloud, "drop-local", level, 3)
    ]
    apart = [
        np.linalg.norm(part[:, None] - part[None], axis=2) + np.eye(len(part)) for part in lost
    ]
    near = np.mean([each.min(axis=1).mean() for each in apart])
    everywhere = np.linalg.norm(cloud[:, None] - cloud[None], axis=2) + np.eye(1024)
    assert near < 1.3 * everywhere.min(axis=1).mean()


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_added(cloud, level):
    radii = []
    for points in every(cloud, "add-global", level):
        assert np.array_equal(points[:1024], cloud)
        radii.append(np.linalg.norm(points[1024:], axis=1))
    assert stats.kstest(np.concatenate(radii) ** 3, "uniform").pvalue > 1e-3
    for points in every(cloud, "add-local", level, 5):
        assert np.array_equal(points[:1024], cloud)
        added = points[1024:]
        assert np.linalg.norm(added, axis=1).max() < 1 + 1e-6
        away = np.linalg.norm(added[:, None] - cloud[None], axis=2).min(axis=1)
        assert away.max() < 0.125 * 6


def test_errors_are_those_of_dgcnn():
    half = {name: (1 + value) / 2 for name, value in DGCNN.items()}
    assert corruption_error(half)["mCE"] == pytest.approx(0.5)
    none_lost = dict.fromkeys(DGCNN, 0.9)
    assert relative_corruption_error(none_lost, 0.9)["RmCE"] == pytest.approx(0)
