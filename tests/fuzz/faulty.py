"""Uses that are faults, and sound ones: what the harness says of each, as JSON.

python -m tests.fuzz.faulty
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pointstill.errors import PointstillError

from .targets import TARGETS, Place, Target
from .workers import Worker


class Unruly(PointstillError):
    """An error that puts its message together by itself."""

    def __str__(self) -> str:
        return f"{self.what}\nand more"


def several_lines(place: Place) -> list[Any]:
    raise Unruly("is damaged")


def refused(place: Place) -> list[Any]:
    raise PointstillError("is wrong", where=place.path)


def allocating(place: Place) -> list[Any]:
    blocks = []
    while True:
        blocks.append(b"x" * (256 << 20))


def computing(place: Place) -> list[Any]:
    while True:
        pass


def in_a_child(place: Place) -> list[Any]:
    return [subprocess.run([sys.executable, "-c", "while True: pass"], check=True)]


def noisy(place: Place) -> list[Any]:
    os.write(2, b"libnoise: hello\n")
    return []


def warning(place: Place) -> list[Any]:
    warnings.warn("from elsewhere", RuntimeWarning, stacklevel=1)
    return []


def opening(place: Place) -> list[Any]:
    return [(place.path.parent / "bait.bin").read_bytes()]


def opening_in_c(place: Place) -> list[Any]:
    libc = ctypes.CDLL(None)
    libc.close(libc.open(b"bait.bin", os.O_RDONLY))
    return []


def elsewhere(place: Place) -> list[Any]:
    with suppress(FileNotFoundError):
        Path("/nowhere/at-all").read_bytes()
    return []


def running(place: Place) -> list[Any]:
    os.system("true")
    return []


def importing(place: Place) -> list[Any]:
    sys.path.insert(0, str(place.path.parent))
    import bait  # type: ignore[import-not-found]

    return [bait.build]


USES: dict[str, Callable[[Place], list[Any]]] = {
    "read": lambda place: [place.path.read_bytes()],
    "refused": refused,
    "several lines": several_lines,
    "exception": lambda place: [{}["a"]],
    "end": lambda place: sys.exit(3),
    "abort": lambda place: [os.abort()],
    "memory": allocating,
    "time": computing,
    "time of a child": in_a_child,
    "noise": noisy,
    "warning": warning,
    "opening": opening,
    "opening in C": opening_in_c,
    "elsewhere": elsewhere,
    "running": running,
    "importing": importing,
}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="pointstill-faulty-"))
    TARGETS.update({name: Target(use, 0) for name, use in USES.items()})
    worker = Worker(folder / "worker", folder)
    found = {}
    for name in USES:
        worker.begin(name, {"input": b"1"}, "input", 20.0 if name == "memory" else 0.5)
        while (outcome := worker.look()) is None:
            time.sleep(0.005)
        found[name] = outcome.kind
    worker.end()
    shutil.rmtree(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
