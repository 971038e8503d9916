"""Six kinds of things that are none of a student's classes: to see what it takes them for.

Blobs of dust, crates, balls, wires, patches of ground and columns: what a sensor brings up beside
the objects that it is meant to see. A thing is a pure function of its name, made by the arithmetic
of the primitives. For tests alone: nothing that is trained with has the formula of one of these.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .keyed_draws import uniforms
from .primitives.arithmetic import Array, circle, gaussian, rotate, unit
from .source import Shape, SplitName

VERSION = 1
"""Counts up whenever any byte of the points changes."""
EACH = 40
"""Things of each kind."""
POINTS = 1024
GRID = 8192
"""Steps of a coordinate in a metre, which float32 holds exactly."""
ROUND = 720
"""Places on the circumference of a column."""


class _Draws:
    """Numbers of one thing, one after the other."""

    def __init__(self, key: str):
        self.numbers, self.used = uniforms(key, 12 * POINTS + 64), 0

    def __call__(self, *shape: int) -> Array:
        count = int(np.prod(shape))
        self.used += count
        return self.numbers[self.used - count : self.used].reshape(shape)

    def one(self, least: float, most: float) -> float:
        return least + float(self(1)[0]) * (most - least)

    def normal(self) -> Array:
        """(n, 3), mean 0, deviation 1."""
        return np.stack([gaussian(self(4, POINTS)) for _ in range(3)], axis=1)


def _blob(draws: _Draws) -> Array:
    """Dust: a normal cloud, longer along one axis than along another."""
    axes = np.array([draws.one(0.1, 0.4) for _ in range(3)])
    return np.asarray(draws.normal() * axes)


def _cube(draws: _Draws) -> Array:
    """A crate: the surface of a cube, of a side of 0.3 to 2 m."""
    side, face = draws.one(0.3, 2.0), (draws(POINTS) * 6).astype(np.int64)
    points = np.insert(draws(POINTS, 2) - 0.5, 2, 0.0, axis=1)
    points[:, 2] = face % 2 - 0.5
    turn = (face // 2)[:, None]
    order = (np.arange(3)[None] + turn) % 3
    return np.asarray(side * np.take_along_axis(points, order, axis=1))


def _sphere(draws: _Draws) -> Array:
    """A ball, of a radius of 0.05 to 0.5 m."""
    return np.asarray(draws.one(0.05, 0.5) * unit(draws.normal()))


def _wire(draws: _Draws) -> Array:
    """One to four lines side by side that sag, over 5 to 20 m, a centimetre or two thick."""
    length, sag = draws.one(5, 20), draws.one(0.1, 1.5)
    count, apart = 1 + int(draws(1)[0] * 4), draws.one(0.2, 0.8)
    along = draws(POINTS) - 0.5
    which = (draws(POINTS) * count).astype(np.int64)
    line = np.stack([length * along, apart * which, 4 * sag * along * along], axis=1)
    return np.asarray(line + 0.02 * (draws(POINTS, 3) - 0.5))


def _ground(draws: _Draws) -> Array:
    """A patch of ground: 2 to 8 m, rough by some centimetres, on a slope of up to 15 degrees."""
    size, slope = draws.one(2, 8), draws.one(0, 0.25)
    rough, bend = draws.one(0.005, 0.04), draws.one(-0.1, 0.1)
    x, y = size * (draws(2, POINTS) - 0.5)
    z = slope * x + bend * x * y / size + rough * (2 * draws(POINTS) - 1)
    return np.stack([x, y, z], axis=1)


def _column(draws: _Draws) -> Array:
    """A column or a trunk: the side of a cylinder, 2 to 6 m high, of a radius of 0.1 to 0.4 m."""
    radius, height = draws.one(0.1, 0.4), draws.one(2, 6)
    place = circle(ROUND)[(draws(POINTS) * ROUND).astype(np.int64)]
    return np.column_stack([radius * place, height * draws(POINTS)])


KINDS: dict[str, Callable[[_Draws], Array]] = {
    "blob": _blob,
    "cube": _cube,
    "sphere": _sphere,
    "wire": _wire,
    "ground": _ground,
    "column": _column,
}


class Strangers:
    """40 things of each of six kinds, of 1,024 points, z up, in metres; a test split alone."""

    kind = "strangers"
    classes = tuple(KINDS)
    up = "z"
    key = f"strangers@{VERSION} {EACH} of each"

    def files(self, split: SplitName) -> list[Path]:
        """Return none: the things are made here."""
        return []

    def shapes(self, split: SplitName) -> list[Shape]:
        """List the things, the kinds taking turns; none to train on."""
        return [
            Shape(f"{name}-{i:02d}", label, partial(thing, name, i))
            for i in range(EACH if split == "test" else 0)
            for label, name in enumerate(KINDS)
        ]


def thing(kind: str, index: int) -> NDArray[np.float32]:
    """Make the points (1024, 3) of the index-th thing of a kind, in metres, with any heading."""
    draws = _Draws(f"strangers@{VERSION}/{kind}/{index}")
    heading = draws.one(0, 1)
    points = rotate(KINDS[kind](draws), heading)
    return (np.rint(points * GRID) / GRID).astype(np.float32)
