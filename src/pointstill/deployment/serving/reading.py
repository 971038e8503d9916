"""Uploads to points: read in processes that are killed, and started anew, where one goes wrong."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.columns import Columns
from ...errors import DataError
from ...points.features import XYZ, Features
from .limits import Limits

PROGRAM = "pointstill.deployment.serving.reader_process"
LONGEST_LINE = 1 << 16
STARTING = 60
"""Seconds that a process may take to start, also on a busy machine."""
ABUSED = "took more time or memory than is given to one file, or broke what reads it"


@dataclass(frozen=True)
class Upload:
    """What was in a file."""

    table: Mapping[str, NDArray[Any]]
    """`xyz` (n, 3) first, all coordinates finite; and those features that were asked for."""
    notes: list[str]
    """For the user, such as how many points were left out."""


@dataclass
class Reader:
    """One process, and the folder in which it keeps the upload that it reads."""

    process: asyncio.subprocess.Process
    folder: Path
    ready: bool = False

    async def begin(self) -> None:
        """Wait until it has started, which is no part of the time for a file."""
        assert self.process.stdout
        if not self.ready:
            async with asyncio.timeout(STARTING):
                self.ready = bool(await self.process.stdout.readline())

    async def end(self) -> None:
        """Kill it, and remove what it left."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Readers:
    """Processes that read uploads, as many as may work at once.

    Args:
        limits: of one file.
        up: the axis that points up, for formats that have one of their own.
        features: xyz, and those that are read where a file has them.
        columns: what files call some columns, where that is not our name.
    """

    limits: Limits
    up: str
    features: Features = XYZ
    columns: Columns = field(default_factory=dict)
    restarts: int = 0
    """How often one had to be killed."""
    _idle: "asyncio.Queue[Reader]" = field(default_factory=asyncio.Queue)

    async def start(self) -> None:
        """Start them, so that the first request need not wait."""
        for reader in [await self._started() for _ in range(self.limits.readers)]:
            await reader.begin()
            self._idle.put_nowait(reader)

    async def stop(self) -> None:
        """End them."""
        while not self._idle.empty():
            await self._idle.get_nowait().end()

    async def read(self, suffix: str, content: bytes, up: str | None = None) -> Upload:
        """Read a file of one of `reader_process.ACCEPTED`, with another axis up if one is given.

        Raises:
            DataError: it cannot be read, or not within the limits.
        """
        reader = await self._idle.get()
        sound = False
        try:
            await reader.begin()
            async with asyncio.timeout(self.limits.seconds):
                request = {"suffix": suffix, "size": len(content), "up": up or self.up}
                said, table = await _exchange(reader.process, request, content)
            sound = True
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise DataError(ABUSED, where="the file", fix="send a smaller one") from error
        finally:
            if not sound:  # also where the request was given up
                self.restarts += 1
                await asyncio.shield(self._replace(reader))
            else:
                self._idle.put_nowait(reader)
        if "what" in said:
            raise DataError(said["what"], fix=said["fix"] or None)
        return Upload(table, said["notes"])

    async def _replace(self, reader: Reader) -> None:
        await reader.end()
        self._idle.put_nowait(await self._started())

    async def _started(self) -> Reader:
        folder = Path(tempfile.mkdtemp(prefix="pointstill-"))
        about = {
            "folder": str(folder),
            "bytes": self.limits.memory << 20,
            "most_points": self.limits.most_points,
            "features": self.features,
            "columns": self.columns,
        }
        # None of this server's secrets; and where its modules are, but not the current folder.
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if os.path.isabs(path))  # noqa: PTH117
        kept |= {"PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", PROGRAM, json.dumps(about)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # what a library says as it aborts
            env=kept,
            cwd="/",
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is for the server alone
        )
        return Reader(process, folder)


async def _exchange(
    process: asyncio.subprocess.Process, request: dict[str, Any], content: bytes
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.write(content)
    await process.stdin.drain()
    said = json.loads(await process.stdout.readline())
    table = {}
    for name, kind, shape in said.get("table", ()):
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        numbers = await process.stdout.readexactly(size)
        table[name] = np.frombuffer(numbers, kind).reshape(shape)
    return said, table
