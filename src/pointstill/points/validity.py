"""What makes an array of points a cloud that can be classified: the same wherever one comes in.

Refused are arrays that are none, too few points, coordinates that are not finite, and clouds that
are no shape without their strays (`strays`), or still a dot and what is far from it.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .strays import body

MIN_POINTS = 8
"""Fewer points than this say nothing about a shape."""
SUSPECT = 25.0
"""A box this many times as large as the middle distance of some points from their middle may be
that of far strays."""
DOT = 100.0
"""A cloud is a dot if its box is this many times as large as that of its middle half."""
FAR = 10.0
"""A cloud whose centre lies farther from the origin than this many of its bounding-box diagonals is
shifted there, as float32 would round its shape away (UTM coordinates in metres). Far strays do not
count."""
STEPS = 500
"""Coordinates that were rounded to fewer steps than this across a cloud are warned of."""


def check_cloud(name: str, cloud: NDArray[Any], drop_missing: bool = False) -> NDArray[np.float32]:
    """Return the points (n, 3) of a usable cloud as float32.

    Columns after the first three are dropped. A cloud far from the origin (see `FAR`) is shifted,
    in float64, so that its bounding box is centred there.

    Args:
        name: of the cloud, for the error.
        cloud: (n, 3 or more) numbers.
        drop_missing: first leave out points with a NaN or infinite coordinate.

    Raises:
        DataError: no such array, all points in one place, or see `check_points`.
    """
    points = coordinates(name, cloud).astype(np.float64)
    if drop_missing:
        points = points[finite(points)]
    kept = check_points(name, points, lost=len(cloud) - len(points))
    low, high = points[kept].min(axis=0), points[kept].max(axis=0)
    centre = (low + high) / 2
    if np.linalg.norm(centre) > FAR * np.linalg.norm(high - low):
        most = np.finfo(np.float32).max  # which a stray may be beyond then
        points = np.clip(points - centre, -most, most)
    small = points.astype(np.float32)
    if (small == small[0]).all():
        raise DataError(f"has {len(small)} points that are all the same", where=name)
    return small


def coordinates(name: str, cloud: NDArray[Any]) -> NDArray[Any]:
    """The coordinates (n, 3) of an array that may be a cloud: its first three columns.

    Raises:
        DataError: an array of another shape, of something else than numbers, or (3, n).
    """
    if cloud.ndim != 2 or cloud.shape[1] < 3 or not is_numeric(cloud):
        raise DataError(
            f"is an array of {cloud.dtype} {cloud.shape}, but a cloud is (points, 3) numbers",
            where=name,
        )
    if fix := transpose_fix(cloud):
        raise DataError(f"has 3 points, but a cloud needs {MIN_POINTS}", where=name, fix=fix)
    return cloud[:, :3]


def is_numeric(array: NDArray[Any]) -> bool:
    """Whether an array holds whole or floating-point numbers; truth values and complex are not."""
    return array.dtype.kind in "fiu"


def transpose_fix(array: NDArray[Any], width: int = 3) -> str | None:
    """The fix for an array (width, n) of a cloud that is (n, width); None for others."""
    turned = array.ndim == 2 and len(array) == width and array.shape[1] >= MIN_POINTS
    return "transpose it, points.T" if turned else None


def finite(points: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points (n, 3) are there: (n,). Missing: NaN, infinite, or beyond float32."""
    # In float64, as the smallest whole number has no absolute value; NaN compares false.
    sizes = np.abs(points, dtype=np.float64)
    usable: NDArray[np.bool_] = (sizes <= np.finfo(np.float32).max).all(axis=1)
    return usable


