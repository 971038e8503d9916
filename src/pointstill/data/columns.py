"""What columns and arrays of files are called, where their meaning is known."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Array = NDArray[Any]
Table = dict[str, Array]
"""Feature -> its numbers (n, 1 to 3) as they are in the file, `xyz` among them."""

COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "xyz": (("x", "y", "z"),),
    "normal": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
    "colour": (("red", "green", "blue"), ("r", "g", "b")),
    "intensity": (("intensity",), ("scalar_intensity",)),
}
"""What columns are called, in small letters, by PLY, PCD, LAS and text files."""
ARRAYS = {
    "normal": ("normal", "normals"),
    "colour": ("colour", "colours", "color", "colors", "rgb"),
    "intensity": ("intensity", "intensities"),
}
"""What arrays beside the points are called in NPZ and HDF5 files."""


def names_of(features: Iterable[str]) -> set[str]:
    """What the columns of xyz and of some features may be called."""
    choices = [choice for each in ("xyz", *features) for choice in COLUMNS[each]]
    return {name for choice in choices for name in choice}


def from_columns(columns: Mapping[str, Array]) -> Table:
    """Put columns (n,) of known names together, among them x, y and z.

    Raises:
        DataError: one of those is not there.
    """
    small: dict[str, Array] = {}
    for name, values in columns.items():
        if name.lower() in "xyz" and name.lower() in small:
            raise DataError(f"has several columns called {name.lower()}", fix="keep one of them")
        small[name.lower()] = values
    if lacking := [axis for axis in "xyz" if axis not in small]:
        there = ", ".join(list(columns)[:9]) or "none"
        raise DataError(f"has no {' and no '.join(lacking)} among its columns ({there[:160]})")
    return {
        feature: np.stack([small[name] for name in names], axis=1)
        for feature, choices in COLUMNS.items()
        for names in choices[::-1]  # the first choice comes last, and stays
        if set(names) <= small.keys()
    }


def array_names(names: Iterable[str], features: Iterable[str]) -> dict[str, str]:
    """Feature -> the array of a file that holds it, for those features that have one."""
    there = set(names)
    return {
        feature: name
        for feature in features
        for name in ARRAYS[feature][::-1]  # the first choice comes last, and stays
        if name in there
    }
