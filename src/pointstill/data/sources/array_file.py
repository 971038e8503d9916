"""Named arrays in one file, NPZ or HDF5: their shapes at once, their rows as they are asked for."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..readers.announced import check_unpacked, printable
from ..readers.guard import guarded
from .hdf5 import numbers, opened, own

Array = NDArray[Any]
Shapes = dict[str, tuple[tuple[int, ...], str]]
"""Array -> its shape and kind of dtype, `U` for all texts."""
SUFFIXES = (".npz", ".h5", ".hdf5")
PIECE = 8 << 20
"""Bytes of an array that are read, and held, at a time."""


class ArrayFile(Protocol):
    """What both kinds of file offer."""

    @property
    def shapes(self) -> Shapes:
        """All arrays that may be read."""

    def whole(self, name: str) -> Array:
        """All of a small array; texts as Unicode."""

    def rows(self, name: str) -> Callable[[int, int], Array]:
        """A function that reads the rows `start` to `stop`; fastest where they only go up."""


def open_arrays(path: Path) -> ArrayFile:
    """Whichever its suffix says.

    Raises:
        DataError: it is damaged, is no such file, or holds what is larger than it could be.
    """
    return Npz(path) if path.suffix.lower() == ".npz" else Hdf5(path)


class Npz:
    """An archive of NumPy; Python objects in it are never opened."""

    def __init__(self, path: Path):
        self.path = path
        self.shapes: Shapes = {}
        with guarded(path), ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    shape, _, dtype = _header(file)
                kind = "U" if dtype.kind == "S" else dtype.kind
                self.shapes[entry.filename.removesuffix(".npy")] = (shape, kind)

    def whole(self, name: str) -> Array:
        """All of a small array; texts as Unicode."""
        with self._entry(name) as (file, shape, fortran, dtype):
            content = _exactly(file, math.prod(shape) * dtype.itemsize)
            found = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
            return _texts(found) if found.dtype.kind == "S" else found

    def rows(self, name: str) -> Callable[[int, int], Array]:
        """A function that reads the rows `start` to `stop`; the archive is unpacked once."""
        with self._entry(name) as (file, shape, fortran, dtype):
            start = file.tell()
            each = math.prod(shape[1:]) * dtype.itemsize
        if fortran:  # its rows are all over the file
            array = self.whole(name)
            return lambda first, stop: array[first:stop]
        handle: list[IO[bytes]] = []

        def read(first: int, stop: int) -> Array:
            with guarded(self.path):
                if not handle:
                    handle.append(ZipFile(self.path).open(f"{name}.npy"))  # noqa: SIM115 - goes on
                handle[0].seek(start + first * each)
                content = _exactly(handle[0], (stop - first) * each)
            return np.frombuffer(content, dtype).reshape(-1, *shape[1:])

        return _in_pieces(read, shape[0], each)

    @contextmanager
    def _entry(self, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype[Any]]]:
        with guarded(self.path), ZipFile(self.path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            check_unpacked(entry.file_size, entry.compress_size)
            with archive.open(entry) as file:
                shape, fortran, dtype = _header(file)
                if dtype.hasobject:
                    raise DataError(
                        f"has Python objects for {printable(name)}, which are not opened",
                        fix="save arrays of numbers and texts",
                    )
                if not dtype.itemsize:
                    raise DataError(f"has elements of no size for {printable(name)}")
                announced = math.prod(shape) * dtype.itemsize
                if announced > (there := entry.file_size - file.tell()):
                    raise DataError(
                        f"is truncated ({printable(name)} announces {announced} bytes, but has "
                        f"{there})"
                    )
                yield file, shape, fortran, dtype


class Hdf5:
    """An HDF5 file; arrays at its top alone, none that lies elsewhere."""

    def __init__(self, path: Path):
        import h5py

        self.path = path
        self.shapes: Shapes = {}
        with opened(path) as arrays:
            for name in arrays:
                if not isinstance(arrays.get(name, getlink=True), h5py.HardLink):
                    continue
                array = arrays[name]
                if isinstance(array, h5py.Dataset) and array.shape:
                    text = h5py.check_string_dtype(array.dtype) is not None
                    self.shapes[name] = (array.shape, "U" if text else array.dtype.kind)

    def whole(self, name: str) -> Array:
        """All of a small array; texts as Unicode."""
        import h5py

        with opened(self.path) as arrays:
            array = own(arrays, name)
            text = h5py.check_string_dtype(array.dtype)
            if text is None:
                return np.asarray(numbers(arrays, name))
            if text.length is None:  # in a damaged heap of such the library loops or crashes
                raise DataError(
                    f"has texts of any length for {printable(name)}, which are not read",
                    fix='write them as bytes of one length, in NumPy array.astype("S")',
                )
            return _texts(np.asarray(array))

    def rows(self, name: str) -> Callable[[int, int], Array]:
        """A function that reads the rows `start` to `stop`."""
        shape, _ = self.shapes[name]
        with opened(self.path) as arrays:
            each = math.prod(shape[1:]) * numbers(arrays, name).dtype.itemsize

        def read(first: int, stop: int) -> Array:
            with opened(self.path) as arrays:
                return np.asarray(numbers(arrays, name)[first:stop])

        return _in_pieces(read, shape[0], each)


def _in_pieces(
    read: Callable[[int, int], Array], rows: int, each: int
) -> Callable[[int, int], Array]:
    """Read at least `PIECE` bytes of an array of rows of `each` bytes, and give parts of them."""
    held: list[Any] = [0, 0, None]

    def part(first: int, stop: int) -> Array:
        if held[2] is None or first < held[0] or stop > held[1]:
            held[:] = [0, 0, None]  # let go of the last before the next is read
            end = min(rows, max(stop, first + PIECE // max(each, 1)))
            held[:] = [first, end, read(first, end)]
        found: Array = held[2][first - held[0] : stop - held[0]]
        return found

    return part


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and dtype of an array that begins there."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran, dtype


def _exactly(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise DataError(f"is truncated (of {count} bytes, {len(content)} are there)")
    return content


def _texts(given: Array) -> Array:
    return np.char.decode(given, "utf-8")
