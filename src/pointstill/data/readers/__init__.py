"""Any file that holds one cloud, or one mesh, to points."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, ForbiddenError, NoDataError, one_line
from ...storage.files import check_readable, forbidden
from .arrays import read_npy, read_npz
from .gltf import read_glb
from .las import read_las
from .obj import read_obj
from .off import read_off
from .pcd import read_pcd
from .ply import read_ply
from .stl import read_stl
from .surface import MESH_POINTS
from .text import read_points

__all__ = ["MESH_POINTS", "READERS", "SUFFIXES", "VERSION", "guarded", "read_cloud"]

VERSION = "3"
"""Of the readers: raised when the same file would give other points, so that caches are re-read."""

Array = NDArray[Any]
Content = TypeVar("Content")


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
    path = Path(path)
    points = guarded(path, READERS.get(path.suffix.lower(), _unknown))
    return _turned(points, up) if up and path.suffix.lower() == ".glb" else points


def guarded(path: Path, reader: Callable[[Path], Content]) -> Content:
    """Read a file; whatever goes wrong is a DataError that names it, see `read_cloud`."""
    try:
        if path.is_dir():
            raise DataError(
                "is a folder, but a cloud is a file", fix=f"give its files, such as {path}/*"
            )
        if not path.is_file():
            raise NoDataError("does not exist", fix="check the path")
        check_readable(path, ForbiddenError)
        return reader(path)
    except PermissionError as error:  # a folder on the way
        raise forbidden(path, error, ForbiddenError) from error
    except DataError as error:
        raise error.but(where=path) from error
    except Exception as error:  # whatever the libraries raise on a damaged file
        reason = one_line(error, 160) or type(error).__name__
        raise DataError(
            f"is damaged, or not a {path.suffix} file ({reason})", where=path
        ) from error


def _unknown(path: Path) -> Array:
    found = f"the suffix {path.suffix}" if path.suffix else "no suffix"
    raise DataError(f"has {found}, which is not read", fix=f"give a file of {SUFFIXES}")


def _turned(points: Array, up: str) -> Array:
    """Turn points (n, 3) with y up so that another axis is, the third staying level."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    return np.stack({"x": (y, -x, z), "y": (x, y, z), "z": (x, -z, y)}[up], axis=1)


READERS: dict[str, Callable[[Path], Array]] = {
    ".ply": read_ply,
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
    ".xyz": read_points,
    ".txt": read_points,
    ".csv": read_points,
    ".pts": read_points,
    ".npy": read_npy,
    ".npz": read_npz,
    ".off": read_off,
    ".obj": read_obj,
    ".stl": read_stl,
    ".glb": read_glb,
}
SUFFIXES = ", ".join(suffix[1:] for suffix in READERS)
