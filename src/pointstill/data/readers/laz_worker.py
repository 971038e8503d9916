"""What reads points of LAS and LAZ files; as a script, a process that does so for another.

The library that unpacks LAZ may abort on a damaged file, and its process with it. It knows nothing
of this package, so that a process starts it with the paths of the other alone.

A request is a line of JSON: `path`, `names` (or null), and what it may take, `seconds` and `bytes`.
The answer is a line of JSON, an error (a string) or a list of (name, kind of numbers, count), and
the numbers one after the other.
"""

import json
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows, where a clock alone limits it
    resource = None  # type: ignore[assignment]

PAGE = 4096


def read_columns(path: str, names: Iterable[str] | None) -> dict[str, Any]:
    """Columns (n,) of the points of a file, of those names that it has; x, y and z in float64.

    Without names: what it has, and no numbers of any.
    """
    import laspy
    import numpy as np

    with laspy.open(path, read_evlrs=False) as file:  # which nothing needs
        kinds = file.header.point_format.dimensions
        there = ["x", "y", "z"]
        there += [kind.name for kind in kinds if kind.num_elements == 1 and kind.name not in "XYZ"]
        if names is None:
            return {name: np.empty(0) for name in there}
        points = file.read_points(-1)
        if len(points) != file.header.point_count:
            raise ValueError(f"{len(points)} points of {file.header.point_count}")
        return {name: np.array(points[name]) for name in names if name in there}


def _limit(seconds: int, size: int) -> None:
    """Let this process have so many seconds and bytes more than it took, or end."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    with suppress(OSError, ValueError):  # Linux says what it has
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * PAGE + size, resource.RLIM_INFINITY))


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.path[:] = json.loads(requests.readline())
    for line in requests:
        about = json.loads(line)
        columns: dict[str, Any] = {}
        try:
            _limit(about["seconds"], about["bytes"])
            columns = read_columns(about["path"], about["names"])
            said: Any = [(name, each.dtype.str, len(each)) for name, each in columns.items()]
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        answers.write(json.dumps(said).encode() + b"\n")
        for each in columns.values():
            answers.write(each.tobytes())
        answers.flush()


if __name__ == "__main__":
    _serve()
