"""Files whole or not at all, on the disk and not in its cache alone; what may be written."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EEXIST, EINVAL, EISDIR, ENOENT
from pathlib import Path
from tempfile import TemporaryFile

from ..errors import PointstillError

LONGEST_NAME = 255
"""Bytes of a file's name, on nearly every disk."""

MOST_BYTES = 1 << 20
"""Of a recipe, a description, a class map, class names: so many hold 20,000 classes."""


def check_writable(path: Path, *, folder: bool = False) -> None:
    """See that a file, or files in a folder, can be written, before any work; folders are made.

    Raises:
        PointstillError: they cannot.
    """
    within = path if folder else path.parent
    try:
        if not folder:
            _check_replaceable(path)
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


def read_regular(path: Path) -> bytes:
    """The content of a file that was kept, or of the file that a link leads to.

    Raises:
        OSError: it cannot be read; or it is a pipe, which would block for ever, or a device, which
            may have no end.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(EINVAL, "it is no regular file", str(path))
        return file.read()


def read_bounded(path: Path) -> bytes:
    """The content of a file that a user names, which may be a pipe, and one that never ends.

    Raises:
        OSError: it cannot be read.
        ValueError: it is longer than `MOST_BYTES`.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    return content


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # which Windows has not


@contextmanager
def whole(path: Path, draft: Path | None = None) -> Iterator[Path]:
    """Replace a file by way of a draft, which is on the disk before it takes the name.

    Everything that the package writes goes through here. A link, a pipe or a device at the path is
    refused: what a job writes neither takes the place of one nor goes to where it leads.

    Args:
        path: the file.
        draft: where to write, on the same disk, and of the caller's own: what a killed process
            left there is replaced; a hidden file of a new name beside it if nothing is said.

    Yields:
        The draft, an empty file, to be written.

    Raises:
        OSError: the disk refuses. Whatever fails, the file is what it was, and the draft is gone.
    """
    _check_replaceable(path)
    if draft:
        draft.unlink(missing_ok=True)
    draft = draft or _beside(path)
    # Nobody else's file, and no link that leads elsewhere.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield draft
        with draft.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise FileNotFoundError(ENOENT, "nothing was written for it", path)
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


def _check_replaceable(path: Path) -> None:
    """See that there is nothing at a path, or a file.

    Raises:
        OSError: a folder, a link, a pipe, a socket or a device is.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), path)
    if not stat.S_ISREG(mode):
        is_link = stat.S_ISLNK(mode)
        kind = "a link, which is not followed" if is_link else "a pipe, a socket or a device"
        raise FileExistsError(EEXIST, f"it is {kind}", path)


def _beside(path: Path) -> Path:
    """A hidden name that nobody can foresee, no longer than a name may be."""
    name, tail = path.name, f".{secrets.token_hex(6)}.draft"
    while len(os.fsencode(name)) + len(tail) + 1 > LONGEST_NAME:
        name = name[:-1]
    return path.with_name(f".{name}{tail}")


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
