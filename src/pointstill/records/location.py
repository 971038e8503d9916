"""Where a store lies: a folder on a disk, or below a URL in an object store."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ..errors import RecordsError

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

    def files(self, folder: str) -> dict[str, int]:
        """The files in a folder, by name, and their bytes."""

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
        """A folder on a disk to build a store in, which comes here at the end, or goes."""


def refusal(verb: str, path: Path | str, error: OSError) -> RecordsError:
    """What to say when the disk says no."""
    return RecordsError(
        f"cannot be {verb} ({error.strerror or error})",
        where=path,
        fix="free or allow space, then run the same command again; what is recorded stays",
    )


def occupied(path: Path | str) -> RecordsError:
    """What to say where a new store would lie over something else."""
    return RecordsError("exists and is no record store", where=path, fix="choose another --out")
