"""Reads uploads for a server, in a process of its own that has limits and may be killed.

Started with what it may take as its one argument (JSON: `folder`, `bytes`, `most_points`, `up`,
`features`), it says `ready`. A request is a line of JSON (`suffix`, `size`) and so many bytes. The
answer is a line of JSON: either `what` and `fix` of an error; or `columns`, a list of (name, kind
of numbers, shape), and `notes` for the user, and then the numbers one column after the other.
"""

import json
import logging
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.readers import READERS, read_table
from ...errors import DataError
from ...points.validity import coordinates, finite

try:
    import resource
except ImportError:  # Windows, where a clock alone limits it
    resource = None  # type: ignore[assignment]

JSON = ".json"
"""The suffix of points that came as JSON."""
ACCEPTED = (*READERS, JSON)
PAGE = 4096
MOST_WRITTEN = 1 << 30
"""Bytes of a file that this process may write: its upload is far smaller."""


def read_points(path: Path, up: str, features: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Columns of a file, `xyz` first, and those features that are asked for and there.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix == JSON:
        return {"xyz": _from_json(path.read_bytes())}
    table = read_table(path, up, features)
    return {name: table[name] for name in ("xyz", *features) if name in table}


def _from_json(content: bytes) -> NDArray[np.float64]:
    """The array (n, w) under `points`.

    Raises:
        DataError: there is none.
    """
    fix = 'send {"points": [[x, y, z], ...]}'
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError("is no JSON", where="the request", fix=fix) from error
    if not isinstance(said, dict) or not isinstance(said.get("points"), list):
        raise DataError("has no list of points", where="the request", fix=fix)
    try:
        points = np.asarray(said["points"])
    except ValueError as error:
        raise DataError("has rows of several lengths", where="points", fix=fix) from error
    if points.dtype.kind not in "fiu" or points.ndim != 2:
        raise DataError("are no rows of numbers", where="points", fix=fix)
    return points.astype(np.float64)


def checked(
    columns: dict[str, NDArray[Any]], most_points: int
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Columns without the points that have no place, and what to tell of that.

    Raises:
        DataError: no cloud, or one of too many points.
    """
    points = coordinates("the cloud", columns["xyz"])
    if len(points) > most_points:
        raise DataError(
            f"has {len(points):,} points, and {most_points:,} are taken at most",
            where="the cloud",
            fix="send fewer of them, such as every tenth",
        )
    there = finite(points)
    lost = len(points) - int(there.sum())
    notes = [f"{lost:,} points without finite coordinates were left out"] if lost else []
    return {name: values[there] for name, values in columns.items()}, notes


def _answer(path: Path, about: dict[str, Any]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What is said of one file, and the numbers that follow."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            columns = read_points(path, about["up"], tuple(about["features"]))
            columns, notes = checked(columns, about["most_points"])
    except DataError as error:
        named = {name: getattr(error, name) or "" for name in ("where", "what", "fix")}
        if str(path) in named["where"]:
            named["where"] = "the file"
        return {
            "what": f"{named['where']} {named['what']}".strip().replace(str(path), "the file"),
            "fix": named["fix"].replace(str(path), "the file"),
        }, []
    except MemoryError:
        return {"what": "the file needs more memory than is given to one", "fix": ""}, []
    notes += [" ".join(str(each.message).split()).replace(str(path), "the file") for each in caught]
    arrays = [np.ascontiguousarray(each) for each in columns.values()]
    names = zip(columns, arrays, strict=True)
    said = [(name, array.dtype.str, array.shape) for name, array in names]
    return {"columns": said, "notes": notes[:5]}, arrays


def _limit(size: int) -> None:
    """Let this process take so many bytes more than it has."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN, MOST_WRITTEN))
    with suppress(OSError, ValueError):  # Linux says what it has
        most = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE + size
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Answer requests until there are no more."""
    about = json.loads(sys.argv[1])
    logging.disable()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _limit(about["bytes"])
    answers.write(b"ready\n")
    answers.flush()
    for line in requests:
        request = json.loads(line)
        # Of the user's name of it there is the suffix alone, out of a list.
        suffix = ACCEPTED[ACCEPTED.index(request["suffix"])]
        path = Path(about["folder"]) / f"upload{suffix}"
        path.write_bytes(requests.read(request["size"]))
        said, arrays = _answer(path, about)
        path.unlink()
        answers.write(json.dumps(said).encode() + b"\n")
        for array in arrays:
            answers.write(array.data)
        answers.flush()


if __name__ == "__main__":
    main()