def check_points(name: str, points: NDArray[np.float64], lost: int = 0) -> NDArray[np.bool_]:
    """Refuse coordinates (n, 3) that are no shape.

    Args:
        name: of the cloud, for the error.
        points: the coordinates.
        lost: how many more there were, but missing and left out.

    Returns:
        Which points (n,) are no far strays: what is near counts as the shape here.

    Raises:
        DataError: fewer than `MIN_POINTS`, some that are not `finite`, all in one place but
            strays, or a dot with more far points than strays may be.

    Warns:
        UserWarning: coordinates far from the origin that were rounded, see `rounded_to`.
    """
    if len(points) < MIN_POINTS:
        beside = f" beside {lost} that are NaN or infinite" if lost else ""
        raise DataError(
            f"has {len(points)} points{beside}, but a cloud needs {MIN_POINTS}", where=name
        )
    there = finite(points)
    if not there.all():
        raise DataError(
            f"has {np.sum(~there)} of {len(points)} points NaN or infinite, as depth cameras mark "
            "what they do not see",
            where=name,
            fix="remove those points, or pass --drop-missing (in Python drop_missing=True)",
        )
    low, high = points.min(axis=0), points.max(axis=0)
    kept = np.ones(len(points), np.bool_)
    if may_have_far_strays(points, (high - low).max()):
        kept = body(points[None])[0]
        _check_body(name, points, kept)
        low, high = points[kept].min(axis=0), points[kept].max(axis=0)
    if step := rounded_to(points[kept], low, high):
        across = np.linalg.norm(high - low)
        warnings.warn(
            f"{name} has coordinates so far from the origin that they are rounded to steps of "
            f"{step:.3g}, and is {across:.3g} across: keep them in float64, or shift them before "
            "they become float32",
            stacklevel=3,
        )
    return kept


def _check_body(name: str, points: NDArray[np.float64], kept: NDArray[np.bool_]) -> None:
    """Refuse coordinates (n, 3) of which those that are kept (n,) are no shape.

    Raises:
        DataError: see `check_points`.
    """
    there, strays = points[kept], int(np.sum(~kept))
    fix = "remove the points that are not of the shape, such as false returns at (0, 0, 0)"
    if (there == there[0]).all():
        what = f"has {len(there)} points that are all the same beside {strays} strays"
        raise DataError(what, where=name, fix=fix)
    middle = there[np.argsort(np.abs(there - np.median(there, axis=0)).max(axis=1), kind="stable")]
    across, within = (
        np.linalg.norm(np.ptp(each, axis=0)) for each in (there, middle[: -(-len(there) // 2)])
    )
    if across > DOT * within:
        raise DataError(
            f"has half of its points within {within:.4g} and is {across:.4g} across: scaled with "
            "its far points, of which there are too many for strays, it would be a dot",
            where=name,
            fix=fix,
        )


def check_stretch(name: str, points: NDArray[np.float64], kept: NDArray[np.bool_]) -> None:
    """Refuse coordinates (n, 3) that would be a dot beside their strays, for whoever keeps these.

    Raises:
        DataError: the box of all is more than `DOT` times that of those that are no strays.
    """
    across, within = (np.linalg.norm(np.ptp(each, axis=0)) for each in (points, points[kept]))
    if across > DOT * within:
        raise DataError(
            f"has {np.sum(~kept)} strays that stretch it from {within:.4g} to {across:.4g} across",
            where=name,
            fix="remove those points; a student that is trained and exported again leaves them out",
        )


def rounded_to(
    points: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> float:
    """The step to which coordinates (n, 3) were rounded, if it is large against their box; else 0.

    That of float32, where all of them are such numbers; else, on an axis whose coordinates are, the
    least distance of two: these were written with few digits.
    """
    steps = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32)).astype(np.float64)
    least = np.linalg.norm(high - low) / STEPS
    if not 0 < least < steps.max():
        return 0.0
    small = (points.astype(np.float32) == points).all(axis=0)
    if small.all():
        return float(steps.max())
    for axis in np.flatnonzero(small & (steps > least)):
        apart = np.diff(np.unique(points[:, axis]))
        if apart.size and apart.min() > least:
            return float(apart.min())
    return 0.0


def may_have_far_strays(points: NDArray[np.float64], extent: float, few: int = 64) -> bool:
    """Whether points (n, 3) may have far strays: a glance that costs little of a classification.

    The middle distance of some points from their middle hardly feels strays, and the box of most
    shapes is a few times that. The points are spread by the golden ratio: strays may be periodic.

    Args:
        points: the coordinates.
        extent: the longest edge of their bounding box.
        few: how many are looked at.
    """
    some = points[(np.arange(few) * 0.6180339887 % 1 * len(points)).astype(np.int64)]
    middle = np.sort(some, axis=0)[len(some) // 2]
    typical = np.sort(np.abs(some - middle).max(axis=1))[len(some) // 2]
    return bool(extent > SUSPECT * typical)
