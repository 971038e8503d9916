"""Sweeps of KITTI and nuScenes, written by NumPy, and what else may be called .bin."""

import struct

import numpy as np
import pytest

from pointstill.data.readers import read_cloud, read_table
from pointstill.errors import DataError


@pytest.fixture
def sweep() -> np.ndarray:
    """Points (40, 5) of nuScenes: x, y, z, intensity, ring."""
    draw = np.random.default_rng(0)
    points = draw.normal(size=(40, 3)) * 30
    return np.c_[points, draw.integers(0, 256, 40), np.arange(40) % 32].astype(np.float32)


def test_kitti_has_four_columns(sweep, tmp_path):
    path = tmp_path / "000042.bin"
    path.write_bytes(b"".join(struct.pack("<4f", *row[:4]) for row in sweep.tolist()))
    table = read_table(path, features=("intensity", "strength"), columns={"strength": "intensity"})
    np.testing.assert_array_equal(table["xyz"], sweep[:, :3])
    np.testing.assert_array_equal(table["intensity"], sweep[:, 3:4])
    np.testing.assert_array_equal(table["strength"], sweep[:, 3:4])
    assert list(read_table(path, features=None)) == ["xyz", "intensity"]


def test_nuscenes_has_five(sweep, tmp_path):
    path = tmp_path / "n015__LIDAR_TOP__1.PCD.bin"
    path.write_bytes(b"".join(struct.pack("<5f", *row) for row in sweep.tolist()))
    table = read_table(path, features=("ring",))
    np.testing.assert_array_equal(np.c_[table["xyz"], table["ring"]], sweep[:, [0, 1, 2, 4]])


def other(name):
    draw = np.random.default_rng(1)
    points = draw.normal(size=(40, 3)).astype("<f4")
    return {
        "three columns": points,
        "six columns": np.repeat(points, 2, axis=1),
        "float64": np.c_[points, points[:, :1]].astype("<f8"),
        "whole numbers": draw.integers(0, 200, (40, 4)).astype("<i4"),
        "letters": np.frombuffer(b"{'a': 1, 'b': 22}" * 16, np.uint8),
        "missing": np.full((40, 4), np.nan, "<f4"),
    }[name].tobytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("three columns", "looks like other columns, as intensity runs from -"),
        ("six columns", "looks like other columns, as intensity runs from -"),
        ("float64", "looks like"),
        ("whole numbers", "looks like whole numbers"),
        ("letters", "looks like something else"),
        ("missing", "looks like something else than float32, as some numbers are NaN"),
    ],
)
def test_other_numbers_are_not_taken_for_a_sweep(name, message, tmp_path):
    (tmp_path / "a.bin").write_bytes(other(name))
    with pytest.raises(DataError, match=rf"a\.bin {message}"):
        read_cloud(tmp_path / "a.bin")


@pytest.mark.parametrize("points", [40, 39])  # of which 40 are as many bytes as 50 of KITTI
def test_a_sweep_of_nuscenes_under_the_name_of_kitti(points, sweep, tmp_path):
    sweep[:points].tofile(tmp_path / "a.bin")
    with pytest.raises(DataError, match=r"nuScenes.*: call it \.pcd\.bin"):
        read_cloud(tmp_path / "a.bin")


def test_a_sweep_of_kitti_under_the_name_of_nuscenes(sweep, tmp_path):
    sweep[:, :4].tofile(tmp_path / "a.pcd.bin")
    with pytest.raises(DataError, match="looks like other columns"):
        read_cloud(tmp_path / "a.pcd.bin")


def test_one_that_is_cut_off(sweep, tmp_path):
    (tmp_path / "a.bin").write_bytes(sweep[:, :4].tobytes()[:-3])
    with pytest.raises(DataError, match="has 637 bytes, which are no points of 16: KITTI"):
        read_cloud(tmp_path / "a.bin")
