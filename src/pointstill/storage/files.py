"""Files whole or not at all, on the disk and not in its cache alone; what may be written."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from pathlib import Path
from tempfile import TemporaryFile

from ..errors import PointstillError


def check_writable(path: Path, *, folder: bool = False) -> None:
    """See that a file, or files in a folder, can be written, before any work; folders are made.

    Raises:
        PointstillError: they cannot.
    """
    if not folder and path.exists() and not (path.is_file() or path.is_dir()):
        return  # a pipe or a device
    within = path if folder else path.resolve().parent
    try:
        if not folder and path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        within.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=within):
            pass
    except OSError as error:
        raise PointstillError(
            f"cannot be written ({error.strerror})", where=path, fix="choose another place"
        ) from error


def forbidden(path: object, error: PermissionError, kind: type[PointstillError]) -> PointstillError:
    """The error, of a kind, for a file that may not be read."""
    return kind(
        f"cannot be read ({error.strerror})",
        where=path,
        fix="mend its permissions; nothing says that it is damaged",
    )


def check_readable(path: Path, kind: type[PointstillError]) -> None:
    """See that a file that is there may be read, as not every library says why it cannot.

    Raises:
        PointstillError: of the kind: its permissions do not let it be read.
    """
    try:
        path.open("rb").close()
    except PermissionError as error:
        raise forbidden(path, error, kind) from error


@contextmanager
def whole(path: Path, draft: Path | None = None) -> Iterator[Path]:
    """Replace a file by way of a draft, which is on the disk before it takes the name.

    Args:
        path: the file.
        draft: where to write, on the same disk; a hidden file beside it if nothing is said.

    Yields:
        The draft, to be written.

    Raises:
        OSError: the disk refuses. Whatever fails, the file is what it was, and the draft is gone.
    """
    draft = draft or path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, draft: Path | None = None) -> None:
    """Replace a file with some content; see `whole`."""
    with whole(path, draft) as file:
        file.write_bytes(content)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and wait until it has its name on the disk."""
    write_whole(path, content, path.with_name(f"{path.name}.{os.getpid()}.partial"))
    _sync(path.parent)


def sync(files: Iterable[Path]) -> None:
    """Wait until files and their names are on the disk, not only in its cache.

    The contents first, then the folders that hold the names: Zarr's own store never does either.
    """
    folders: dict[Path, None] = {}
    for file in files:
        _sync(file)
        folders[file.parent] = None
    for folder in folders:
        _sync(folder)


def sync_tree(root: Path) -> None:
    """The same for everything below a folder, and the folder itself."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
