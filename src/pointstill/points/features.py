"""Features of points beside their coordinates: their names, widths and order.

A list of features starts with `xyz`; a point of a view has their numbers side by side, in the order
of the list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Features = tuple[str, ...]
WIDTHS = {"xyz": 3, "normal": 3, "colour": 3, "intensity": 1, "height": 1}
"""Numbers a point, of each feature."""
XYZ: Features = ("xyz",)


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


def parse_features(text: str | Iterable[str]) -> Features:
    """Names of features, such as `xyz,normal` or a list of them; `color` is taken for `colour`.

    Raises:
        UsageError: an unknown name, one twice, or no xyz in the first place.

    >>> parse_features("xyz, normal")
    ('xyz', 'normal')
    """
    names = text.split(",") if isinstance(text, str) else list(text)
    names = [name.strip().lower().replace("color", "colour") for name in names]
    for name in names:
        if name not in WIDTHS:
            near = get_close_matches(name, WIDTHS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(WIDTHS)}"
            raise UsageError(f"no feature is called {name!r}", fix=hint)
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

    >>> width(("xyz", "normal", "height"))
    7
    """
    return sum(WIDTHS[name] for name in features)


def columns(features: Features) -> dict[str, slice]:
    """Where each feature is among the numbers of a point.

    >>> columns(("xyz", "height", "normal"))["normal"]
    slice(4, 7, None)
    """
    places, start = {}, 0
    for name in features:
        places[name] = slice(start, start + WIDTHS[name])
        start += WIDTHS[name]
    return places
