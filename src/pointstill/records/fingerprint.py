"""What a store was made from, and whether that is what is at hand."""

import hashlib
import json
from typing import Any

import numpy as np

from ..errors import RecordsError

DECIDES = (
    "format",
    "classes",
    "data",
    "teacher",
    "augment",
    "columns",
    "keyed",
    "points",
    "batch",
    "tile",
)
"""The attributes that decide what is recorded, besides the name of the codec."""
MAY_DECIDE = ("features",)
"""Attributes that only some stores have."""


def fingerprint(attributes: dict[str, Any], views: int, shapes: np.ndarray) -> str:
    """SHA-256 (hex) of all that decides the records of a store: what a student keeps of it."""
    decides = deciding(attributes)
    decides |= {"codec": attributes["codec"]["name"], "views": views, "shapes": shapes.tolist()}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def deciding(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a store that decide its records."""
    more = [name for name in MAY_DECIDE if name in attributes]
    return {name: attributes[name] for name in (*DECIDES, *more)}


def differences(made: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """The leaves in which two nested descriptions differ, as `name: made, now`.

    >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    ['b.c: 2 in the records, now 3']
    """
    found = []
    for name in sorted(made.keys() | now.keys()):
        left, right = made.get(name, "nothing"), now.get(name, "nothing")
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{prefix}{name}.")
        elif left != right:
            found.append(f"{prefix}{name}: {_short(left)} in the records, now {_short(right)}")
    return found


def check_same(path: Any, made: dict[str, Any], now: dict[str, Any], fix: str) -> None:
    """Refuse to go on with records made from something else.

    Raises:
        RecordsError: names every difference, and the fix.
    """
    found = differences({name: made.get(name) for name in now}, now)
    if found:
        raise RecordsError(f"{path} was made from something else ({'; '.join(found)}): {fix}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}...{text[-24:]}"
