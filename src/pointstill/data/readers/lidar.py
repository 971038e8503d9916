"""BIN: sweeps of lidars as KITTI and nuScenes keep them, numbers without a header.

What such a file holds is told by its name alone, so its numbers are looked at before they are
believed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted

KITTI = ("x", "y", "z", "intensity")
"""Columns of `*.bin`, float32, little-endian (Geiger et al., IJRR 2013, section 4)."""
NUSCENES = (*KITTI, "ring")
"""Those of `*.pcd.bin` (`LidarPointCloud.from_file` of nuscenes-devkit); ring: which laser."""
METRES = 1e4
"""Coordinates about a sensor are smaller."""
TINY = 1e-20
"""Whole numbers, taken for float32, are smaller."""
STRONGEST = 65535
"""Intensities are smaller: 0 to 1, 8 or 16 bits."""
_KINDS = "KITTI's .bin (float32 x, y, z, intensity) and nuScenes' .pcd.bin (and ring) are read"


def read_bin(path: Path, wanted: Wanted) -> Table:
    """Points (n, 3), intensity and, of nuScenes, ring.

    Raises:
        DataError: a size that is no number of points; numbers that are no sweep of a lidar.
    """
    names = NUSCENES if path.name.lower().endswith(".pcd.bin") else KITTI
    size, width = path.stat().st_size, 4 * len(names)
    if size % width:
        other = " but as nuScenes has them" if names is KITTI and not size % 20 else ""
        raise DataError(
            f"has {size:,} bytes, which are no points of {width}{other}",
            fix="call it .pcd.bin" if other else f"{_KINDS}: write another format",
        )
    numbers = np.fromfile(path, "<f4")
    rows = numbers.reshape(-1, len(names))
    if len(rows) and (looks := _looks_like(numbers, rows)):
        raise DataError(f"looks like {looks[0]}", fix=looks[1])
    return wanted.table({name: rows[:, at] for name, at in wanted.among(names).items()})


def _looks_like(numbers: NDArray[Any], rows: NDArray[Any]) -> tuple[str, str] | None:
    """What a file looks like that is no such sweep, and the fix; None for one that is."""
    another = f"{_KINDS}: write another format"
    five = numbers.reshape(-1, 5) if not numbers.size % 5 else rows
    if five.shape[1] > rows.shape[1] and _rings(five) and not _whole(five[:, :3]):
        return "a sweep of nuScenes, of five columns", "call it .pcd.bin"
    if not np.isfinite(numbers).all():
        return "something else than float32, as some numbers are NaN or infinite", another
    sizes = np.abs(rows[:, :3])
    if sizes.max() > METRES:
        return f"something else than a sweep, with a coordinate of {sizes.max():.3g} m", another
    if 0 < sizes.max() < TINY:
        return "whole numbers, or something else than float32", another
    fourth = rows[:, 3]
    if fourth.min() < 0 or fourth.max() > STRONGEST:
        return (
            f"other columns, as intensity runs from {fourth.min():g} to {fourth.max():g}",
            another,
        )
    if rows.shape[1] == 5:
        return None if _rings(rows) else ("other columns, as the fifth is no ring", another)
    return None


def _rings(rows: NDArray[Any]) -> bool:
    """Whether the fifth column may be numbers of lasers."""
    ring = rows[:, 4]
    return _whole(ring) and bool(ring.min() >= 0 and ring.max() < 256)


def _whole(values: NDArray[Any]) -> bool:
    return bool((values == np.floor(values)).all())
