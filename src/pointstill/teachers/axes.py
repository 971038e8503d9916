"""Axes of a teacher in terms of the data's."""

import torch
from torch import Tensor

from ..errors import UsageError
from ..points.features import XYZ, Features, columns, width

Axes = tuple[tuple[int, int], ...]
"""For each axis of the teacher: which axis of the data (0 to 2), and its sign (1 or -1)."""
SAME: Axes = ((0, 1), (1, 1), (2, 1))


def parse_axes(text: str | None) -> Axes | None:
    """Read axes such as `x,z,y` or `x,z,-y`; None or `auto` is the data's own.

    Raises:
        UsageError: not three axes, each named once.

    >>> parse_axes("x,z,-y")
    ((0, 1), (2, 1), (1, -1))
    """
    if text in (None, "auto"):
        return None
    names = [name.strip().lower() for name in text.split(",")]
    if sorted(name.removeprefix("-") for name in names) != ["x", "y", "z"]:
        raise UsageError(f"{text!r} is no set of axes", fix="give all three, such as x,z,y")
    axes = tuple(("xyz".index(name[-1]), -1 if name[0] == "-" else 1) for name in names)
    return None if axes == SAME else axes


def format_axes(axes: Axes | None) -> str:
    """Axes as `parse_axes` reads them.

    >>> format_axes(parse_axes("x,z,-y")), format_axes(None)
    ('x,z,-y', 'x,y,z')
    """
    return ",".join("-" * (sign < 0) + "xyz"[axis] for axis, sign in axes or SAME)


def permute_axes(points: Tensor, axes: Axes | None, features: Features = XYZ) -> Tensor:
    """Points (B, N, 3 + F) in a teacher's axes, their normals too: (B, N, 3 + F)."""
    if axes is None:
        return points
    order = [(column, 1) for column in range(width(features))]
    for name, place in columns(features).items():
        if name in ("xyz", "normal"):
            order[place] = [(place.start + axis, sign) for axis, sign in axes]
    return torch.stack([points[..., column] * sign for column, sign in order], -1)
