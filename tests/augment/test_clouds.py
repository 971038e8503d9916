"""Clouds on a device: the points that were asked for, normalised by the full cloud."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pointstill.augment import Clouds, normalize


@pytest.fixture
def frames(ragged) -> list[np.ndarray]:
    """Each cloud, normalised in float64."""
    points, offsets = ragged()
    result = []
    for start, stop in pairwise(offsets):
        cloud = points[start:stop].astype(np.float64)
        cloud -= cloud.mean(axis=0)
        result.append(cloud / np.linalg.norm(cloud, axis=1).max())
    return result


def test_take_equals_the_loop(clouds, frames):
    shapes = [2, 0, 6, 2]
    indices = [[5, 332, 5], [39, 0, 1], [119, 7, 7], [0, 1, 2]]
    result = clouds.take(torch.tensor(shapes), torch.tensor(indices))
    assert result.dtype == torch.float32
    expected = [frames[shape][row] for shape, row in zip(shapes, indices, strict=True)]
    np.testing.assert_allclose(result, np.array(expected), atol=2e-6)


def z_order(cloud: np.ndarray) -> list[int]:
    cells = ((cloud / 4 + 0.5) * 1024).astype(int)
    words = [
        "".join(map("".join, zip(*(f"{c:010b}" for c in cell), strict=True))) for cell in cells
    ]
    return sorted(range(len(cloud)), key=lambda i: words[i])


def test_plain_strides_along_the_curve(ragged, clouds, frames):
    _, offsets = ragged()
    result = clouds.plain(torch.arange(7), 64)
    for number, (start, stop) in enumerate(pairwise(offsets)):
        n, order = stop - start, z_order(frames[number])
        if n == 64:
            order = list(range(64))  # taken as it is
        expected = frames[number][[order[i * n // 64] for i in range(64)]]
        np.testing.assert_allclose(result[number], expected, atol=2e-6)


def test_a_view_of_all_points_is_normalised_like_an_exported_student_does(ragged):
    points, offsets = ragged((50, 50))
    plain = Clouds(points, offsets).plain(torch.arange(2), 50)
    raw = torch.from_numpy(points).reshape(2, 50, 3)
    np.testing.assert_allclose(plain, normalize.whole(raw), atol=2e-6, rtol=0)


def test_sizes_and_length(clouds):
    assert len(clouds) == 7
    assert clouds.sizes.tolist() == [40, 8, 333, 57, 64, 9, 120]
    assert clouds.starts.tolist() == [0, 40, 48, 381, 438, 502, 511]


def test_memory_mapped_points_are_copied(ragged, tmp_path, clouds):
    points, offsets = ragged()
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    shapes, indices = torch.tensor([1, 4]), torch.tensor([[0, 7], [1, 63]])
    there = Clouds(mapped, offsets)
    assert torch.equal(there.take(shapes, indices), clouds.take(shapes, indices))
    there.points.zero_()
    np.testing.assert_array_equal(mapped, points)
