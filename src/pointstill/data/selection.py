"""Which shapes of a split a job uses: all, or a stratified and seeded part."""

import numpy as np

from ..errors import DataError
from .dataset import Dataset, Split
from .groups import grouped_part
from .keyed_draws import stratified
from .source import UNLABELLED


def check_classes(data: Dataset) -> None:
    """Refuse a data set that leaves nothing to tell apart, before any of it is read.

    Raises:
        DataError: it has fewer than two classes, or no label at all.
    """
    if not data.classes:
        raise DataError(
            "has no shape with a label, so no classes",
            where=data.name,
            fix="label some, of each class that is to be told",
        )
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


def labelled(labels: np.ndarray, limit: int | None = None) -> np.ndarray:
    """Indices of `limit` of the shapes with a label, or of all of these: sorted, (R,) int64.

    Args:
        labels: (S,), `UNLABELLED` where there is none.
        limit: how many are wanted; chosen as in `limited`.
    """
    known = np.flatnonzero(labels != UNLABELLED)
    chosen: np.ndarray = known[limited_labels(labels[known], limit)]
    return chosen


def held_out(split: Split, shapes: np.ndarray, part: float, seed: int) -> np.ndarray:
    """Indices of the validation shapes: `part` of each class of `shapes`, sorted, (V,) int64.

    Only shapes with a label are. A class too small for its share has none; at least one shape of
    each is left to train on. Of data with a `--group`, whole groups are held out: `not_held_out`
    says what is left.

    Raises:
        DataError: no group can be held out.
    """
    labels = np.asarray(split.labels)[shapes]
    shapes, labels = shapes[labels != UNLABELLED], labels[labels != UNLABELLED]
    if not part or not len(shapes):
        return shapes[:0]
    if split.group is None:
        chosen = stratified(labels, part, f"val/{seed}", leave_one=True)
        held: np.ndarray = shapes[chosen]
        return held
    groups = split.kept_together
    held = shapes[grouped_part(labels, [groups[i] for i in shapes], part, f"val/{seed}")]
    if not len(held):
        raise DataError(
            f"has too few groups ({split.group}) to hold one out: each has all that there is of a "
            "class",
            where=f"the {split.name} split",
            fix="leave out --group, or choose --val 0",
        )
    return held


def not_held_out(split: Split, shapes: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Indices of the shapes to train on: sorted, (T,) int64.

    All of `shapes` that are not held out; of data with a `--group`, none of a group that is: not
    even those without a label, which validation leaves out.
    """
    rest = np.setdiff1d(shapes, held)
    if split.group is None:
        return rest
    groups = split.kept_together
    apart = {groups[i] for i in held}
    kept: np.ndarray = rest[np.array([groups[i] not in apart for i in rest], bool)]
    return kept
