"""Clouds on a device: the points that were asked for, normalised by the full cloud."""

import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pointstill.augment import Clouds, normalize
from pointstill.augment.clouds import _fits
from pointstill.points.features import Extra


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
    np.testing.assert_allclose(plain, normalize.unit_sphere(raw), atol=2e-6, rtol=0)


def test_sizes_and_length(clouds):
    assert len(clouds) == 7
    assert clouds.sizes.tolist() == [40, 8, 333, 57, 64, 9, 120]
    assert clouds.starts.tolist() == [0, 40, 48, 381, 438, 502, 511]


def test_no_view_shows_a_stray(ragged):
    """Of all others, the same views as of a cloud that never had them."""
    points, offsets = ragged((40, 100, 64))
    bad = np.array([0, 60, 61, 99]) + 40
    strewn = points.copy()
    strewn[bad] = [[900, 0, 0], [0, 50, 0], [60, 0, 0], [0, 0, 1e6]]
    found, whole = Clouds(strewn, offsets), Clouds(strewn, offsets, version=1)
    clean = Clouds(np.delete(points, bad, axis=0), np.array([0, 40, 136, 200]))
    assert found.sizes.tolist() == clean.sizes.tolist() == [40, 96, 64]
    assert whole.sizes.tolist() == [40, 100, 64]
    assert torch.equal(found.normalization, clean.normalization)
    shapes = torch.arange(3)
    every = torch.arange(96) % found.sizes[:, None]
    assert torch.equal(found.take(shapes, every), clean.take(shapes, every))
    assert torch.equal(found.plain(shapes, 64), clean.plain(shapes, 64))
    assert (
        whole.take(shapes[1:2], torch.tensor([[0, 60]])).norm(dim=2).max() < 0.02
    )  # pressed together


def test_memory_mapped_points_are_not_copied(ragged, tmp_path, clouds):
    points, offsets = ragged()
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    shapes, indices = torch.tensor([1, 4]), torch.tensor([[0, 7], [1, 63]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = Clouds(mapped, offsets)
    assert there.points.data_ptr() == mapped.ctypes.data
    assert torch.equal(there.take(shapes, indices), clouds.take(shapes, indices))
    assert torch.equal(there.plain(torch.arange(7), 50), clouds.plain(torch.arange(7), 50))


def test_clouds_of_a_split_have_all_that_it_was_opened_with(ragged):
    points, offsets = ragged()
    values = np.arange(2.0 * len(points), dtype=np.float32).reshape(-1, 2)
    extra = Extra(values, ("xyz", "intensity", "height"), "y", "f00d")
    clouds = Clouds.of(SimpleNamespace(points=points, offsets=offsets, extra=extra))
    assert (clouds.features, clouds.up, len(clouds)) == (("xyz", "intensity", "height"), "y", 7)
    seen = clouds.take(torch.tensor([2, 4]), torch.tensor([[0, 9], [63, 1]]))
    rows = offsets[[2, 4]][:, None] + [[0, 9], [63, 1]]
    np.testing.assert_array_equal(seen[..., 3], values[rows, 0])
    alone = Clouds.of(SimpleNamespace(points=points, offsets=offsets, extra=None))
    assert torch.equal(alone.take(torch.tensor([2]), torch.tensor([[0, 9]])), seen[:1, :, :3])


def test_points_that_a_gpu_has_no_room_for_stay_where_they_are(monkeypatch):
    """Asked of what CUDA would say, as there may be no GPU here."""
    gpu, free = torch.device("cuda"), {"cuda": 2000}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.type], 10**9))
    assert _fits(1000, gpu)
    free["cuda"] -= 1
    assert not _fits(1000, gpu)
    assert _fits(1000, torch.device("cpu"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_what_is_read_of_a_file_is_no_memory_of_ours(tmp_path):
    """Every point of 60 MB is read, and anonymous memory grows by far less."""

    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

    shapes, size = 10_000, 500
    file = np.lib.format.open_memmap(tmp_path / "p.npy", "w+", np.float32, (shapes * size, 3))
    file[:] = np.random.default_rng(0).random(3, np.float32)
    file[::2] += 1  # half in one place, half in another: none is a stray
    del file
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    before = anonymous()
    clouds = Clouds(mapped, np.arange(shapes + 1) * size)
    for some in torch.arange(shapes).split(100):
        clouds.take(some, torch.arange(size).expand(100, -1))
    assert anonymous() - before < mapped.nbytes / 4
