"""How well a model tells what it never learned: unknown clouds beside known ones."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..augment import Clouds
from ..data import Dataset
from ..data.selection import labelled
from ..data.source import UNLABELLED, SplitName
from ..errors import UsageError
from ..points.features import format_features
from ..points.upright import turn_up
from ..progress import Track
from ..storage.calibration import RECALL, Calibration
from ..teachers import Teacher
from .robustness import check_one_split
from .scoring import calibration_of, normalization, predict_all


@dataclass(frozen=True)
class UnknownScore:
    """One model on known and unknown clouds."""

    name: str
    auroc: float
    """Chance that a known cloud scores above an unknown one (area under the ROC curve)."""
    false_positives: float
    """Unknown clouds taken for known where 95 % of the known ones are: FPR at 95 % recall."""
    accepted: float | None
    """Unknown clouds taken for known at the threshold that the model brings, if it has one."""
    recall: float | None
    """Known clouds taken for known at that threshold."""
    accepted_by_kind: dict[str, float]
    """`accepted` of each kind of unknown cloud; without a threshold, `false_positives`."""
    taken_for: dict[str, dict[str, int]]
    """Of each kind, the classes that its clouds would be, the most frequent first."""


def measure_unknown(
    models: list[Teacher],
    data: Dataset,
    source: Dataset,
    *,
    split: SplitName = "test",
    limit: int | None = None,
    batch_size: int = 16,
    quiet: bool = False,
) -> list[UnknownScore]:
    """Ask models about clouds of classes that they do not have.

    Args:
        models: as `scoring.evaluate` takes them, loaded.
        data: the known classes.
        source: the unknown clouds, such as `open_dataset("strangers")`: its test split. Its classes
            that are among the known ones by name are left out; it is turned so that the same axis
            is up. Its points have the same features.
        split: of the known data.
        limit: so many known, and so many unknown clouds at most (stratified). Clouds without a
            label are neither.
        batch_size: clouds at once.
        quiet: report nothing.

    Raises:
        UsageError: all its classes are known; its features are others, or its normals would have
            to be turned; or see `robustness.check_one_split`.
    """
    check_one_split(data, split)
    if source.features != data.features:
        raise UsageError(
            f"has {format_features(source.features)} a point, {data.name} has "
            f"{format_features(data.features)}",
            where=source.name,
            fix="open both with the same --features",
        )
    known, unknown = data.split(split), source.test
    if "normal" in data.features and unknown.up != data.up:
        raise UsageError(
            f"has {unknown.up} up, and {data.name} {data.up}; normals are not turned",
            where=source.name,
            fix="say by --up which axis is, or leave normal out of --features",
        )
    kinds = np.asarray(unknown.labels)
    strange = [index for index, name in enumerate(unknown.classes) if name not in data.classes]
    shapes = labelled(np.where(np.isin(kinds, strange), kinds, UNLABELLED), limit)
    if not len(shapes):
        raise UsageError(
            "has no shape of a class that is unknown", where=source.name, fix="give other data"
        )
    some = labelled(np.asarray(known.labels), limit)
    turned = turn_up(unknown.points, unknown.up, data.up)
    scores = []
    with Track("unknown", len(models) * (len(some) + len(shapes)), "clouds", quiet=quiet) as track:
        for model in models:
            version = normalization(model)
            clouds = (
                Clouds(turned, unknown.offsets, model.device, unknown.extra, version),
                Clouds.of(known, model.device, version),
            )
            strange_logits, known_logits = (
                predict_all(model, each, torch.from_numpy(rows), batch_size, track).numpy()
                for each, rows in zip(clouds, (shapes, some), strict=True)
            )
            names = [unknown.classes[kind] for kind in kinds[shapes]]
            scores.append(
                unknown_score(
                    model.spec,
                    known_logits,
                    strange_logits,
                    names,
                    list(data.classes),
                    calibration_of(model),
                )
            )
    return scores


def unknown_score(
    name: str,
    known: NDArray[np.float32],
    unknown: NDArray[np.float32],
    kinds: list[str],
    classes: list[str],
    calibration: Calibration,
) -> UnknownScore:
    """Measure logits (R, C) of known and (U, C) of unknown clouds, of U kinds."""
    high, low = calibration.score(known), calibration.score(unknown)
    at_recall = low >= np.quantile(high, 1 - RECALL)
    accepted, recall, passed = None, None, at_recall
    if calibration.threshold is not None:
        passed = calibration.known(unknown)
        accepted, recall = float(passed.mean()), float(calibration.known(known).mean())
    answers = [classes[index] for index in unknown.argmax(axis=1)]
    each = {kind: np.array([kind == one for one in kinds]) for kind in dict.fromkeys(kinds)}
    return UnknownScore(
        name=name,
        auroc=auroc(high, low),
        false_positives=float(at_recall.mean()),
        accepted=accepted,
        recall=recall,
        accepted_by_kind={kind: float(passed[mine].mean()) for kind, mine in each.items()},
        taken_for={
            kind: dict(Counter(np.array(answers)[mine].tolist()).most_common())
            for kind, mine in each.items()
        },
    )


def auroc(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """The chance that one of `high` is above one of `low`; a tie counts half.

    >>> auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))  # 3 of 4 pairs, and a tie
    0.875
    """
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    above = ranks.sum() - len(high) * (len(high) + 1) / 2
    return float(above / (len(high) * len(low)))
