"""Centre and radius against a loop over clouds in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pointstill.augment import normalize
from pointstill.points.strays import STRETCHES, spread


def oracle(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    rows = []
    for start, stop in pairwise(offsets):
        cloud = points[start:stop].astype(np.float64)
        centre = cloud.mean(axis=0)
        rows.append([*centre, np.linalg.norm(cloud - centre, axis=1).max()])
    return np.array(rows)


def test_equals_the_loop(ragged):
    points, offsets = ragged()
    parameters = normalize.sample(points, offsets).parameters
    assert parameters.shape == (7, 4)
    assert parameters.dtype == np.float32
    np.testing.assert_allclose(parameters, oracle(points, offsets), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("chunk", [1, 2, 8, 39, 40, 41, 48, 333, 10_000])
def test_the_chunk_does_not_matter(ragged, chunk):
    points, offsets = ragged()
    points[50] = 900  # a stray of the third cloud
    for version in (1, 2):
        whole = normalize.sample(points, offsets, version)
        found = normalize.sample(points, offsets, version, chunk)
        np.testing.assert_array_equal(found.parameters, whole.parameters)
        assert found.strays == whole.strays == ({2: [2]} if version > 1 else {})


def test_a_cloud_far_away_keeps_its_digits(ragged):
    points, offsets = ragged((500, 70))
    away = points + np.float32(100)  # what a data set leaves as it is: up to 10 diagonals
    expected = oracle(away, offsets)
    np.testing.assert_allclose(normalize.sample(away, offsets).parameters, expected, rtol=2e-6)
    radius = torch.from_numpy(normalize.sample(away, offsets).parameters)
    result = normalize.apply(torch.from_numpy(away[None, 500:]), radius[1:])
    assert result.norm(dim=2).max().item() == pytest.approx(1, abs=1e-6)


def test_memory_mapped_points_are_read(ragged, tmp_path):
    points, offsets = ragged()
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        normalize.sample(mapped, offsets, chunk=50).parameters,
        normalize.sample(points, offsets).parameters,
    )


def test_apply_equals_the_loop(points):
    parameters = torch.tensor([[0.5, -1, 2, 3], [0, 0, 0, 1], [1, 1, 1, 0.5]])
    result = normalize.apply(points[:3], parameters)
    for i, (x, y, z, radius) in enumerate(parameters.tolist()):
        for point, got in zip(points[i].tolist(), result[i].tolist(), strict=True):
            expected = [(point[0] - x) / radius, (point[1] - y) / radius, (point[2] - z) / radius]
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_cloud_fills_the_unit_sphere(ragged):
    points, offsets = ragged()
    parameters = torch.from_numpy(normalize.sample(points, offsets).parameters)
    for i in range(7):
        cloud = torch.from_numpy(points[offsets[i] : offsets[i + 1]])
        result = normalize.apply(cloud[None], parameters[i : i + 1])[0]
        assert result.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
        assert result.norm(dim=1).max().item() == pytest.approx(1, abs=1e-6)


def test_whole_agrees(ragged):
    points, offsets = ragged((64,) * 5)
    clouds = torch.from_numpy(points).reshape(5, 64, 3)
    parameters = torch.from_numpy(normalize.sample(points, offsets).parameters)
    expected = normalize.apply(clouds, parameters)
    np.testing.assert_allclose(normalize.unit_sphere(clouds), expected, atol=2e-6, rtol=0)
    found, kept = normalize.without_strays(clouds)
    assert kept.all()
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("unit", [1e-35, 1e-25, 1e19, 1e38])
def test_whole_takes_any_unit(ragged, unit):
    points, _ = ragged((64,) * 5)
    points /= np.abs(points).max()
    away = points.reshape(5, 64, 3).astype(np.float64)
    away -= away.mean(axis=1, keepdims=True)
    expected = away / np.linalg.norm(away, axis=2).max(axis=1)[:, None, None]
    clouds = torch.from_numpy((points.astype(np.float64) * unit).astype(np.float32))
    clouds = clouds.reshape(5, 64, 3)
    for found in (normalize.unit_sphere(clouds), normalize.without_strays(clouds)[0]):
        np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)


def with_strays(clouds: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds (S, n, 3) of which one to ten points are 2 to 10,000 radii away, and which: (S, n)."""
    draw = np.random.default_rng(seed)
    clouds, strays = clouds.copy(), np.zeros(clouds.shape[:2], np.bool_)
    for cloud, stray in zip(clouds, strays, strict=True):
        middle = cloud.mean(axis=0)
        radius = np.linalg.norm(cloud - middle, axis=1).max()
        places = draw.permutation(len(cloud))[: draw.integers(1, 11)]
        away = draw.normal(size=(len(places), 3))
        away *= radius * draw.choice([2, 3, 10, 1e4]) / np.linalg.norm(away, axis=1)[:, None]
        cloud[places], stray[places] = middle + away, True
    return clouds, strays


