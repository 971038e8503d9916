"""Any file that holds one cloud, or one mesh, to points."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ForbiddenError, NoDataError, one_line
from ..storage.files import check_readable, forbidden
from .mesh_sampling import sample_mesh

VERSION = "2"
"""Of the readers: raised when the same file would give other points, so that caches are re-read."""
MESH_POINTS = 2048
"""Points drawn from a mesh, uniformly by area and keyed by the file's name."""

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


def _read_ply(path: Path) -> Array:
    from plyfile import PlyData

    ply = PlyData.read(path)
    vertex = ply["vertex"]
    points = np.stack([np.asarray(vertex[axis]) for axis in "xyz"], axis=1)
    if "face" not in ply or not len(ply["face"]):
        return points
    faces = ply["face"]
    corners = next(p.name for p in faces.properties if p.name in ("vertex_indices", "vertex_index"))
    return sample_mesh(points, _triangles(faces[corners]), MESH_POINTS, _key(path))


def _triangles(polygons: Any) -> NDArray[np.int64]:
    """Cut polygons into fans of triangles (F, 3)."""
    sizes = np.array([len(polygon) for polygon in polygons])
    fans = []
    for size in np.unique(sizes[sizes >= 3]):
        corners = np.stack([polygons[i] for i in np.flatnonzero(sizes == size)])  # (k, size)
        fans += [corners[:, [0, i, i + 1]] for i in range(1, size - 1)]
    return np.concatenate(fans).astype(np.int64) if fans else np.empty((0, 3), np.int64)


def _read_mesh(path: Path) -> Array:
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    return sample_mesh(mesh.vertices, mesh.faces, MESH_POINTS, _key(path))


def _read_obj(path: Path) -> Array:
    """A mesh, or vertices alone, which no library keeps: `v x y z` a line, and perhaps a colour."""
    with _text(path) as file:
        if any(line.lstrip().startswith(("f ", "f\t")) for line in file):
            return _read_mesh(path)
    with _text(path) as file:
        vertices = [line.split()[1:4] for line in file if line.lstrip()[:2] in ("v ", "v\t")]
    if not vertices:
        raise DataError("has neither faces nor vertices")
    return np.array(vertices, np.float64)


def _read_off(path: Path) -> Array:
    """A mesh whose counts may stand on the line of the keyword, as in `OFF490 518 0`."""
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    with _text(path) as file:
        counts = re.search(r"OFF\s*\d+\s+(\d+)", file.read(1000))
    if counts:  # polygons are cut into triangles by now, so more faces than announced are fine
        check_count("faces", int(counts[1]), len(mesh.faces))
    return sample_mesh(mesh.vertices, mesh.faces, MESH_POINTS, _key(path))


def check_count(what: str, announced: int, there: int) -> None:
    """Find out files that were cut off where no library notices."""
    if there < announced:
        raise DataError(f"is truncated (it announces {announced} {what}, but has {there})")


def _key(path: Path) -> str:
    """Name the draw by the file alone, so that moving a folder does not change its clouds."""
    return f"mesh:{path.name}"


def pcd(path: Path) -> Any:
    """A whole PCD file, as its library gives it."""
    from pypcd4.pypcd4 import PointCloud

    cloud = PointCloud.from_path(path)
    check_count("points", cloud.metadata.points, len(cloud.pc_data))
    return cloud


def _read_pcd(path: Path) -> Array:
    points: Array = pcd(path).numpy(("x", "y", "z"))
    return points


def las(path: Path) -> Any:
    """A whole LAS or LAZ file, as its library gives it."""
    import laspy

    found = laspy.read(path)
    check_count("points", found.header.point_count, len(found.points))
    return found


def _read_las(path: Path) -> Array:
    return np.asarray(las(path).xyz)  # float64: scaled and offset, often UTM


def _read_npy(path: Path) -> Array:
    return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]


def _read_npz(path: Path) -> Array:
    with np.load(path, allow_pickle=False) as arrays:
        for name in ("points", "xyz", "data"):
            if name in arrays:
                return arrays[name]  # type: ignore[no-any-return]
        if len(arrays.files) != 1:
            raise DataError(
                f"has arrays {', '.join(arrays.files) or 'of no name'}",
                fix="name one of them points, xyz or data",
            )
        return arrays[arrays.files[0]]  # type: ignore[no-any-return]


