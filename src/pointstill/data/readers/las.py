"""LAS and LAZ: airborne scans."""

import atexit
import json
import os
import struct
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock, Timer
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted
from . import laz_worker
from .announced import check_count, check_unpacked

Columns = dict[str, NDArray[Any]]
RECORDS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
"""Bytes of a point of formats 0 to 10, without what a file adds."""
SECONDS_PER_MB = 2
"""Of computing that a packed file may take, beyond as many for any: seven times what it does."""


def read_las(path: Path, wanted: Wanted) -> Table:
    """Points in float64, scaled and offset, often UTM; all other dimensions as they are.

    Raises:
        DataError: a header that announces what is not there; a damaged file.
    """
    header = _header(path)
    read = partial(_read_apart, path, header) if header.packed else partial(_columns, path)
    there = _USUAL if wanted.usual else list(read(None))
    places = {ours: there[place] for ours, place in wanted.among(there).items()}
    columns = read(sorted({*places.values()}))
    return wanted.table({n: columns[name] for n, name in places.items() if name in columns})


_USUAL = ["x", "y", "z", "intensity", "red", "green", "blue"]
"""Those of known features, where no others are asked for; some files have no colour."""


def _columns(path: Path, names: list[str] | None) -> Columns:
    return laz_worker.read_columns(str(path), names)


class Header(NamedTuple):
    """What a LAS file says of itself."""

    packed: bool
    points: int
    record: int
    """Bytes of a point, unpacked."""
    size: int
    """Of the file."""


def _header(path: Path) -> Header:
    """The header of a file, compared with the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(375)
    if head[:4] != b"LASF" or len(head) < 227:
        raise DataError("is no LAS file, or is truncated")
    minor = head[25]
    length, offset, records, form, record, points = struct.unpack_from("<HIIBHI", head, 94)
    if head[24] != 1 or minor > 4 or length < (227, 227, 227, 235, 375)[minor]:
        raise DataError(f"is LAS {head[24]}.{minor} with a header of {length} bytes")
    if minor == 4 and len(head) == 375:
        start, more, many = struct.unpack_from("<QIQ", head, 235)
        points = many or points
        if more:
            check_count("extended records", more, max(0, size - start) // 60)
    check_count("bytes before the points", offset, size)
    check_count("records before the points", records, max(0, offset - length) // 54)
    scales = struct.unpack_from("<6d", head, 131)
    if not np.isfinite(scales).all() or 0 in scales[:3]:
        raise DataError(f"has scales {scales[:3]} and offsets {scales[3:]}", fix="write it anew")
    packed, form = form >= 64, form % 64
    if form >= len(RECORDS) or record < RECORDS[form]:
        raise DataError(f"has points of format {form} in {record} bytes, which are not read")
    if packed:
        check_unpacked(points * record, size)
    else:
        check_count("points", points, (size - offset) // record)
    return Header(packed, points, record, size)


def _read_apart(path: Path, header: Header, names: list[str] | None) -> Columns:
    """Read a packed file in another process, as its library may abort, and the process with it."""
    seconds = SECONDS_PER_MB * (1 + (header.size >> 20))
    most = (1 << 30) + 4 * header.points * (header.record + 64)
    request = {"path": str(path.absolute()), "names": names, "seconds": seconds, "bytes": most}
    with _workplace.lock:
        return _workplace.ask(request, 30 + 10 * seconds)


class _Workplace:
    """The process that reads packed files: started for the first, and anew after an abort."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.worker: subprocess.Popen[bytes] | None = None
        self.left: list[object] = []

    def ask(self, request: dict[str, Any], seconds: float) -> Columns:
        """The columns that it answers with.

        Raises:
            DataError: it could not read them, or took too long, or died of it.
        """
        if self.worker is None or self.worker.poll() is not None:
            self.worker = self._started()
        timer = Timer(seconds, self.worker.kill)
        timer.daemon = True
        timer.start()
        sound = False
        try:
            found = _exchange(self.worker, request)
            sound = True
        except (OSError, ValueError, EOFError) as error:
            raise DataError("is damaged, or not a LAZ file", fix="write it anew") from error
        finally:
            timer.cancel()
            if not sound:
                self.stop()
        if isinstance(found, str):
            raise ValueError(found)
        columns: Columns = found
        return columns

    def _started(self) -> "subprocess.Popen[bytes]":
        worker = subprocess.Popen(
            [sys.executable, "-I", "-S", laz_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a library says as it aborts
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for this process alone
        )
        assert worker.stdin
        worker.stdin.write(json.dumps(sys.path).encode() + b"\n")
        return worker

    def stop(self) -> None:
        """End the process."""
        worker, self.worker = self.worker, None
        if worker:
            worker.kill()
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                assert stream
                with suppress(OSError):  # a request that nobody read
                    stream.close()

    def forget(self) -> None:
        """In a forked process: leave the worker to the one that started it."""
        if self.worker:
            self.worker.returncode = 0  # not to be waited for
            self.left.append(self.worker)
        self.lock, self.worker = Lock(), None


def _exchange(worker: "subprocess.Popen[bytes]", request: dict[str, Any]) -> Any:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(json.dumps(request).encode() + b"\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the process that read it ended")
    said = json.loads(line)
    if isinstance(said, str):
        return said
    found = {}
    for name, kind, count in said:
        size = count * np.dtype(kind).itemsize
        content = worker.stdout.read(size)
        if len(content) < size:
            raise EOFError("the process that read it ended")
        found[name] = np.frombuffer(content, kind)
    return found


_workplace = _Workplace()
atexit.register(_workplace.stop)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_workplace.forget)
