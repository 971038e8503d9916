"""Which shapes a training uses, which of their labels, and what each class weighs."""

from typing import NamedTuple

import numpy as np

from .. import torchrun
from ..data import Split
from ..data.groups import grouped_part
from ..data.keyed_draws import stratified
from ..data.selection import held_out, limited, not_held_out
from ..data.source import UNLABELLED
from ..errors import TrainingError
from ..losses.options import LossOptions
from ..recipe import FitOptions


class Chosen(NamedTuple):
    """The shapes of a training, as indices in the split."""

    train: np.ndarray  # (R,) int64
    validation: np.ndarray  # (V,) int64, all labelled
    labels: np.ndarray  # (S,) int64, of the whole split; `UNLABELLED` where none is used
    left_out: int
    """Shapes without a label that is used, which have nothing to tell this loss."""

    @property
    def known(self) -> np.ndarray:
        """Labels (R,) of those to train on."""
        known: np.ndarray = self.labels[self.train]
        return known

    def counts(self, classes: int) -> str:
        """How many are held out, have no label, or are left out as they have none, in words."""
        told = [f"{len(self.validation):,} held out"]
        if unlabelled := np.count_nonzero(self.known == UNLABELLED):
            told.append(f"{unlabelled:,} without a label, learned from the teacher alone")
        if self.left_out:
            told.append(f"{self.left_out:,} without a label left out")
        without = classes - len(np.unique(self.known[self.known != UNLABELLED]))
        if without and (unlabelled or self.left_out):
            told.append(f"no label of {without} classes")
        return ", ".join(told)


def training_shapes(split: Split, recipe: FitOptions, options: LossOptions) -> Chosen:
    """Choose the shapes to train on and to validate on.

    Shapes without a label are trained on where the loss asks the teacher, and nowhere else.

    Args:
        split: the training split.
        recipe: how many, of how many labels, and the validation part.
        options: of the loss.

    Raises:
        TrainingError: none that the loss can use, or fewer than two to train on, on each rank.
    """
    shapes = limited(split, recipe.limit)
    labels = used_labels(split, shapes, recipe.label_share, recipe.label_seed)
    labelled = shapes[labels[shapes] != UNLABELLED]
    if not (options.needs_teacher or len(labelled)):
        raise TrainingError(
            f"none of {len(shapes):,} training shapes has a label, and this loss learns from "
            "labels alone",
            fix="label some, or record a teacher on them and distil with --loss kd",
        )
    validation = held_out(split, labelled, recipe.val, recipe.seed)
    if recipe.keep == "best" and not len(validation):
        raise TrainingError(
            f"no shape of {len(labelled)} is left over for validation, which tells the best "
            "weights",
            fix="choose --keep last, or a larger --limit or --val",
        )
    rest = not_held_out(split, shapes if options.needs_teacher else labelled, validation)
    least = 2 * torchrun.world()
    if len(rest) < least:
        raise TrainingError(
            f"there are {len(rest)} shapes to train on, and {least} are needed",
            fix="choose a smaller --val or a larger --limit",
        )
    left_out = 0 if options.needs_teacher else len(shapes) - len(labelled)
    return Chosen(rest, validation, labels, left_out)


def used_labels(split: Split, shapes: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Labels (S,) of a split, of which only a share of those of `shapes` is kept.

    The choice depends on the data and a seed of its own, so that all students learn the same
    labels. It is stratified, and nested: a smaller share is part of a larger. Of data with a
    `--group`, whole groups keep their labels or lose them, as near to that as they allow, and not
    nested.

    Args:
        split: whose labels they are.
        shapes: (R,) indices in the split.
        share: above 0, up to 1.
        seed: of the choice.

    Returns:
        (S,) int64: `UNLABELLED` where a shape has no label, or none that is used.
    """
    labels = np.asarray(split.labels, np.int64)
    if share == 1:
        return labels
    known, key = shapes[labels[shapes] != UNLABELLED], f"labels/{seed}"
    if split.group is None:
        chosen = known[stratified(labels[known], share, key)]
    else:
        groups = split.kept_together
        chosen = known[grouped_part(labels[known], [groups[i] for i in known], share, key)]
    kept = np.full_like(labels, UNLABELLED)
    kept[chosen] = labels[chosen]
    return kept


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights (C,) float32 of the classes by inverse frequency, whose mean over the labels is 1.

    Args:
        labels: (R,) of the shapes that are trained on; `UNLABELLED` is passed over.
        classes: their number C; one without a label weighs 0.

    >>> class_weights(np.array([0, 0, 0, 1, -1]), 3)  # 4 / (2 * 3), 4 / (2 * 1)
    array([0.6666667, 2.       , 0.       ], dtype=float32)
    """
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes)
    each = counts.sum() / max(1, np.count_nonzero(counts))
    weights = np.divide(each, counts, out=np.zeros(classes), where=counts > 0)
    return np.asarray(weights, np.float32)