@pytest.fixture(scope="module")
def bumpy() -> np.ndarray:
    """Clouds (100, 1500, 3) of lopsided shells."""
    draw = np.random.default_rng(0)
    away = draw.normal(size=(100, 1500, 3))
    away /= np.linalg.norm(away, axis=2, keepdims=True)
    radius = 1 + 0.3 * np.sin(3 * away[..., :1]) + 0.2 * away[..., 1:2]
    return (away * radius * (2, 1, 3) + (5, -3, 1)).astype(np.float32)


def test_strays_are_left_out_and_all_else_is_as_without_them(bumpy):
    clouds, strays = with_strays(bumpy, 1)
    offsets = np.arange(101) * 1500
    parameters, found_strays = normalize.sample(clouds.reshape(-1, 3), offsets)
    assert sorted(found_strays) == list(range(100))
    for number, stray in enumerate(strays):
        np.testing.assert_array_equal(found_strays[number], np.flatnonzero(stray))
    bodies = [cloud[~stray] for cloud, stray in zip(clouds, strays, strict=True)]
    expected = oracle(np.concatenate(bodies), np.cumsum([0, *map(len, bodies)]))
    np.testing.assert_allclose(parameters, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [16, 100, 1000, 1500])
def test_the_graph_leaves_out_the_same(bumpy, count):
    clouds, _ = with_strays(bumpy[:, :count], 2)
    parameters, found_strays = normalize.sample(clouds.reshape(-1, 3), np.arange(101) * count)
    found, there = normalize.without_strays(torch.from_numpy(clouds))
    assert found_strays or count == 16  # where ten strays are most of the shape
    expected = normalize.apply(torch.from_numpy(clouds), torch.from_numpy(parameters))
    for number in range(100):
        places = np.delete(np.arange(count), found_strays.get(number, np.array([], int)))
        assert there[number].nonzero().flatten().tolist() == places.tolist()
        np.testing.assert_allclose(
            found[number, places], expected[number, places], atol=4e-6, rtol=0
        )


def test_version_1_keeps_all(bumpy):
    clouds, _ = with_strays(bumpy, 1)
    parameters, found_strays = normalize.sample(clouds.reshape(-1, 3), np.arange(101) * 1500, 1)
    assert not found_strays
    expected = oracle(clouds.reshape(-1, 3), np.arange(101) * 1500)
    np.testing.assert_allclose(parameters, expected, rtol=1e-6, atol=1e-6)
    plain = normalize.sample(bumpy.reshape(-1, 3), np.arange(101) * 1500)
    first = normalize.sample(bumpy.reshape(-1, 3), np.arange(101) * 1500, 1)
    assert not plain.strays
    np.testing.assert_array_equal(plain.parameters, first.parameters)  # of clean clouds: to the bit


@pytest.mark.parametrize("n", [16, 511, 512, 1000, 28_100, 1_000_003, 9_999_991])
def test_the_graph_has_the_places_of_the_rule(n: int) -> None:
    found = normalize._spread(torch.empty(1, 1, 3).expand(1, n, 3))
    assert found.tolist() == spread(STRETCHES, n).tolist()
