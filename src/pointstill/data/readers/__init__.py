"""Any file that holds one cloud, or one mesh, to points and what else it has of them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...errors import DataError
from ...points.upright import turn_up
from ..columns import COLUMNS, Columns, Table, Wanted
from .arrays import points_table, read_arrays
from .gltf import read_glb
from .guard import guarded
from .las import read_las
from .lidar import read_bin
from .obj import read_obj
from .off import read_off
from .pcd import read_pcd
from .ply import read_ply
from .stl import read_stl
from .surface import MESH_POINTS
from .text import read_text

__all__ = [
    "MESH_POINTS",
    "READERS",
    "SUFFIXES",
    "VERSION",
    "points_table",
    "read_cloud",
    "read_table",
]

VERSION = "3"
"""Of the readers: raised when the same file would give other points, so that caches are re-read."""

Array = NDArray[Any]
Reader = Callable[[Path, Wanted], Table]
"""Reads the points of a file, and what else is wanted of it and there."""
FEATURES = tuple(feature for feature in COLUMNS if feature != "xyz")


def read_cloud(path: str | Path, up: str | None = None) -> Array:
    """Read the points (n, 3 or more; x, y, z first) of one file, as they are in it.

    glTF alone says which axis is up, y: with `up` (x, y or z), a glb file is turned so that this
    one is. Other files are not turned.

    Meshes (off, obj, stl, glb, and ply with faces) give `MESH_POINTS` points of their surface.
    Whether the cloud can be used is for `validity.check_cloud` to say.

    Raises:
        DataError: missing, a folder, unknown suffix, or damaged; the message names the file.
        ForbiddenError: its permissions do not let it be read.
    """
    return read_table(path, up, ())["xyz"]


def read_table(
    path: str | Path,
    up: str | None = None,
    features: Iterable[str] | None = FEATURES,
    names: Iterable[str] | None = None,
    columns: Columns | None = None,
) -> Table:
    """Read the points of one file and the features that it names; meshes have none.

    Args:
        path: the file.
        up: see `read_cloud`.
        features: those that are read, if they are there: known ones, as they are in the file, and
            channels, the columns (n, 1) of their names. None: all that the file has.
        names: of the columns of a text file that does not name them itself.
        columns: what the file calls some columns; see `columns.parse_columns`.

    Raises:
        DataError: as `read_cloud`; several columns of one name that is asked for; one of `columns`
            that is not there.
        ForbiddenError: as `read_cloud`.
    """
    path, wanted = Path(path), Wanted(None if features is None else tuple(features), columns or {})
    suffix = path.suffix.lower()
    with guarded(path):
        if suffix not in READERS:
            found = f"the suffix {path.suffix}" if path.suffix else "no suffix"
            raise DataError(f"has {found}, which is not read", fix=f"give a file of {SUFFIXES}")
        if names:
            return read_text(path, wanted, tuple(names))
        table = READERS[suffix](path, wanted)
    if up and suffix == ".glb":
        table["xyz"] = turn_up(table["xyz"], "y", up)
    return table


def _points_alone(read: Callable[[Path], Array]) -> Reader:
    """A reader of meshes, which have no columns."""

    def reader(path: Path, wanted: Wanted) -> Table:
        if wanted.columns:
            raise DataError("is a mesh, which has no columns", fix="leave out --columns")
        return {"xyz": read(path)}

    return reader


READERS: dict[str, Reader] = {
    ".ply": read_ply,
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
    ".xyz": read_text,
    ".txt": read_text,
    ".csv": read_text,
    ".pts": read_text,
    ".npy": read_arrays,
    ".npz": read_arrays,
    ".bin": read_bin,
    ".off": _points_alone(read_off),
    ".obj": _points_alone(read_obj),
    ".stl": _points_alone(read_stl),
    ".glb": _points_alone(read_glb),
}
SUFFIXES = ", ".join(suffix[1:] for suffix in READERS)
