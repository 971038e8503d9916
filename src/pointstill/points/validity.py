"""What makes an array of points a cloud that can be classified: the same wherever one comes in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_POINTS = 8
"""Fewer points than this say nothing about a shape."""
STRAY_PART = 0.01
"""So many of the points, or one, are looked at as strays."""
STRAY_FACTOR = 100.0
"""Points are strays if with them the bounding box's diagonal is this many times what it is else."""


def are_numbers(array: NDArray[Any]) -> bool:
    """Whether an array holds whole or floating-point numbers; truth values and complex are not."""
    return array.dtype.kind in "fiu"


def transposed(array: NDArray[Any]) -> str:
    """The fix for an array (3, n) of a cloud that is (n, 3), to end an error; else nothing."""
    turned = array.ndim == 2 and len(array) == 3 and array.shape[1] >= MIN_POINTS
    return ": transpose it, points.T" if turned else ""


def present(points: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points (n, 3) are not missing: (n,). Missing: NaN, infinite, or beyond float32."""
    # In float64, as the smallest whole number has no absolute value; NaN compares false.
    sizes = np.abs(points, dtype=np.float64)
    usable: NDArray[np.bool_] = (sizes <= np.finfo(np.float32).max).all(axis=1)
    return usable


def unusable(points: NDArray[np.float64], lost: int = 0) -> str | None:
    """Say what is wrong with the coordinates (n, 3) of a cloud, and how to mend it; None if fine.

    Few: below `MIN_POINTS`. Missing: see `present`. Stray: the farthest 1 % of the points (or one)
    from the median point, if they alone make the bounding box more than 100 times larger.
    Normalised with one, all others would fall together.

    Args:
        points: the coordinates.
        lost: how many more there were, but missing and left out.
    """
    if len(points) < MIN_POINTS:
        beside = f" beside {lost} that are NaN or infinite" if lost else ""
        return f"has {len(points)} points{beside}, but a cloud needs {MIN_POINTS}"
    usable = present(points)
    if not usable.all():
        return (
            f"{np.sum(~usable)} of {len(points)} points are NaN or infinite, as depth cameras mark "
            "what they do not see: remove those points, or pass --drop-missing (in Python "
            "drop_missing=True)"
        )
    if not far_flung(points):
        return None
    away = np.abs(points - np.median(points, axis=0)).max(axis=1)
    count = max(1, int(STRAY_PART * len(points)))
    kept = points[np.argpartition(away, -count)[:-count]]
    whole, rest = (np.linalg.norm(np.ptp(each, axis=0)) for each in (points, kept))
    if 0 < STRAY_FACTOR * rest < whole:
        return (
            f"stray points, {count} at most, stretch it from {rest:.4g} to {whole:.4g} across: "
            "remove those points, such as false returns at (0, 0, 0)"
        )
    return None


def far_flung(points: NDArray[np.float64], few: int = 64) -> bool:
    """Whether points (n, 3) may have strays: a glance that costs little of a classification.

    The middle distance of some points from their middle hardly feels strays, and the box of most
    shapes is a few times that. The points are spread by the golden ratio: strays may be periodic.
    """
    some = points[(np.arange(few) * 0.6180339887 % 1 * len(points)).astype(np.int64)]
    middle = np.sort(some, axis=0)[len(some) // 2]
    typical = np.sort(np.abs(some - middle).max(axis=1))[len(some) // 2]
    return bool(np.ptp(points, axis=0).max() > STRAY_FACTOR / 4 * typical)
