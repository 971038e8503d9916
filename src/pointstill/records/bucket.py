"""A store below a URL: objects are put whole or not at all, and nothing is renamed or locked.

The order of the puts takes the place of both. A new store is claimed by its backup, which is put
only where none is and says what it will be; its root header comes last, so that half a store is
none. A tile's probe comes last, after the answers to the puts before it. Whoever writes a tile
twice writes the same.
"""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import obstore
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from ..errors import RecordsError
from ..storage.object_store import PARALLEL, TRIES, HalfError, Remote, told
from . import headers
from .location import occupied, refusal

ROOT = "zarr.json"


class Bucket:
    """A store below a URL; a `Location`."""

    def __init__(self, remote: Remote):
        self.path, self.remote = remote.url, remote

    def taken(self) -> bool:
        """Whether a whole store or something else is there; a half-made store may be made again."""
        return self.has(ROOT) or not (self.has(headers.BACKUP) or self.remote.empty())

    def holds(self) -> bool:
        """Whether its root header or its backup is there."""
        return self.has(ROOT) or self.has(headers.BACKUP)

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        return self.remote.has(name)

    def read(self, name: str) -> bytes:
        """The content of an object."""
        return self.remote.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Put an object; the answer comes when it is there to last."""
        self.remote.write(name, content)

    def settle(self, names: Iterable[str]) -> None:
        """Nothing to wait for: Zarr had the answers to its puts."""

    def files(self, folder: str) -> dict[str, int]:
        """The objects below a name, and their bytes."""
        return {
            found.name.removeprefix(f"{folder}/"): found.size for found in self.remote.list(folder)
        }

    def size(self) -> int:
        """Bytes of all objects."""
        return sum(found.size for found in self.remote.list())

    def zarr(self) -> "Chunks":
        """The objects, as Zarr reads and writes them."""
        return Chunks(self.remote)

    def note(self, line: str) -> None:
        """Put a line as an object of its own, as nothing can be added to one."""
        name = f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}"
        self.write(f"provenance/{name}.jsonl", line.encode() + b"\n")

    def lock(self) -> AbstractContextManager[None]:
        """No lock: two recorders of one store write the same objects."""
        return nullcontext()

    def sweep(self) -> None:
        """Nothing to put in order: a half-made store is made again over itself."""

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A temporary folder, which is put here at the end.

        Raises:
            RecordsError: something else is here, another process has just made another store, or
                the disk of the temporary folder refuses.
        """
        if not self.holds() and self.taken():
            raise occupied(self.path)
        try:
            with TemporaryDirectory(prefix="pointstill-") as folder:
                draft = Path(folder) / "records.zarr"
                yield draft
                self._publish(draft)
        except OSError as error:
            raise refusal("made", self.path, error) from error

    def _publish(self, draft: Path) -> None:
        backup = (draft / headers.BACKUP).read_bytes()
        claimed = self.remote.write(headers.BACKUP, backup, new=True)
        if not claimed and self.read(headers.BACKUP) != backup:
            raise RecordsError(
                "was claimed by another process, from something else or on another kind of machine",
                where=self.path,
                fix="run the same command again when it is made, or, if that process is gone, "
                f"after `pointstill records repair {self.path}`",
            )
        files = [file for file in draft.rglob("*") if file.is_file()]
        names = {str(file.relative_to(draft)) for file in files} - {headers.BACKUP}
        probes = {name for name in names if name.startswith("probe/c")}
        for group in (names - probes - {ROOT}, probes, {ROOT}):
            with ThreadPoolExecutor(PARALLEL) as pool:
                list(pool.map(lambda name: self.write(name, (draft / name).read_bytes()), group))


class Chunks(ObjectStore[Any]):
    """Zarr's own store over obstore; a fault is never taken for a chunk that is missing."""

    def __init__(self, remote: Remote):
        super().__init__(remote.store)
        self.url = remote.url

    def __str__(self) -> str:
        return self.url

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object whole; None only where it is known that it is not there."""
        assert byte_range is None, "no array of a store is sharded"
        for left in reversed(range(TRIES)):
            try:
                with told(f"{self.url}/{key}"):
                    answer = await obstore.get_async(self.store, key)
                    return prototype.buffer.from_bytes(bytes(await answer.bytes_async()))
            except FileNotFoundError:
                break
            except HalfError:
                if not left:
                    raise
        return None

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object."""
        with told(f"{self.url}/{key}"):
            await super().set(key, value)