def _read_text(path: Path) -> Array:
    """Columns of numbers between spaces, commas or semicolons; the first three are x, y, z.

    Before them may stand `#` comments, a line with the number of points, and a line of column
    names, which then says where x, y and z are; so does a comment of as many names as there are
    columns.
    """
    layout = text_layout(path)
    names = layout.names
    columns = tuple(names.index(axis) for axis in "xyz") if names else (0, 1, 2)
    return read_text(path, layout, columns)


def read_text(path: Path, layout: "TextLayout", columns: tuple[int, ...]) -> Array:
    """Some columns of numbers (n, columns) of a text file."""
    skip, delimiter = layout.skip, layout.delimiter
    try:
        with _text(path) as file:
            points = np.loadtxt(
                file, delimiter=delimiter, usecols=columns, skiprows=skip, ndmin=2, comments="#"
            )
    except ValueError as error:
        place = _bad_line(path, skip, delimiter, columns) or f"a line ({error})"
        raise DataError(f"cannot be read in {place}") from error
    if layout.count is not None:
        check_count("points", layout.count, len(points))
    return points


def _text(path: Path) -> Any:
    # Comments may be in any encoding; a number that is not ASCII fails as a number.
    return path.open(encoding="utf-8-sig", errors="replace")


@dataclass(frozen=True)
class TextLayout:
    """What the first lines of a text file say."""

    skip: int
    """Lines before the numbers."""
    delimiter: str | None
    names: list[str] | None
    """Of the columns, in small letters, x, y and z among them; None: it names none."""
    count: int | None
    """Points that are announced."""


def text_layout(path: Path) -> TextLayout:
    """Look at the first lines of a text file."""
    skip, count = 0, None
    columns: list[str] | None = None
    comment: list[str] = []
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            text, _, remark = line.partition("#")
            text = text.strip().lstrip("/ ")
            if not text:
                names = _names_in(remark)
                comment = names if {"x", "y", "z"} <= set(names) else comment
                continue
            delimiter = ";" if ";" in text else "," if "," in text else None
            fields = text.split(delimiter)
            if count is None and len(fields) == 1 and text.isdecimal():
                count, skip = int(text), number
            elif not any(_is_number(field) for field in fields):
                names = [field.strip(" \"'").lower() for field in fields]
                if not {"x", "y", "z"} <= set(names):
                    raise DataError(
                        f"cannot be read in line {number} ({fields[0][:40]!r} is not a number)",
                        fix="write numbers, or name the columns, among them x, y and z",
                    )
                columns, skip = names, number
            else:
                if columns is None and len(comment) == len(fields) == len(set(comment)):
                    columns = comment
                return TextLayout(skip, delimiter, columns, count)
    raise DataError("has no points")


def _names_in(comment: str) -> list[str]:
    """The words of a comment, without what introduces them, as in `# Fields: x y z`."""
    words = [word.strip("\"'") for word in re.split(r"[\s,;]+", comment.strip("# \t\r\n").lower())]
    introduced = words[0].endswith(":") or words[0] in ("columns", "fields", "format")
    return words[1:] if introduced else words


def _bad_line(path: Path, skip: int, delimiter: str | None, columns: tuple[int, ...]) -> str | None:
    """Find the first line that is not numbers, and say what is wrong with it."""
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip()
            if number <= skip or not text:
                continue
            fields = text.split(delimiter)
            if len(fields) <= max(columns):
                return f"line {number} ({len(fields)} columns, {max(columns) + 1} needed)"
            for column in columns:
                if not _is_number(fields[column]):
                    return f"line {number} ({fields[column].strip()[:40]!r} is not a number)"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # 1_000 is a number to Python alone


READERS: dict[str, Callable[[Path], Array]] = {
    ".ply": _read_ply,
    ".pcd": _read_pcd,
    ".las": _read_las,
    ".laz": _read_las,
    ".xyz": _read_text,
    ".txt": _read_text,
    ".csv": _read_text,
    ".pts": _read_text,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".off": _read_off,
    ".obj": _read_obj,
    ".stl": _read_mesh,
    ".glb": _read_mesh,
}
SUFFIXES = ", ".join(suffix[1:] for suffix in READERS)
