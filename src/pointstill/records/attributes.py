"""What a store says of itself: the schema of its attributes, and the digest that binds them."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from msgspec import Meta

from ..errors import RecordsError
from ..storage.documents import check

DIGEST = "digest"
"""The attribute that is a hash of all others, and of shapes and labels."""
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Numbered(TypedDict):
    """A step of the pipeline without options."""

    version: int


class Augment(TypedDict):
    """`Pipeline.describe`; which operations and options there are, `Pipeline.restore` says."""

    seed: int
    split: str
    normalize: Numbered
    resample: Numbered
    operations: list[dict[str, str | int | float]]


class Measured(TypedDict):
    """A codec, and its error on some records."""

    name: str
    records: Count
    kl_t1: float
    kl_t4: float
    argmax_flips: float


class Data(TypedDict):
    """The split that was recorded."""

    fingerprint: str
    split: str
    shapes: Count


class Fingerprint(TypedDict):
    """Of a teacher."""

    fingerprint: str


class FeatureNames(TypedDict):
    """What a point had beside xyz."""

    names: list[str]
    fingerprint: str


class Source(TypedDict, total=False):
    """How the teacher was named to `pointstill record`; what is left out was left at its default.

    Paths are as they were typed.
    """

    teacher: list[str]
    weights: list[str]
    class_names: str
    class_map: str
    axes: str
    layout: str
    output: str
    ensemble: str
    ensemble_weights: str
    votes: int
    vote_augment: str
    vote_seed: int


class Attributes(TypedDict):
    """The attributes of a store."""

    format: str
    pointstill: str
    tile: Count
    classes: Annotated[list[str], Meta(min_length=1)]
    data: Data
    teacher: Fingerprint
    teacher_spec: str
    augment: Augment
    columns: list[str]
    keyed: bool
    points: Count
    batch: Count
    codec: Measured
    features: NotRequired[FeatureNames]
    teacher_source: NotRequired[Source]
    digest: NotRequired[str]


def digest(attributes: dict[str, Any], shapes: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 (hex) of all attributes but this one, then of shapes (S,) and labels (S,)."""
    others = {name: value for name, value in attributes.items() if name != DIGEST}
    found = hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode())
    found.update(shapes.astype("<i4").tobytes())
    found.update(labels.astype("<i4").tobytes())
    return found.hexdigest()


def check_attributes(attributes: dict[str, Any]) -> None:
    """See that all attributes are there, and of their kinds.

    Raises:
        ValueError: names the one that is not.
    """
    check(attributes, Attributes)


def check_digest(
    path: Path | str, attributes: dict[str, Any], shapes: np.ndarray, labels: np.ndarray
) -> None:
    """See that attributes, shapes and labels are those that the store was made with.

    Raises:
        RecordsError: they are not; a backup that says the same does not help.
    """
    if attributes.get(DIGEST) != digest(attributes, shapes, labels):
        raise RecordsError(
            "has other attributes, shapes or labels than it was made with (by their digest)",
            where=path,
            fix="restore zarr.json, shapes, labels and spare.zip from a copy, or record again",
        )
