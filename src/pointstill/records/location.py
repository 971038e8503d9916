"""Where a store lies: a folder on a disk, or below a URL in an object store."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ..errors import NoRecordsError, RecordsError
from ..storage import files
from ..storage.object_store import Remote
from ..storage.paths import local
from . import disk

SIDECAR = "provenance.jsonl"
"""Who recorded which tile, when and how fast: beside the arrays, outside of any comparison."""


class Location(Protocol):
    """The files of a store, by their names in it."""

    @property
    def path(self) -> Path | str:
        """As the user named it."""

    def taken(self) -> bool:
        """Whether something is there, so that no new store can be made."""

    def holds(self) -> bool:
        """Whether what is there may be a store, whole or damaged."""

    def has(self, name: str) -> bool:
        """Whether a file is there."""

    def read(self, name: str) -> bytes:
        """The content of a file; FileNotFoundError where it is missing."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, to last."""

    def settle(self, names: Iterable[str]) -> None:
        """Wait until files that Zarr wrote are there to last."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder."""

    def size(self) -> int:
        """Bytes of all files."""

    def zarr(self) -> Any:
        """What Zarr opens."""

    def note(self, line: str) -> None:
        """Add a line to the sidecar."""

    def lock(self) -> AbstractContextManager[None]:
        """Be the only process that writes, where that can be had."""

    def sweep(self) -> None:
        """Put in order what killed writers left; call it under the lock."""

    def new(self) -> AbstractContextManager[Path]:
        """A folder on a disk to build a store in, which comes to this place at the end, or goes."""


def locate(where: str | Path) -> Location:
    """The place that a path or a URL names.

    Raises:
        UsageError: a URL of an unknown kind, or obstore is not installed.
    """
    path = local(where)
    if path is not None:
        return Folder(path)
    store = Remote(str(where))  # first, as it says what to install
    from .bucket import Bucket

    return Bucket(store)


def no_store(place: Location) -> RecordsError:
    """The error for a place that holds no store: of the command line, if nothing is there."""
    kind = RecordsError if place.taken() else NoRecordsError
    return kind(
        f"{place.path} is no record store (no zarr.json in it): give the path of one, or make one "
        "with `pointstill record` at a path that does not exist yet"
    )


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
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Replace a file by way of a draft, and wait for the disk."""
        (self.path / name).parent.mkdir(exist_ok=True)
        files.replace_file(self.path / name, content)

    def settle(self, names: Iterable[str]) -> None:
        """Wait for the disk."""
        files.sync(self.path / name for name in names)

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder."""
        return [f"{folder}/{file.name}" for file in sorted((self.path / folder).glob("*"))]

    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def zarr(self) -> Path:
        """The path."""
        return self.path

    def note(self, line: str) -> None:
        """Add a line to the sidecar."""
        try:
            with (self.path / SIDECAR).open("a", encoding="utf-8") as sidecar:
                sidecar.write(line + "\n")
        except OSError as error:
            raise disk.refusal("written", self.path, error) from error

    def lock(self) -> AbstractContextManager[None]:
        """Be the only process that writes; see `disk.lock`."""
        return disk.lock(self.path)

    def sweep(self) -> None:
        """Remove what killed writers left; see `disk.sweep`."""
        disk.sweep(self.path)

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A folder beside this one, which takes its name at the end.

        Raises:
            RecordsError: something has that name, or the disk refuses.
        """
        if self.taken():
            raise disk.occupied(self.path)
        draft = disk.draft_of(self.path)
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            draft.rename(self.path)
            files.sync([self.path])
        except OSError as error:
            disk.remove(draft)
            raise disk.refusal("made", self.path, error) from error
        except (Exception, KeyboardInterrupt):
            disk.remove(draft)
            raise
