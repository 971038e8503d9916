"""Centre and radius against a loop over clouds in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pointstill.augment import normalize


def oracle(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    rows = []
    for start, stop in pairwise(offsets):
        cloud = points[start:stop].astype(np.float64)
        centre = cloud.mean(axis=0)
        rows.append([*centre, np.linalg.norm(cloud - centre, axis=1).max()])
    return np.array(rows)


def test_equals_the_loop(ragged):
    points, offsets = ragged()
    parameters = normalize.sample(points, offsets)
    assert parameters.shape == (7, 4)
    assert parameters.dtype == np.float32
    np.testing.assert_allclose(parameters, oracle(points, offsets), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("chunk", [1, 2, 8, 39, 40, 41, 48, 333, 10_000])
def test_the_chunk_does_not_matter(ragged, chunk):
    points, offsets = ragged()
    expected = normalize.sample(points, offsets)
    np.testing.assert_array_equal(normalize.sample(points, offsets, chunk=chunk), expected)


def test_a_cloud_far_away_keeps_its_digits(ragged):
    points, offsets = ragged((500, 70))
    away = points + np.float32(100)  # what a data set leaves as it is: up to 10 diagonals
    expected = oracle(away, offsets)
    np.testing.assert_allclose(normalize.sample(away, offsets), expected, rtol=2e-6)
    radius = torch.from_numpy(normalize.sample(away, offsets))
    result = normalize.apply(torch.from_numpy(away[None, 500:]), radius[1:])
    assert result.norm(dim=2).max().item() == pytest.approx(1, abs=1e-6)


def test_memory_mapped_points_are_read(ragged, tmp_path):
    points, offsets = ragged()
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        normalize.sample(mapped, offsets, chunk=50), normalize.sample(points, offsets)
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
    parameters = torch.from_numpy(normalize.sample(points, offsets))
    for i in range(7):
        cloud = torch.from_numpy(points[offsets[i] : offsets[i + 1]])
        result = normalize.apply(cloud[None], parameters[i : i + 1])[0]
        assert result.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
        assert result.norm(dim=1).max().item() == pytest.approx(1, abs=1e-6)


def test_whole_agrees(ragged):
    points, offsets = ragged((64,) * 5)
    clouds = torch.from_numpy(points).reshape(5, 64, 3)
    expected = normalize.apply(clouds, torch.from_numpy(normalize.sample(points, offsets)))
    np.testing.assert_allclose(normalize.unit_sphere(clouds), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("unit", [1e-35, 1e-25, 1e19, 1e38])
def test_whole_takes_any_unit(ragged, unit):
    points, _ = ragged((64,) * 5)
    points /= np.abs(points).max()
    away = points.reshape(5, 64, 3).astype(np.float64)
    away -= away.mean(axis=1, keepdims=True)
    expected = away / np.linalg.norm(away, axis=2).max(axis=1)[:, None, None]
    clouds = torch.from_numpy((points.astype(np.float64) * unit).astype(np.float32))
    np.testing.assert_allclose(
        normalize.unit_sphere(clouds.reshape(5, 64, 3)), expected, atol=2e-6, rtol=0
    )
