"""Procedurally generated everyday things, as a depth camera sees them: needs no download.

An object is drawn from the grammar of its class (`classes.py`), stands on the floor with any
heading, and is seen from one or two sides (`sensor.py`). Each is a pure function of its name, made
of arithmetic whose last bit is the same on every machine (`arithmetic.py`).
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..dataset import Shape, SplitName
from ..draws import uniforms
from .arithmetic import Array, rotate
from .classes import CLASSES
from .sensor import View, look
from .solids import sample_surface, triangles

VERSION = 1
"""Counts up whenever any byte of the points changes."""
SHAPES = {"train": 100, "test": 50}
"""Shapes of each class in a split."""
CLEAN_POINTS = 1024
SURFACE_POINTS = 5000
"""Points of the surface among which the camera finds the nearest of each pixel."""
TWO_VIEWS = 0.3
"""Fraction of shapes that were seen from two sides."""
GRID = 8192
"""Steps of a coordinate per metre; all points lie on this grid."""


class Primitives:
    """The embedded data set: 16 classes, 1,600 training and 800 test shapes, z up, metres.

    As a camera sees them by default, 128 points or more, as many as it caught; `clean` gives 1,024
    points on the whole surface of the same objects instead.
    """

    kind = "primitives"
    classes = tuple(CLASSES)
    up = "z"

    def __init__(self, clean: bool = False):
        self.clean = clean
        self.key = f"primitives@{VERSION} {'clean' if clean else 'sensed'} {SHAPES}"

    def files(self, split: SplitName) -> list[Path]:
        """Return none: the shapes are made here."""
        return []

    def shapes(self, split: SplitName) -> list[Shape]:
        """List the shapes of a split, the classes taking turns."""
        return [
            Shape(f"{name}-{i:03d}", label, partial(make, split, name, i, self.clean))
            for i in range(SHAPES[split])
            for label, name in enumerate(self.classes)
        ]


def make(split: SplitName, name: str, index: int, clean: bool = False) -> NDArray[np.float32]:
    """Points (n, 3) of one shape, in metres."""
    key = f"primitives@{VERSION}/{split}/{name}/{index}"
    grammar = CLASSES[name]
    heading, *choices = uniforms(f"{key}/object", 2 + len(grammar.parameters)).tolist()
    mesh = triangles(grammar.draw(choices))
    count = CLEAN_POINTS if clean else SURFACE_POINTS
    points, normals = sample_surface(mesh, uniforms(f"{key}/surface", 3 * count).reshape(3, count))
    if not clean:
        points = _sense(points, normals, key)
    return _on_grid(_shuffle(rotate(points, heading), f"{key}/order"))


def _sense(points: Array, normals: Array, key: str) -> Array:
    """What one or two views see of a surface."""
    views = 2 if uniforms(f"{key}/views", 1)[0] < TWO_VIEWS else 1
    return np.concatenate(
        [look(points, normals, View.sample(f"{key}/view/{i}"), f"{key}/noise/{i}")
         for i in range(views)]
    )  # fmt: skip


def _shuffle(points: Array, key: str) -> Array:
    """In random order, so that the first N points are a sample of all."""
    return points[np.argsort(uniforms(key, len(points)), kind="stable")]


def _on_grid(points: Array) -> NDArray[np.float32]:
    """Round to the grid: float32 holds it exactly."""
    return (np.rint(points * GRID) / GRID).astype(np.float32)
