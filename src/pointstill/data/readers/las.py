"""LAS and LAZ: airborne scans."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .announced import check_count


def las(path: Path) -> Any:
    """A whole LAS or LAZ file, as its library gives it."""
    import laspy

    found = laspy.read(path)
    check_count("points", found.header.point_count, len(found.points))
    return found


def read_las(path: Path) -> NDArray[Any]:
    """Points (n, 3) in float64: scaled and offset, often UTM."""
    return np.asarray(las(path).xyz)
