"""HDF5 files: arrays that lie in the file itself, and are no larger than it can hold."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import DataError, ForbiddenError
from ..readers.announced import check_unpacked
from ..readers.guard import guarded

HELD = 1 << 24
"""Bytes that any array of an HDF5 file may unpack to."""


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """An HDF5 file, to read; see `guarded`."""
    import h5py

    try:
        with guarded(file), h5py.File(file, "r") as arrays:
            yield arrays
    except ForbiddenError:
        raise
    except DataError as error:
        raise error.but(fix=error.fix or "restore it") from error


def numbers(arrays: Any, name: str) -> Any:
    """An array of numbers that `own` gives.

    Raises:
        DataError: it is not.
    """
    array = own(arrays, name)
    if array.dtype.kind not in "fiu":
        raise DataError(f"has for {name} what is no array of numbers")
    return array


def own(arrays: Any, name: str) -> Any:
    """An array that lies in the file itself, and is not larger than the file can hold.

    Raises:
        DataError: it is not.
    """
    import h5py

    link = arrays.get(name, getlink=True)
    if link is None:
        raise DataError(f"has no array {name}")
    if not isinstance(link, h5py.HardLink):  # which may lead to another file
        raise DataError(f"has a link for {name}", fix="write the numbers into the file")
    array = arrays[name]
    if not isinstance(array, h5py.Dataset) or not array.shape:
        raise DataError(f"has for {name} what is no array of numbers")
    if array.external or array.is_virtual:
        raise DataError(
            f"has its {name} in another file, which is not opened",
            fix="write the numbers into the file",
        )
    stored = array.id.get_storage_size()
    check_unpacked(array.nbytes, stored, HELD)
    check_unpacked(math.prod(array.chunks or ()) * array.dtype.itemsize, stored, HELD)
    return array
