"""Parsed splits on disk, memory-mapped: a second start reads nothing but an index.

A cache is a folder of entries, one per split, each named by the SHA-256 of everything that decides
its content. Entries are written beside their place and renamed into it, so that a reader sees a
whole entry or none, whoever is killed and however many write. Deleting any of them is always safe.
"""

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..storage.locking import hold
from ..storage.paths import home
from .source import unreadable

FORMAT = 2
"""Of the entries: raised too when `check_cloud` refuses, or shifts, other clouds."""
WRITING = ".writing-"
GRACE = 60.0
"""Seconds that a new writer has to lock its folder before a sweep may take it for a dead one."""


@dataclass(frozen=True)
class Entry:
    """One cached split: points (total, 3) memory-mapped, offsets (S + 1,), labels (S,).

    Features are an entry of their own, with (total, F) in place of the points.
    """

    points: NDArray[np.float32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    meta: dict[str, Any]


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


def read(folder: Path) -> Entry | None:
    """Open an entry without reading its points; None when it is missing or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        points = np.load(folder / "points.npy", mmap_mode="r").view(np.ndarray)
        offsets = np.load(folder / "offsets.npy")
        labels = np.load(folder / "labels.npy")
        sizes = (len(points), len(offsets), len(labels))
        whole = sizes == (offsets[-1], len(meta["names"]) + 1, len(meta["names"]))
    except (OSError, ValueError, KeyError, IndexError, EOFError):
        return None
    return Entry(points, offsets, labels, meta) if whole else None


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
        about: `classes`, `name` (the split), `up`, and whatever else belongs in `meta.json`; it is
            read after the last cloud, so the iterator may still add to it.
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
                meta, offsets, labels = _stream(handle, clouds, about, width)
                np.save(folder / "offsets.npy", offsets)
                np.save(folder / "labels.npy", labels)
                (folder / "meta.json").write_text(json.dumps(meta), "utf-8")
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
) -> tuple[dict[str, Any], NDArray[np.int64], NDArray[np.int64]]:
    """Write the points as they come, and return meta, offsets and labels.

    The fingerprint is the SHA-256 of points, offsets, labels (little-endian, in order), then of the
    class names, split name, up axis and number of shapes as JSON.
    """
    digest = hashlib.sha256()
    names: list[str] = []
    labels: list[int] = []
    ends = [0]
    _header(handle, 0, width)
    start = handle.tell()
    for name, label, cloud in clouds:
        block = np.ascontiguousarray(cloud, dtype="<f4").tobytes()
        digest.update(block)
        handle.write(block)
        names.append(name)
        labels.append(label)
        ends.append(ends[-1] + len(cloud))
    # NumPy pads the header for a first axis that grows, so it is rewritten in place.
    handle.seek(0)
    _header(handle, ends[-1], width)
    assert handle.tell() == start
    handle.flush()
    os.fsync(handle.fileno())
    offset_array, label_array = np.asarray(ends, "<i8"), np.asarray(labels, "<i8")
    rest = (about["classes"], about["name"], about["up"])
    fingerprint = _finished(digest, offset_array, label_array, *rest)
    meta = {**about, "names": names, "fingerprint": fingerprint}
    return meta, offset_array, label_array


def sound(entry: Entry) -> bool:
    """Whether an entry holds what its fingerprint says; reads all of it."""
    digest, step, meta = hashlib.sha256(), 1 << 20, entry.meta
    for start in range(0, len(entry.points), step):
        digest.update(np.ascontiguousarray(entry.points[start : start + step], "<f4").tobytes())
    rest = (meta["classes"], meta["name"], meta["up"])
    found = _finished(digest, entry.offsets, entry.labels, *rest)
    return bool(found == meta["fingerprint"])


def _finished(
    digest: Any,
    offsets: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: Iterable[str],
    name: str,
    up: str,
) -> str:
    """The fingerprint, once the points are in its digest."""
    digest.update(offsets.tobytes())
    digest.update(labels.tobytes())
    digest.update(json.dumps([list(classes), name, up, len(labels)]).encode())
    result: str = digest.hexdigest()
    return result


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
