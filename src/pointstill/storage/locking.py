"""One writer at a time, by a lock that ends with its process."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import PointstillError


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


def _locked(file: Path, what: Path, busy: type[PointstillError]) -> int:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                holder = json.loads(os.pread(handle, 999, 0))
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
                name = {"process": os.getpid(), "host": os.uname().nodename}
                os.truncate(handle, 0)
                os.pwrite(handle, json.dumps(name).encode(), 0)
                return handle
        os.close(handle)


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
