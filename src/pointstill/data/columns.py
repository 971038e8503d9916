"""The columns that files have beside x, y and z, where their meaning is known."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import readers
from .readers.las import las
from .readers.pcd import pcd
from .readers.ply import has_faces, read_elements, scalars
from .readers.text import read_text, text_layout

Array = NDArray[Any]
Table = dict[str, Array]
"""Feature -> its numbers (n, 1 to 3) as they are in the file, `xyz` among them."""

COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
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


def read_table(
    path: str | Path, up: str | None = None, layout: Sequence[str] | None = None
) -> Table:
    """Read the points of one file and all features that it names.

    The points are those of `readers.read_cloud`; meshes have no features.

    Args:
        path: the file.
        up: see `readers.read_cloud`.
        layout: names of the columns of a text file that does not name them itself.

    Raises:
        DataError, ForbiddenError: as `readers.read_cloud`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    read: dict[str, Callable[[Path], Mapping[str, Array]]] = {
        ".ply": _ply,
        ".pcd": _pcd,
        ".las": _las,
        ".laz": _las,
        ".npz": _npz,
        **dict.fromkeys((".xyz", ".txt", ".csv", ".pts"), partial(_text, layout=layout)),
    }
    if suffix in read and (table := readers.guarded(path, read[suffix])):
        return dict(table)
    return {"xyz": readers.read_cloud(path, up)}


def from_columns(columns: Mapping[str, Array]) -> Table:
    """Put columns (n,) of known names together, among them x, y and z."""
    small = {name.lower(): values for name, values in columns.items()}
    wanted = {"xyz": (("x", "y", "z"),), **COLUMNS}
    return {
        feature: np.stack([small[name] for name in names], axis=1)
        for feature, choices in wanted.items()
        for names in choices[::-1]  # the first choice comes last, and stays
        if set(names) <= small.keys()
    }


def from_arrays(arrays: Any, points: Any, rows: slice = slice(None)) -> Table:
    """Rows of features (..., width) in arrays of known names, and of the points (..., 3) beside."""
    table: Table = {"xyz": points[rows]}
    for feature, names in ARRAYS.items():
        name = next((name for name in names if name in arrays), None)
        if name and arrays[name].shape[: len(points.shape) - 1] == points.shape[:-1]:
            table[feature] = arrays[name][rows].reshape(*table["xyz"].shape[:-1], -1)
    return table


def _ply(path: Path) -> Table:
    elements = read_elements(path)
    if has_faces(elements):
        return {}  # a mesh, whose points are drawn
    return from_columns(scalars(elements))


def _pcd(path: Path) -> Table:
    cloud = pcd(path)
    columns = {name: cloud.pc_data[name] for name in cloud.fields}
    packed = columns.get("rgb", columns.get("rgba"))
    if packed is not None and packed.dtype.itemsize == 4:
        bits = packed.copy().view(np.uint32)  # also where it is declared as a float
        for place, name in ((16, "red"), (8, "green"), (0, "blue")):
            columns[name] = (bits >> place & 255).astype(np.uint8)
    return from_columns(columns)


def _las(path: Path) -> Table:
    scan = las(path)
    there = {"intensity", "red", "green", "blue"} & set(scan.point_format.dimension_names)
    columns = {name: np.asarray(scan[name]) for name in there}
    return from_columns(columns | dict(zip("xyz", np.asarray(scan.xyz).T, strict=True)))


def _npz(path: Path) -> Table:
    points = readers.read_cloud(path)
    with np.load(path, allow_pickle=False) as arrays:
        return from_arrays(arrays, points)


def _text(path: Path, layout: Sequence[str] | None) -> Table:
    found = text_layout(path)
    names = found.names or layout
    if not names:
        return {}  # columns without names are not guessed
    known = {"x", "y", "z", *(name for each in COLUMNS.values() for some in each for name in some)}
    wanted = [name for name in dict.fromkeys(names) if name in known]
    values = read_text(path, found, tuple(list(names).index(name) for name in wanted))
    return from_columns(dict(zip(wanted, values.T, strict=True)))
