"""Parsed splits on disk, memory-mapped: a second start reads nothing but an index.

A cache is a folder of entries, one per split, each named by the SHA-256 of everything that decides
its content. Entries are written beside their place and renamed into it, so that a reader sees a
whole entry or none, whoever is killed and however many write. Deleting any of them is always safe.

`meta.json` holds its own digest and those of the other files: all are compared when an entry is
opened, but for the points. These have a digest a block, and a block is compared before its first
use in a process, so that opening stays immediate and nothing that is damaged is used.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..storage.documents import check, parse_json
from ..storage.locking import hold
from ..storage.paths import home
from .source import unreadable

FORMAT = 4
"""Of the entries: raised too when `check_cloud` refuses, or shifts, other clouds."""
WRITING = ".writing-"
GRACE = 60.0
"""Seconds that a new writer has to lock its folder before a sweep may take it for a dead one."""
BLOCK = 1 << 20
"""Bytes of points with a digest of their own."""
POINTS, NAMES, GROUPS = "points.npy", "names", "groups"
ARRAYS = {"offsets.npy": "<i8", "labels.npy": "<i8", "blocks.npy": "|u1", "clouds.npy": "|u1"}
"""The files of an entry beside these and `meta.json`; that of groups is there if they are known."""


class Meta(TypedDict):
    """What `meta.json` holds beside its own digest."""

    classes: list[str]
    name: str  # of the split
    up: str
    fingerprint: str
    width: int  # numbers a point
    start: int  # bytes before the points in their file
    files: dict[str, str]  # SHA-256 of each other file; of that of the points, of these bytes
    bad: NotRequired[list[str]]
    missing: NotRequired[list[int]]
    features: NotRequired[list[str]]
    channels: NotRequired[int]


class Damaged(Exception):
    """What is in the cache is not what was written there."""


class Pages:
    """The points (total, F) of an entry in their file; nothing is given out before its digest."""

    def __init__(self, array: NDArray[np.float32], digests: NDArray[np.uint8]):
        self.array, self._digests = array, digests
        self._bytes = array.reshape(-1).view(np.uint8).data
        self._unseen = np.ones(len(digests), bool)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Points `start` to `stop`, memory-mapped.

        Raises:
            Damaged: a block is not what was written.
        """
        size = self.array.shape[1] * self.array.itemsize
        first, last = start * size // BLOCK, -(-stop * size // BLOCK)
        for block in (first + np.flatnonzero(self._unseen[first:last])).tolist():
            found = hashlib.sha256(self._bytes[block * BLOCK : (block + 1) * BLOCK]).digest()
            if found != self._digests[block].tobytes():
                raise Damaged
            self._unseen[block] = False
        return self.array[start:stop]


