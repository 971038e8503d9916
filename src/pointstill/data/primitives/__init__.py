"""Procedurally generated everyday things, as a depth camera sees them: needs no download.

An object is drawn from the grammar of its class (`classes.py`), stands on the floor with any
heading, and is seen from one or two sides (`sensor.py`). It is a pure function of its name and the
seed, made by arithmetic whose last bit is the same on every machine (`arithmetic.py`).
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..keyed_draws import permutation, uniforms
from ..source import Shape, SplitName
from .arithmetic import Array, rotate
from .classes import CLASSES
from .sensor import Shot, look
from .solids import sample_surface, triangles

VERSION = 1
"""Counts up whenever any byte of the points changes."""
SHAPES = {"train": 100, "test": 50}
"""Shapes of each class in a split."""
CLEAN_POINTS = 1024
SURFACE_POINTS = 5000
"""Points of the surface among which the camera finds the nearest in each pixel."""
TWO_VIEWS = 0.3
"""Fraction of shapes that are seen from two sides."""
GRID = 8192
"""Steps of a coordinate in a metre; every point lies on this grid, which float32 holds exactly."""


class Primitives:
    """The embedded data set: 16 classes, 1,600 training and 800 test shapes, z up, metres.

    By default as a camera sees them: 128 points or more, as many as it caught. `clean` gives 1,024
    points on the whole surface of the same objects instead.
    """

    kind = "primitives"
    classes = tuple(CLASSES)
    up = "z"

    def __init__(self, clean: bool = False, seed: int = 0):
        self.clean = clean
        self.seed = seed
        sizes = f"{SHAPES['train']}+{SHAPES['test']}"
        self.key = f"primitives@{VERSION} {'clean' if clean else 'sensed'} seed {seed} {sizes}"

    def files(self, split: SplitName) -> list[Path]:
        """Return none: the shapes are made here."""
        return []

    def shapes(self, split: SplitName) -> list[Shape]:
        """List the shapes of a split, the classes taking turns."""
        return [
            Shape(f"{name}-{i:03d}", label, partial(self.cloud, split, name, i))
            for i in range(SHAPES[split])
            for label, name in enumerate(self.classes)
        ]

    def cloud(self, split: SplitName, name: str, index: int) -> NDArray[np.float32]:
        """Make the points (n, 3) of the index-th shape of a class, in metres."""
        key = self.shape_key(split, name, index)
        heading, solids = draw_object(name, key)
        count = CLEAN_POINTS if self.clean else SURFACE_POINTS
        draws = uniforms(f"{key}/surface", 3 * count).reshape(3, count)
        points, normals = sample_surface(triangles(solids), draws)
        if not self.clean:
            points = _sense(points, normals, key)
        # In random order, so that the first N points are a sample of all.
        points = rotate(points, heading)[permutation(f"{key}/order", len(points))]
        return (np.rint(points * GRID) / GRID).astype(np.float32)

    def shape_key(self, split: SplitName, name: str, index: int) -> str:
        """Name the draws of a shape; the clean and the sensed one share their object."""
        return f"primitives@{VERSION}/{self.seed}/{split}/{name}/{index}"


def draw_object(name: str, key: str) -> tuple[float, list[Array]]:
    """Draw an object of a class: its heading in turns, and its solids before they are turned."""
    grammar = CLASSES[name]
    heading, *choices = uniforms(f"{key}/object", 2 + len(grammar.parameters)).tolist()
    return heading, grammar.draw(choices)


def _sense(points: Array, normals: Array, key: str) -> Array:
    """What the camera sees of a surface from one side or two."""
    sides = 2 if uniforms(f"{key}/sides", 1)[0] < TWO_VIEWS else 1
    views = [Shot.sample(f"{key}/view/{i}") for i in range(sides)]
    return np.concatenate(
        [look(points, normals, shot, f"{key}/noise/{i}") for i, shot in enumerate(views)]
    )
