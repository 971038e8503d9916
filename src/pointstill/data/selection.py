"""Which shapes of a split a job uses: all, or a stratified and seeded part."""

import numpy as np

from ..errors import DataError
from .dataset import Dataset, Split
from .keyed_draws import stratified


def check_classes(data: Dataset) -> None:
    """Refuse a data set that leaves nothing to tell apart, before any of it is read.

    Raises:
        DataError: it has fewer than two classes.
    """
    if len(data.classes) < 2:
        raise DataError(
            f"has one class ({', '.join(data.classes)})",
            where=data.name,
            fix="give the folder above the class folders, if that is meant",
        )


def limited(split: Split, limit: int | None) -> np.ndarray:
    """Indices of `limit` shapes, or of all: sorted, (S,) int64.

    The choice depends on the data alone, so that a teacher is recorded on, and every student
    trained on, the same shapes. A smaller limit chooses among a larger one's shapes.
    """
    return limited_labels(split.labels, limit)


def limited_labels(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """The same, of shapes with labels (S,)."""
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    return stratified(np.asarray(labels), limit, "limit")


def held_out(split: Split, shapes: np.ndarray, part: float, seed: int) -> np.ndarray:
    """Indices of the validation shapes: `part` of each class of `shapes`, sorted, (V,) int64.

    A class too small for its share has none; at least one shape of each is left to train on.
    """
    if not part:
        return shapes[:0]
    labels = np.asarray(split.labels)[shapes]
    held: np.ndarray = shapes[stratified(labels, part, f"val/{seed}", leave_one=True)]
    return held
