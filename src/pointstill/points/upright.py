"""Turning clouds so that another axis points up."""

import numpy as np
from numpy.typing import NDArray


def turn_up(points: NDArray[np.floating], up: str, wanted: str) -> NDArray[np.floating]:
    """Turn points or normals (n, 3) by a right angle, so that `wanted` is up where `up` was.

    The third axis stays level; nothing is rounded.

    >>> turn_up(np.array([[1.0, 2.0, 3.0]]), "y", "z")  # what is 2 high stays 2 high
    array([[ 1., -3.,  2.]])
    """
    if up == wanted:
        return points
    old, new = "xyz".index(up), "xyz".index(wanted)
    turned = points.copy()
    turned[:, new], turned[:, old] = points[:, old], -points[:, new]
    return turned
