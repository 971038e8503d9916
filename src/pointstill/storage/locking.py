"""One writer at a time, by a lock that ends with its process."""

import json
import os
import platform
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EEXIST, ELOOP
from pathlib import Path
from typing import IO

from ..errors import PointstillError
from .documents import parse_json

try:
    import fcntl
except ImportError:  # Windows, where clouds are classified, and nothing is trained or recorded
    fcntl = None  # type: ignore[assignment]


@contextmanager
def lock(
    file: Path,
    what: Path,
    busy: type[PointstillError],
    unwritable: Callable[[Path, OSError], PointstillError],
) -> Iterator[None]:
    """Be the only process that writes something.

    Args:
        file: the lock, which is there for so long.
        what: the thing that is written, for messages.
        busy: what to raise when another process has it, which is named by host and number.
        unwritable: makes what to raise when the lock cannot be made.
    """
    if fcntl is None:
        raise busy(
            "cannot be locked on this system, which has no flock",
            where=what,
            fix="write it on Linux or macOS",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(file, what, busy)
    except OSError as error:
        raise unwritable(what, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)  # while it is still ours
        os.close(handle)


def hold(handle: IO[bytes]) -> bool:
    """Lock an open file until it is closed; False if another process has.

    Where there are no locks nobody has.

    Raises:
        OSError: this disk has none.
    """
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(file: Path, what: Path, busy: type[PointstillError]) -> int:
    while True:
        handle = _opened(file)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                holder = parse_json(os.pread(handle, 999, 0))
                who = f"process {holder['process']} on {holder['host']}"
            except (ValueError, LookupError, TypeError):
                who = "another process"  # which has not written its name yet
            os.close(handle)
            raise busy(
                f"is being written by {who}",
                where=what,
                fix="wait until it ends, or choose another --out",
            ) from None
        with suppress(FileNotFoundError):
            # Whoever had it before may have removed the file between our opening and locking it.
            if os.fstat(handle).st_ino == file.stat().st_ino:
                name = {"process": os.getpid(), "host": platform.node()}
                os.truncate(handle, 0)
                os.pwrite(handle, json.dumps(name).encode(), 0)
                return handle
        os.close(handle)


def _opened(file: Path) -> int:
    """Open a lock, or make it.

    A lock is no more than a name, whoever made it; but a link could lead to a file of worth, and
    `O_EXCL` would keep a killed job from going on.

    Raises:
        OSError: a link or something else than a file is there.
    """
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno == ELOOP:
            raise OSError(ELOOP, f"its lock {file.name} is a link") from error
        raise
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(handle)
        raise OSError(EEXIST, f"its lock {file.name} is no file of its own")
    return handle


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder itself, as a sign that whoever fills it lives.

    Where a file system locks no folders, it is not locked.

    Raises:
        BlockingIOError: another process has it.
        OSError: there is none, or it is a link.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
