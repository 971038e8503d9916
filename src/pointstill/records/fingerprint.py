"""What decides the records of a store, in one hash."""

import hashlib
import json
from typing import Any

import numpy as np

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
