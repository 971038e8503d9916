"""Strays: by a loop, and of lines of a scanner."""

import numpy as np
import pytest

from pointstill.points.strays import COUNT, STRETCHES, body, spread


def by_hand(cloud: np.ndarray) -> list[bool]:
    """The rule of clouds of a size that divides 512, or is a multiple of it, in words."""
    n = min(len(cloud), 512)
    golden = (5**0.5 - 1) / 2
    stretch = len(cloud) / n
    some = cloud[[int((i + round(i * golden, 4) % 1) * stretch) for i in range(n)]]

    def away(points: np.ndarray, middle: np.ndarray) -> list[float]:
        return [np.sqrt(((point - middle) ** 2).sum()) for point in points]

    distances = away(some, some.mean(axis=0))
    tenth = sorted(distances, reverse=True)[n // 10]
    near = [p for p, distance in zip(some, distances, strict=True) if distance <= tenth]
    middle = np.mean(near, axis=0)
    most = sorted(away(some, middle), reverse=True)
    return [d <= 1.7 * most[n // 50] and d <= 2.5 * most[n // 10] for d in away(cloud, middle)]


@pytest.mark.parametrize("count", [16, 64, 256, 512, 1024, 2048])
def test_the_rule_by_hand(count):
    draw = np.random.default_rng(count)
    clouds = draw.normal(size=(20, count, 3)) + 50
    clouds[:, : count // 50] *= draw.uniform(1, 3, (20, count // 50, 1))
    kept = body(clouds)
    for cloud, row in zip(clouds, kept, strict=True):
        assert row.tolist() == by_hand(cloud)
    assert not kept.all() or count < 50


def test_strays_at_several_scales_and_many_in_one_place():
    draw = np.random.default_rng(0)
    for far in ([1e6] + [5] * 9, [100] * 10, [30, 10, 10, 5, 5, 3]):
        cloud = draw.uniform(-1, 1, (1024, 3))
        cloud[: len(far)] = np.array(far)[:, None] * (3, 0, 0)
        np.testing.assert_array_equal(np.flatnonzero(~body(cloud[None])[0]), range(len(far)))


def test_places_are_spread_one_a_stretch_and_follow_no_line():
    numbers = np.arange(COUNT)
    for size in (16, 1000, 2048, 28_100, 16 * COUNT, 1 << 31):
        places = spread(STRETCHES, size)
        assert places.min() >= 0
        assert places.max() < size
        stretch = places * COUNT // size
        assert np.abs(stretch - numbers).max() <= COUNT / size + 1
    assert spread(STRETCHES, COUNT).tolist() == list(range(COUNT))
    lines = np.bincount(spread(STRETCHES, 16 * COUNT) % 16)  # a scanner of 16 lines, in turns
    assert lines.min() > 25


def test_a_tall_scan_of_16_lines_loses_nothing():
    angle = np.linspace(0, 2 * np.pi, 2048, endpoint=False)
    line = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    scan = np.concatenate(
        [np.c_[each[None].repeat(16, 0), np.linspace(0, 40, 16)] for each in line]
    )
    assert len(scan) == 16 * 2048
    assert body(scan[None]).all()