@dataclass(eq=False)
class Entry:
    """One cached split: points (total, 3) memory-mapped, offsets (S + 1,), labels (S,).

    Features are an entry of their own, with (total, F) in place of the points.
    """

    pages: Pages
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: list[str]
    clouds: NDArray[np.uint8]
    """(S, 16): the start of the SHA-256 of each cloud."""
    meta: Meta
    groups: list[str] | None = None
    """What each shape shares with others (S,), where it is known: no part of the fingerprint."""
    remake: Callable[[], "Entry"] | None = None
    """Makes a damaged entry again, with the same fingerprint."""

    @property
    def points(self) -> NDArray[np.float32]:
        """All points, compared with their digests; made again where they are not what was written.

        Raises:
            DataError: they are damaged, and cannot be made again.
        """
        self.rows(0, int(self.offsets[-1]))
        return self.pages.array

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Points `start` to `stop`; see `points`."""
        try:
            return self.pages.rows(start, stop)
        except Damaged:
            if self.remake is None:
                raise DataError(
                    f"the {self.meta['name']} clouds in the cache are damaged",
                    fix="read them anew with `pointstill data info DATA --verify`",
                ) from None
        self.pages = self.remake().pages
        return self.pages.rows(start, stop)

    def sound(self) -> bool:
        """Whether all points are what was written; reads those that were not read before."""
        try:
            self.pages.rows(0, int(self.offsets[-1]))
        except Damaged:
            return False
        return True


def default_root() -> Path:
    """`$POINTSTILL_CACHE`, or `~/.cache/pointstill`."""
    said = os.environ.get("POINTSTILL_CACHE")
    return Path(said).expanduser() if said else home() / ".cache" / "pointstill"


def entry_key(files: Iterable[Path], **about: Any) -> str:
    """Name an entry by what decides its content: `about`, and paths, sizes and times of `files`.

    Raises:
        DataError: a file is missing.
    """
    stats = []
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:
            raise unreadable(file, error) from error
        stats.append((str(file.absolute()), stat.st_size, stat.st_mtime_ns))
    text = json.dumps({"format": FORMAT, "files": stats, **about}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def seal(content: dict[str, Any]) -> str:
    """A JSON document that holds the digest of the rest of it."""
    return json.dumps({"sha256": _digest_of(content), **content})


def unseal(text: str | bytes) -> dict[str, Any]:
    """What was sealed, without its digest.

    Raises:
        ValueError: it is not what was written.
    """
    content = check(parse_json(text), dict[str, Any])
    if content.pop("sha256", None) != _digest_of(content):
        raise ValueError("it does not hold what its digest says")
    return content


def _digest_of(content: dict[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(folder: Path) -> Entry | None:
    """Open an entry without reading its points; None when it is missing or damaged."""
    try:
        meta = check(unseal((folder / "meta.json").read_bytes()), Meta)
        there = [name for name in (*ARRAYS, NAMES, GROUPS) if name in meta["files"]]
        parts = {name: (folder / name).read_bytes() for name in there}
        with (folder / POINTS).open("rb") as file:
            parts[POINTS] = file.read(meta["start"])
            size = os.fstat(file.fileno()).st_size
        if meta["files"] != {name: _sha256(content) for name, content in parts.items()}:
            return None
        # Nothing is parsed before its digest is compared.
        offsets, labels, blocks, clouds = (_array(parts[name], ARRAYS[name]) for name in ARRAYS)
        shape = (int(offsets[-1]), meta["width"])
        if size != meta["start"] + 4 * shape[0] * shape[1]:
            return None
        points = np.memmap(folder / POINTS, "<f4", "r", meta["start"], shape).view(np.ndarray)
    except (OSError, ValueError, LookupError, EOFError):
        return None
    names = _texts(parts[NAMES])
    groups = _texts(parts[GROUPS]) if GROUPS in parts else None
    return Entry(Pages(points, blocks), offsets, labels, names, clouds, meta, groups)


def _texts(content: bytes) -> list[str]:
    return content.decode("utf-8", "surrogateescape").split("\0")


def _joined(texts: Iterable[str]) -> bytes:
    return "\0".join(texts).encode("utf-8", "surrogateescape")


def _array(content: bytes, kind: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype != np.dtype(kind):
        raise ValueError(f"{array.dtype} in place of {kind}")
    return array


def write(
    root: Path,
    key: str,
    clouds: Iterable[tuple[str, int, NDArray[np.float32]]],
    about: dict[str, Any],
    *,
    width: int = 3,
    replace: bool = False,
) -> Entry:
    """Stream clouds into a new entry and open it; memory holds one cloud at a time.

    Args:
        root: the cache folder; made if missing.
        key: name of the entry.
        clouds: (name, label, points (n, 3)) in order.
        about: `classes`, `name` (the split), `up`, and whatever else belongs in `meta.json`, but
            for `groups`, one a cloud, which have a file; it is read after the last cloud, so the
            iterator may still add to it.
        width: numbers a point.
        replace: take the place of a whole entry; otherwise the first writer wins.

    Raises:
        DataError: the cache cannot be written.
    """
    with _writable(root):
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        folder = root / f"{WRITING}{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            with (folder / "points.npy").open("wb") as handle:
                # Held until the entry is in place, or its writer dead: how a sweep tells which.
                with suppress(OSError):  # some network file systems have no locks: never swept
                    hold(handle)
                meta, parts = _stream(handle, clouds, about, width)
                for name, content in parts.items():
                    (folder / name).write_bytes(content)
                (folder / "meta.json").write_text(seal(meta), "utf-8")
                _publish(folder, root / key, replace)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    entry = read(root / key)
    if entry is None:
        raise DataError(
            "was deleted or damaged while it was opened", where=root / key, fix="run again"
        )
    return entry


def _stream(
    handle: BinaryIO,
    clouds: Iterable[tuple[str, int, NDArray[np.float32]]],
    about: dict[str, Any],
    width: int,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Write the points as they come, and return what is in `meta.json` and in the other files.

    The fingerprint is the SHA-256 of points, offsets, labels (little-endian, in order), then of the
    class names, split name, up axis and number of shapes as JSON.
    """
    digest, blocks = hashlib.sha256(), _Blocks()
    names: list[str] = []
    labels: list[int] = []
    ends = [0]
    each = []
    _header(handle, 0, width)
    start = handle.tell()
    for name, label, cloud in clouds:
        content = np.ascontiguousarray(cloud, dtype="<f4").tobytes()
        digest.update(content)
        blocks.update(content)
        each.append(hashlib.sha256(content).digest()[:16])
        handle.write(content)
        names.append(name)
        labels.append(label)
        ends.append(ends[-1] + len(cloud))
    # NumPy pads the header for a first axis that grows, so it is rewritten in place.
    header = io.BytesIO()
    _header(header, ends[-1], width)
    assert header.tell() == start
    handle.seek(0)
    handle.write(header.getvalue())
    handle.flush()
    os.fsync(handle.fileno())
    offset_array, label_array = np.asarray(ends, "<i8"), np.asarray(labels, "<i8")
    digest.update(offset_array.tobytes())
    digest.update(label_array.tobytes())
    rest = [list(about["classes"]), about["name"], about["up"], len(labels)]
    digest.update(json.dumps(rest).encode())
    parts = {
        "offsets.npy": _saved(offset_array),
        "labels.npy": _saved(label_array),
        "blocks.npy": _saved(np.frombuffer(blocks.finished(), np.uint8).reshape(-1, 32)),
        "clouds.npy": _saved(np.frombuffer(b"".join(each), np.uint8).reshape(-1, 16)),
        NAMES: _joined(names),
    }
    if groups := about.get("groups"):
        parts[GROUPS] = _joined(groups)
    kept = {**parts, POINTS: header.getvalue()}
    said = {name: value for name, value in about.items() if name != "groups"}
    meta = {**said, "fingerprint": digest.hexdigest(), "width": width, "start": start}
    meta["files"] = {name: _sha256(content) for name, content in kept.items()}
    return json.loads(json.dumps(meta)), parts


