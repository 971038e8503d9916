"""NPY and NPZ: arrays of NumPy."""

import math
import warnings
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted
from .announced import check_unpacked, printable

POINTS = ("points", "xyz", "data")
"""What the array of the points is called in an NPZ archive, first choice first."""
MASKS = {"mask", "valid", "padding_mask"}
"""Arrays that may say which points are meant, in one of two ways."""


def read_arrays(path: Path, wanted: Wanted) -> Table:
    """The array of an NPY file, or those of an NPZ archive, whichever its suffix says.

    Of an archive: the array named points, xyz or data, or its only one, and features in arrays of
    their names with a row a point. An array of records is read by the names of its columns; other
    columns than the first three have numbers alone, from 0.

    Raises:
        DataError: an archive of several arrays none of which is named so; Python objects; more
            numbers announced than are there, or than clouds unpack to.

    Warns:
        UserWarning: bytes behind the array of an NPY file; a mask of points, which is not used.
    """
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            return _archive(path, wanted)
        file.seek(0)
        points = _array(file, path.stat().st_size)
        if file.read(1):
            warnings.warn(
                f"{path}: bytes behind its array are not read: write one array a file", stacklevel=2
            )
    return points_table(points, wanted)


def _archive(path: Path, wanted: Wanted) -> Table:
    with ZipFile(path) as archive:
        entries = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
        said = str(wanted.columns.get("xyz", ""))
        name = next((name for name in (said, *POINTS) if name in entries), None)
        if name is None and len(entries) == 1:
            (name,) = entries
        if name is None:
            there = ", ".join(list(entries)[:9])[:160]
            raise DataError(
                f"has arrays {ascii(there)[1:-1] or 'of no name'}",
                fix="name one of them points, xyz or data",
            )
        points = _entry(archive, entries[name])
        within, beside = wanted.parted(points.dtype.names or (), entries)
        table = points_table(points, within)
        _say_masked(path, archive, entries, len(table["xyz"]))
        more = {}
        for feature, each in beside.arrays(entries.keys() - {name}).items():
            values = _entry(archive, entries[each])
            if values.shape[:1] == table["xyz"].shape[:1]:
                more[feature] = values.reshape(len(values), -1)
    return wanted.joined(table, more)


def _say_masked(path: Path, archive: ZipFile, entries: dict[str, ZipInfo], points: int) -> None:
    for name in MASKS & entries.keys():
        mask = _entry(archive, entries[name])
        if mask.dtype == bool and mask.shape == (points,) and 0 < mask.sum() < points:
            warnings.warn(
                f"{path}: its {name}, true of {mask.sum():,} of {points:,} points, is not used: "
                "save the points that are meant",
                stacklevel=2,
            )


def _entry(archive: ZipFile, entry: ZipInfo) -> NDArray[Any]:
    check_unpacked(entry.file_size, entry.compress_size)
    with archive.open(entry) as file:
        return _array(file, entry.file_size)


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    """An array of a file of some bytes."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):  # 3.0 is 2.0 with names that are not Latin-1
        read = np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():  # headers that Python 2 wrote are as good as others
        warnings.simplefilter("ignore", UserWarning)
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise DataError("holds Python objects, which are not opened", fix="save arrays of numbers")
    if not dtype.itemsize:  # of which a small file has any number
        raise DataError(f"has elements of no size ({printable(str(dtype))})")
    announced, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if announced > there:
        raise DataError(f"is truncated (it announces {announced} bytes, but has {there})")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.lib.format.read_array(file, allow_pickle=False)


def points_table(points: NDArray[Any], wanted: Wanted) -> Table:
    """The points of an array, and what else is wanted of its columns.

    Args:
        points: (n, 3 or more), whose columns have numbers from 0, or records, whose have names.
        wanted: what is read; without `columns`, points without names stay as wide as they are.

    Raises:
        DataError: see `Wanted`.
    """
    if points.dtype.names:
        rows, kinds = points.reshape(-1), points.dtype
        names = [name for name in kinds.names or () if not kinds[name].shape]
        places = wanted.among(names)
        return wanted.table({ours: rows[names[place]] for ours, place in places.items()})
    if points.ndim != 2 or not wanted.columns:
        return {"xyz": points}
    places = wanted.numbered(points.shape[1])
    return wanted.table({ours: points[:, place] for ours, place in places.items()})
