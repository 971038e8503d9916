"""What only a local disk needs: nothing is lost with the power, and one writer at a time."""

import os
import shutil
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from ..errors import RecordsError
from ..storage import locking


def lock(path: Path) -> AbstractContextManager[None]:
    """Be the only process that writes a store; the lock ends with the process, however it ends.

    It is a file beside the store, as the store need not exist yet.

    Raises:
        RecordsError: another process has it (named by host and number), or it cannot be made.
    """
    file = path.absolute().with_name(f".{path.name}.lock")
    return locking.lock(file, path, RecordsError, partial(refusal, "written"))


def draft_of(path: Path) -> Path:
    """Where a store is put together before it gets its name; each time another place.

    After an error Zarr's threads may still write into the draft before.
    """
    return path.absolute().with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.draft")


def remove(folder: Path) -> None:
    """Remove a folder, also while Zarr's threads still write what was asked for before an error."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)  # for what is still being written
        if not folder.exists():
            return


def sweep(path: Path) -> None:
    """Remove what killed writers left in a store and beside it; call it under the lock."""
    try:
        for leftover in path.rglob("*.partial"):
            leftover.unlink(missing_ok=True)
        for leftover in path.absolute().parent.glob(f".{path.name}.*.draft"):
            remove(leftover)
    except OSError as error:
        raise refusal("written", path, error) from error


def refusal(verb: str, path: Path | str, error: OSError) -> RecordsError:
    """What to say when the disk says no."""
    reason = error.strerror or str(error)
    return RecordsError(
        f"records at {path} cannot be {verb} ({reason}): free or allow space, then run the same "
        "command again; what is recorded stays"
    )


def occupied(path: Path | str) -> RecordsError:
    """What to say where a new store would lie over something else."""
    return RecordsError(f"{path} exists and is no record store: choose another --out")


def forbidden(path: Path | str, error: PermissionError) -> RecordsError:
    """What to say of a store, or a file of one, that may not be read."""
    return RecordsError(
        f"{path} cannot be read ({error.strerror}): mend its permissions; nothing says that it is "
        "damaged"
    )
