"""Reads uploads for a server, in a process of its own that has limits and may be killed.

Started with what it may take as its one argument (JSON: `folder`, `bytes`, `most_points`,
`features`, `columns`), it says `ready`. A request is a line of JSON (`suffix`, `size`, `up`) and so
many bytes. The answer is a line of JSON: either `what` and `fix` of an error; or `table`, a list of
(feature, kind of numbers, shape), and `notes` for the user, and then the numbers of each feature.
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

from ...data.columns import Columns, Table
from ...data.readers import READERS, read_table
from ...errors import DataError
from ...points.features import WIDTHS, Features
from ...points.validity import coordinates, finite
from ..given_clouds import read_given

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


def read_points(path: Path, up: str, features: Features, columns: Columns) -> Table:
    """The features of a file, `xyz` first, that are asked for and there.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix == JSON:
        return _from_json(path.read_bytes(), features)
    table = read_table(path, up, features[1:], columns=columns)
    return {name: table[name] for name in features if name in table}


def _from_json(content: bytes, features: Features) -> Table:
    """What is under `points`: rows of numbers in the order of the features, or columns by name.

    Raises:
        DataError: it is neither.
    """
    fix = 'send {"points": [[x, y, z], ...]} or {"points": {"x": [...], "y": [...], "z": [...]}}'
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError("is no JSON", where="the request", fix=fix) from error
    if not isinstance(said, dict) or not isinstance(said.get("points"), list | dict):
        raise DataError("has no points", where="the request", fix=fix)
    return read_given(said["points"], features, {})


def checked(table: Table, most_points: int) -> tuple[Table, list[str]]:
    """A table without the points that have no place, and what to tell of that.

    Raises:
        DataError: no cloud, or one of too many points.
    """
    points = coordinates("the cloud", table["xyz"])
    if len(points) > most_points:
        raise DataError(
            f"has {len(points):,} points, and {most_points:,} are taken at most",
            where="the cloud",
            fix="send fewer of them, such as every tenth",
        )
    there = finite(points)
    channels = [name for name in table if name not in WIDTHS]
    for name in channels:
        there &= finite(table[name])
    lost, without = len(points) - int(there.sum()), " or ".join(["coordinates", *channels])
    notes = [f"{lost:,} points without finite {without} were left out"] if lost else []
    return {name: values[there] for name, values in (table | {"xyz": points}).items()}, notes


def _answer(
    path: Path, about: dict[str, Any], up: str
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What is said of one file, and the numbers that follow."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = read_points(path, up, tuple(about["features"]), about["columns"])
            table, notes = checked(table, about["most_points"])
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
    arrays = [np.ascontiguousarray(each) for each in table.values()]
    names = zip(table, arrays, strict=True)
    said = [(name, array.dtype.str, array.shape) for name, array in names]
    return {"table": said, "notes": notes[:5]}, arrays


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
        said, arrays = _answer(path, about, request["up"])
        path.unlink()
        answers.write(json.dumps(said).encode() + b"\n")
        for array in arrays:
            answers.write(array.data)
        answers.flush()


if __name__ == "__main__":
    main()
