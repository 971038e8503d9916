"""One cloud, whatever it was read from: refused, or made ready to be used."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..points.validity import are_numbers, present, transposed, unusable

FAR = 10.0
"""A cloud whose centre lies farther from the origin than this many of its bounding-box diagonals is
shifted there, as float32 would round its shape away (UTM coordinates in metres)."""


def check_cloud(name: str, cloud: NDArray[Any], drop_missing: bool = False) -> NDArray[np.float32]:
    """Return the points (n, 3) of a usable cloud as float32.

    Columns after the first three are dropped. A cloud far from the origin (see `FAR`) is shifted,
    in float64, so that its bounding box is centred there.

    Args:
        name: of the cloud, for the error.
        cloud: (n, 3 or more) numbers.
        drop_missing: first leave out points with a NaN or infinite coordinate.

    Raises:
        DataError: no such array, fewer than `MIN_POINTS` points, a NaN or infinite coordinate,
            stray points (see `cloud.unusable`), or all points in one place.
    """
    if cloud.ndim != 2 or cloud.shape[1] < 3 or not are_numbers(cloud):
        raise DataError(
            f"{name}: an array of {cloud.dtype} {cloud.shape}, but a cloud is (points, 3) numbers"
        )
    points = cloud[:, :3].astype(np.float64)
    if drop_missing:
        points = points[present(points)]
    if wrong := unusable(points, lost=len(cloud) - len(points)):
        raise DataError(f"{name}: {wrong}{transposed(cloud)}")
    low, high = points.min(axis=0), points.max(axis=0)
    centre = (low + high) / 2
    if np.linalg.norm(centre) > FAR * np.linalg.norm(high - low):
        points -= centre
    small = points.astype(np.float32)
    if (small == small[0]).all():
        raise DataError(f"{name}: all {len(small)} points are the same")
    return small
