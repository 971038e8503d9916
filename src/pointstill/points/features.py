"""Features of points beside their coordinates: their names, widths and order.

A list of features starts with `xyz`; a point of a view has their numbers side by side, in the order
of the list. Five names have a meaning of their own (`WIDTHS`); any other is a *channel*: one number
a point, as it is in the column of that name, such as doppler or time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ..errors import UsageError

Features = tuple[str, ...]
WIDTHS = {"xyz": 3, "normal": 3, "colour": 3, "intensity": 1, "height": 1}
"""Numbers a point, of each feature whose meaning is known; a channel has one."""
XYZ: Features = ("xyz",)
CHANNEL = re.compile(r"[a-z_][a-z0-9_.-]*")
"""What a channel may be called."""


@dataclass(frozen=True, eq=False)
class Extra:
    """The features of all points of a split beside xyz."""

    values: NDArray[np.float32]
    """(total, F), beside the points; normals of unit length or zero, colour and intensity 0 to 1,
    height in the units of the files."""
    names: Features
    """All features, `xyz` first; F is the width of the others."""
    up: str
    """The axis along which height is measured: x, y or z."""
    fingerprint: str
    """SHA-256 (hex) over the values; the names are compared beside it."""


@dataclass(frozen=True)
class Scale:
    """How a model is given a channel: minus its median, divided by its spread."""

    median: float
    """In the unit of the channel."""
    spread: Annotated[float, Meta(gt=0)]
    """In the unit of the channel."""


def parse_features(text: str | Iterable[str]) -> Features:
    """Names of features, such as `xyz,normal,doppler` or a list of them, in small letters.

    `color` is taken for `colour`.

    Raises:
        UsageError: a name that cannot be one, one twice, or no xyz in the first place.

    >>> parse_features("xyz, normal")
    ('xyz', 'normal')
    """
    names = text.split(",") if isinstance(text, str) else list(text)
    names = [name.strip().lower() for name in names]
    names = ["colour" if name == "color" else name for name in names]
    for name in names:
        if not CHANNEL.fullmatch(name) or name in ("x", "y", "z"):
            raise UsageError(
                f"no feature is called {name!r}",
                fix=f"choose from {', '.join(WIDTHS)} and the names of the data's own columns",
            )
    if names[:1] != ["xyz"] or len(set(names)) < len(names):
        raise UsageError(
            f"features are {format_features(names)!r}",
            fix="name each once and xyz first, such as xyz,normal",
        )
    return tuple(names)


def format_features(features: Iterable[str]) -> str:
    """Features as `parse_features` reads them."""
    return ",".join(features)


def width(features: Features) -> int:
    """Numbers a point.

    >>> width(("xyz", "normal", "doppler"))
    7
    """
    return sum(WIDTHS.get(name, 1) for name in features)


def columns(features: Features) -> dict[str, slice]:
    """Where each feature is among the numbers of a point.

    >>> columns(("xyz", "height", "normal"))["normal"]
    slice(4, 7, None)
    """
    places, start = {}, 0
    for name in features:
        places[name] = slice(start, start + WIDTHS.get(name, 1))
        start = places[name].stop
    return places


def measured(features: Features) -> Features:
    """Those that a cloud has to bring: all but height, which follows from xyz.

    >>> measured(("xyz", "height", "doppler"))
    ('xyz', 'doppler')
    """
    return tuple(name for name in features if name != "height")
