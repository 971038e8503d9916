"""Clouds to try a page with: generated shapes, as PLY."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...data.primitives import Primitives

NAMES = (
    *("aeroplane", "bicycle", "bottle", "car", "chair", "guitar", "lamp", "laptop"),
    *("monitor", "mug", "plant", "sofa", "table"),
)
MOST = 8
ENOUGH_POINTS = 600
"""Of the first shapes of a class, the first with so many is taken, or else the largest."""
AXES = {"x": [2, 0, 1], "y": [1, 2, 0], "z": [0, 1, 2]}
"""Columns of x, y, z with z up, put so that another axis is up."""


def samples(classes: Iterable[str], up: str) -> dict[str, bytes]:
    """Shapes of the test split, name -> PLY: of classes that a student knows first.

    Args:
        classes: of the student.
        up: its axis up, x, y or z.
    """
    known = set(classes)
    chosen = sorted(sorted(NAMES, key=lambda name: name not in known)[:MOST])
    return {name: ply(_shape(name)[:, AXES[up]]) for name in chosen}


def _shape(name: str) -> NDArray[np.float32]:
    made = Primitives()
    shapes = [made.cloud("test", name, index) for index in range(5)]
    return next((each for each in shapes if len(each) >= ENOUGH_POINTS), max(shapes, key=len))


def ply(points: NDArray[np.float32]) -> bytes:
    """Points (n, 3) as a binary PLY."""
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    lines += [f"property float {axis}" for axis in "xyz"] + ["end_header", ""]
    return "\n".join(lines).encode() + points.astype("<f4").tobytes()
