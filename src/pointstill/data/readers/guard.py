"""Where the words of libraries end: whatever goes wrong in a file is one line that names it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import DataError, ForbiddenError, NoDataError
from ...storage.files import check_readable, forbidden

# What it logs goes nowhere but where the user sends it.
logging.getLogger("laspy").addHandler(logging.NullHandler())


LFS = b"version https://git-lfs.github.com/spec/"


def _check_fetched(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise DataError(
                "is a pointer of Git LFS in place of the file", fix="fetch it with `git lfs pull`"
            )


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Read a regular file, or a link to one; whatever goes wrong is a DataError that names it.

    What a library says of it is the cause of the error, and no part of its message.
    """
    try:
        if path.is_dir():
            raise DataError(
                "is a folder, but a cloud is a file", fix=f"give its files, such as {path}/*"
            )
        if not path.exists():
            raise NoDataError(
                "is a link to nothing" if path.is_symlink() else "does not exist",
                fix="check the path",
            )
        if not path.is_file():  # opening a pipe may wait for ever
            raise DataError("is no regular file", fix="give a file on a disk")
        check_readable(path, ForbiddenError)
        _check_fetched(path)
        with np.errstate(all="ignore"):  # whether its numbers are sound is looked at later
            yield
    except PermissionError as error:  # a folder on the way
        raise forbidden(path, error, ForbiddenError) from error
    except DataError as error:
        raise error.but(where=error.where or path) from error
    except MemoryError as error:
        raise DataError("needs more memory than there is", where=path) from error
    except Exception as error:  # whatever the libraries raise on a damaged file
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot be read ({error.strerror})", where=path) from error
        raise DataError(
            f"is damaged, or not a {path.suffix} file", where=path, fix="restore it"
        ) from error
