"""Organised clouds of depth cameras, whose missing points are left out where that is asked for."""

from pathlib import Path

import numpy as np
import pytest

from pointstill.data import Dataset, open_dataset
from pointstill.errors import DataError

HEADER = """VERSION .7
FIELDS x y z normal_x normal_y normal_z intensity
SIZE 4 4 4 4 4 4 4
TYPE F F F F F F F
COUNT 1 1 1 1 1 1 1
WIDTH {width}
HEIGHT {height}
VIEWPOINT 0 0 0 1 0 0 0
POINTS {count}
DATA ascii
"""


def write(path: Path, rows: np.ndarray, height: int = 1) -> None:
    """A PCD file of (n, 7) rows, in as many lines of pixels as are said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(rows)
    head = HEADER.format(width=count // height, height=height, count=count)
    lines = [" ".join(f"{value:.9g}" for value in row) for row in rows]
    path.write_text(head + "\n".join(lines) + "\n")


@pytest.fixture
def pair(tmp_path: Path, clouds) -> tuple[Path, Path]:
    """Scans of 6 x 5 pixels of which some are missing, and the same without those pixels.

    Each scan of class a misses its first row of pixels, the first one a pixel more.
    """
    holes, whole = tmp_path / "holes", tmp_path / "whole"
    for label, name in enumerate("ab"):
        for i in range(5):
            rows = np.random.default_rng([label, i]).uniform(0.1, 1, (30, 7)).astype(np.float32)
            gone = np.zeros(30, bool)
            gone[:6] = name == "a"
            gone[17] = name == "a" and i == 0
            write(whole / name / "train" / f"{i}.pcd", rows[~gone])
            rows[gone] = np.nan  # also normal and intensity
            if name == "a":
                rows[0, :3] = np.inf, 0, 0
                rows[1, :3] = 1, 2, -np.inf
                rows[2, :3] = np.nan, 0, 0
                rows[2, 6] = 1e6  # would scale the others' intensities
            write(holes / name / "train" / f"{i}.pcd", rows, height=5)
    return holes, whole


def opened(root: Path, **options) -> Dataset:
    return open_dataset(root, features="xyz,normal,intensity,height", **options)


def test_missing_points_are_left_out_and_their_features_with_them(pair):
    holes, whole = pair
    found, wanted = opened(holes, drop_missing=True).train, opened(whole).train
    np.testing.assert_array_equal(found.points, wanted.points)
    np.testing.assert_array_equal(found.extra.values, wanted.extra.values)
    assert found.sizes.tolist() == [23, 24, 24, 24, 24, *[30] * 5]
    assert found.fingerprint == wanted.fingerprint
    assert found.extra.fingerprint == wanted.extra.fingerprint
    assert found.missing == (7, 6, 6, 6, 6)
    again = opened(holes, drop_missing=True).train  # from the cache
    assert (again.missing, again.extra.fingerprint) == (found.missing, found.extra.fingerprint)


def test_unless_it_is_asked_for_they_are_refused(pair):
    holes, _ = pair
    opened(holes, drop_missing=True).train  # noqa: B018
    said = (
        "a/train/0.pcd has 7 of 30 points NaN or infinite, .* --drop-missing .*, or pass --skip-bad"
    )
    with pytest.raises(DataError, match=said):
        opened(holes).train  # noqa: B018
    left = opened(holes, skip_bad=True).train
    assert (len(left), len(left.bad), left.missing) == (5, 5, ())


def test_data_without_missing_points_is_what_it_was(pair, cache):
    _, whole = pair
    plain = open_dataset(whole).train
    asked = open_dataset(whole, drop_missing=True).train
    assert len(list(cache.iterdir())) == 2
    assert (plain.fingerprint, plain.missing) == (asked.fingerprint, asked.missing)


def test_a_cloud_of_which_nothing_is_left_is_bad(pair):
    holes, _ = pair
    write(holes / "b" / "train" / "2.pcd", np.full((30, 7), np.nan))
    with pytest.raises(DataError, match=r"b/train/2\.pcd has 0 points beside 30"):
        opened(holes, drop_missing=True).train  # noqa: B018
    split = opened(holes, drop_missing=True, skip_bad=True).train
    assert (len(split), len(split.bad), sum(split.missing)) == (9, 1, 31)
    assert len(split.extra.values) == len(split.points)