class _Blocks:
    """Digests of bytes that come in pieces, one a `BLOCK`."""

    def __init__(self) -> None:
        self._done, self._rest, self._block = bytearray(), BLOCK, hashlib.sha256()

    def update(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            part, view = view[: self._rest], view[self._rest :]
            self._block.update(part)
            self._rest -= len(part)
            if not self._rest:
                self._done += self._block.digest()
                self._rest, self._block = BLOCK, hashlib.sha256()

    def finished(self) -> bytes:
        """The digests, end to end; that of a last block that is not full among them."""
        return bytes(self._done + (self._block.digest() if self._rest < BLOCK else b""))


def _saved(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _header(handle: BinaryIO, points: int, width: int) -> None:
    shape = {"descr": "<f4", "fortran_order": False, "shape": (points, width)}
    np.lib.format.write_array_header_1_0(handle, shape)


def _publish(folder: Path, target: Path, replace: bool) -> None:
    """Rename a finished folder into its place, unless another writer's whole entry is there."""
    while True:
        try:
            folder.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        if not replace and read(target) is not None:
            return
        aside = target.with_name(f"{WRITING}{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            target.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        aside.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Remove what killed writers left: folders old enough to be locked that no one holds."""
    for folder in root.glob(f"{WRITING}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > GRACE and not _held(folder / "points.npy"):
                shutil.rmtree(folder)


def _held(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("rb") as handle:
        return not hold(handle)


def unwritable(root: Path, error: OSError) -> DataError:
    """The error for a cache that cannot be written."""
    return DataError(
        f"is a cache that cannot be written ({error.strerror or error})",
        where=root,
        fix="make room or mend its permissions, or set POINTSTILL_CACHE to another folder",
    )


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """Turn a full disk or missing permission into one line that says where else to write."""
    try:
        yield
    except OSError as error:
        raise unwritable(root, error) from error
