"""A store in a folder: nothing is lost with the power, and one writer at a time."""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from ..errors import RecordsError
from ..storage import files, locking
from . import headers
from .location import SIDECAR, occupied, refusal

HALF = re.compile(r"(zarr|c|spare)\..+\.partial")
"""Files that Zarr, or `write`, had begun."""


class Folder:
    """A folder on a disk."""

    def __init__(self, path: Path):
        self.path = path

    def taken(self) -> bool:
        """Whether anything has its name."""
        return self.path.exists()

    def holds(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return files.read_regular(self.path / name)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file by way of a draft, and wait for the disk."""
        (self.path / name).parent.mkdir(exist_ok=True)
        files.replace_file(self.path / name, content)

    def settle(self, names: Iterable[str]) -> None:
        """Wait for the disk."""
        files.sync(self.path / name for name in names)

    def files(self, folder: str) -> dict[str, int]:
        """The files in a folder, by name, and their bytes."""
        try:
            with os.scandir(self.path / folder) as found:
                sizes = {file.name: file.stat().st_size for file in found if file.is_file()}
        except FileNotFoundError:
            return {}
        return dict(sorted(sizes.items()))

    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def zarr(self) -> Path:
        """The path."""
        return self.path

    def note(self, line: str) -> None:
        """Add a line to the sidecar."""
        try:
            with open(self.path / SIDECAR, "ab+", opener=_not_elsewhere) as sidecar:
                # A killed writer may have left half a line, which must not take this one along.
                end = sidecar.seek(0, os.SEEK_END)
                sidecar.seek(max(end - 1, 0))
                begin = b"" if sidecar.read(1) in (b"", b"\n") else b"\n"
                sidecar.write(begin + line.encode() + b"\n")
        except OSError as error:
            raise refusal("written", self.path, error) from error

    def lock(self) -> AbstractContextManager[None]:
        """Be the only process that writes; the lock ends with the process, however it ends.

        It is a file beside the store, as the store need not exist yet.

        Raises:
            RecordsError: another process has it (named by host and number), or it cannot be made.
        """
        file = self.path.absolute().with_name(f".{self.path.name}.lock")
        return locking.lock(file, self.path, RecordsError, partial(refusal, "written"))

    def sweep(self) -> None:
        """Remove what killed writers left here and beside; call it under the lock.

        Nothing but its own: `records` leaves alone what is of `records.zarr`, and a draft whose
        maker lives is locked.
        """
        mine = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9-]+\.draft")
        try:
            for folder in (self.path, *(self.path / name for name in headers.ARRAYS)):
                for leftover in folder.glob("*.partial"):
                    if HALF.fullmatch(leftover.name):
                        leftover.unlink(missing_ok=True)
            for leftover in self.path.absolute().parent.glob(".*.draft"):
                if mine.fullmatch(leftover.name):
                    gone = suppress(FileNotFoundError, NotADirectoryError, BlockingIOError)
                    with gone, locking.held(leftover):
                        _remove(leftover)
        except OSError as error:
            raise refusal("written", self.path, error) from error

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A folder beside this one, which takes its name at the end.

        Raises:
            RecordsError: something has that name, or the disk refuses.
        """
        if self.taken():
            raise occupied(self.path)
        # Each time another, as after an error Zarr's threads may still write into the one before.
        name = f".{self.path.name}.{os.getpid()}-{uuid.uuid4().int % 10**12}.draft"
        draft = self.path.absolute().with_name(name)
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.mkdir()
            with locking.held(draft):
                yield draft
                draft.rename(self.path)
                files.sync([self.path])
        except OSError as error:
            _remove(draft)
            raise refusal("made", self.path, error) from error
        except (Exception, KeyboardInterrupt):
            _remove(draft)
            raise


def _not_elsewhere(path: str, flags: int) -> int:
    """Open no link: what is added to would be somebody else's file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _remove(folder: Path) -> None:
    """Remove a folder, also while Zarr's threads still write what was asked for before an error."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)  # for what is still being written
        if not folder.exists():
            return
