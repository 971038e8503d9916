"""The lines of a store's sidecar: who recorded which tile, when and how fast.

A line carries a check of what it says and of the store that it is of. Nothing but information
depends on them, so that a line which does not hold is counted and passed over.
"""

import hashlib
import json
from typing import Any, NotRequired, TypedDict

from ..storage.documents import check, parse_json


class Note(TypedDict):
    """A line about a tile."""

    view: int
    tile: int
    records: int
    seconds: float
    time: NotRequired[str]
    host: NotRequired[str]
    process: NotRequired[int]
    name: NotRequired[str]
    """Of the codec, whose error follows."""
    kl_t1: NotRequired[float]
    kl_t4: NotRequired[float]
    argmax_flips: NotRequired[float]


def checked(note: dict[str, Any], digest: str) -> dict[str, Any]:
    """A note with its check; `digest` is that of the store's attributes."""
    note = {name: value for name, value in note.items() if name != "check"}
    text = digest + json.dumps(note, sort_keys=True, separators=(",", ":"))
    return note | {"check": hashlib.sha256(text.encode()).hexdigest()[:16]}


def read_notes(content: bytes, digest: str | None) -> tuple[list[dict[str, Any]], int]:
    """The notes in some lines, and how many lines do not hold.

    Args:
        content: lines of JSON.
        digest: of the store's attributes; None for a store whose lines have no checks.
    """
    notes, bad = [], 0
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            note = parse_json(line)
            check(note, Note)
            if digest is not None and note != checked(note, digest):
                raise ValueError("not as it was written")
        except ValueError:
            bad += 1
        else:
            notes.append(note)
    return notes, bad
