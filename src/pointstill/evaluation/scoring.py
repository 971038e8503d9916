"""Job 3: what a model is worth, measured honestly, on a split that no training opens."""

import json
import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from .._version import __version__
from ..augment import Clouds, normalize
from ..data import Dataset, Split
from ..data.selection import check_classes, labelled
from ..data.source import UNLABELLED, SplitName
from ..errors import DataError, EmptySplitError, UsageError
from ..points.features import width
from ..progress import Track
from ..recipe import POINTS
from ..records import Store
from ..records.matching import check_records, recorded_pipeline
from ..run import Run
from ..storage.calibration import AS_THEY_ARE, Calibration
from ..storage.files import write_whole
from ..storage.paths import here
from ..teachers import Teacher, load_teacher
from ..teachers.compatibility import check_fits, check_unseen
from ..teachers.ensemble import Ensemble
from ..teachers.teacher import NetworkTeacher
from ..teachers.votes import Votes
from .group_bootstrap import percentile_interval, resampled_means
from .profiling import latency, operations, surroundings

BINS = 15
"""Of equal width, over which calibration errors are taken."""


@dataclass(frozen=True)
class Score:
    """One model on one split."""

    name: str
    overall_accuracy: float
    """OA: the part of all shapes that is classified rightly."""
    standard_error: float | None
    """Standard error of the overall accuracy: binomial, sqrt(OA (1 - OA) / shapes); where shapes
    come in groups, the standard deviation over `group_bootstrap`, None of too few groups."""
    interval: list[float] | None
    """Its 95 % interval, from and to, by Wilson (1927), right near 0 and 1 too; where shapes come
    in groups, by `group_bootstrap`, None of too few groups."""
    mean_class_accuracy: float
    """mAcc: the mean over classes of the part of each that is classified rightly."""
    class_accuracy: dict[str, float | None]
    calibration_error: float
    """Expected calibration error (15 bins of equal width, Guo et al. 2017)."""
    confusion: list[list[int]]
    """Counts; row: true class, column: predicted class."""
    predictions: list[int]
    parameters: int | None
    """Weights; of an ONNX file, floating-point initialisers of its graph."""
    flops: int | None
    """Floating-point operations of matrix products for one cloud, 2 per multiply-add; None where
    torch does not do the arithmetic and cannot count."""
    bytes: int | None
    """Size of the weights and buffers."""
    latency_ms: float
    """Median time for one cloud, one CPU thread, in `runtime`: alone, or, of a network that takes
    batches of one size, as its share of a full one. The cloud is normalised and
    its points are drawn; an ONNX file of `export` does both again, within this time."""
    points: int
    agreement: dict[str, float] | None = None
    """With records: argmax agreement with the teacher, and KL(teacher || model) at T = 1, on the
    first recorded view of up to 1,024 shapes."""
    temperature: float = 1.0
    """By which a run or an exported student has its logits divided, fitted after its training."""
    tempered_error: float | None = None
    """Expected calibration error at that temperature; None: it has none."""
    runtime: str = "torch"
    """What computes it: torch (eager), or ONNX Runtime (of an ensemble: some or all members)."""
    confidences: list[float] = field(default_factory=list)
    """Probability of the predicted class of each shape, at temperature 1."""
    tempered_confidences: list[float] | None = None
    """The same at the temperature that it brings, if it has one."""


@dataclass(frozen=True)
class Pair:
    """The exact McNemar test between two models on the same shapes."""

    first: str
    second: str
    only_first: int
    """Shapes that only the first classifies rightly."""
    only_second: int
    p_value: float
    """Right for shapes that are independent; where they come in groups it is too small."""
    difference: float = 0.0
    """Overall accuracy of the first less that of the second."""
    interval: list[float] | None = None
    """Where shapes come in groups, the 95 % interval of the difference by `group_bootstrap`; None
    otherwise, and of too few groups."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of models side by side, and the tests between them.

    `about` has the number of shapes, of those passed over as they have no `label`
    (`unlabelled`), and of `groups` where shapes come in some.
    """

    about: dict[str, Any]
    classes: list[str]
    names: list[str]
    """Of the shapes that were measured: all are labelled."""
    labels: list[int]
    scores: list[Score]
    pairs: list[Pair]
    corruptions: list[Any] = field(default_factory=list)
    """`robustness.CorruptionScore` of each model, if that was asked for."""
    points: list[Any] = field(default_factory=list)
    """`robustness.PointScore` of each model."""
    unknown: list[Any] = field(default_factory=list)
    """`unknown.UnknownScore` of each model."""
    groups: list[str] | None = None
    """Of the shapes, where they come in some."""
    shapes: list[int] = field(default_factory=list)
    """Places of the shapes in their split; of all splits, in these one after the other."""

    def write_json(self, path: str | Path) -> None:
        """Write everything as JSON, whole or not at all; the folder is made.

        Raises:
            OSError: it cannot be written: a link, a pipe or a device is there, say.
            UsageError: it is not on this machine.
        """
        path, content = here(path, "path"), json.dumps(asdict(self), indent=1) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.encode())


def evaluate(
    models: Run | Teacher | str | Path | Sequence[Run | Teacher | str | Path],
    data: Dataset,
    *,
    split: SplitName = "test",
    limit: int | None = None,
    records: str | Path | None = None,
    batch_size: int = 16,
    device: str = "cpu",
    quiet: bool = False,
) -> Evaluation:
    """Measure models on the labelled shapes of a split, without augmentation.

    There is no voting, unless a teacher votes.

    Every model sees the number of points it was trained with, at equal strides along a curve
    through the cloud.

    Args:
        models: finished runs, teachers from `load_teacher`, and what it takes by one name.
        data: from `open_dataset`.
        split: test, train, or another that the data have; or all of them as one, for models that
            were not trained on the data.
        limit: use this many labelled shapes, stratified and seeded.
        records: a store, to measure the agreement with its teacher on recorded views.
        batch_size: clouds at once; predictions do not depend on it.
        device: where runs are evaluated.
        quiet: report nothing.

    Raises:
        DataError: the data has fewer than two classes, or no labelled shape in the split.
        TeacherError: a model does not fit the classes of the data.
        RecordsError: the records are not of this data.
        UsageError: no such split; or a run was trained on another fold of the data, so on shapes of
            this test split; or, of all, on this data.

    Warns:
        UserWarning: clouds of the test split are in the training split as well.
    """
    if isinstance(models, str) or not isinstance(models, Sequence):
        models = [models]
    if not models:
        raise UsageError("there is nothing to evaluate", fix="name a run folder or a teacher")
    for what, value in (("limit", limit), ("batch size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"{what} is {value}", fix="choose 1 or more")
    split_names(data, split)
    check_classes(data)  # which a model would be said not to fit
    teachers = [_as_teacher(model, data, device) for model in models]
    for teacher in teachers:
        if split == "all":
            check_unseen(teacher, data)
        check_fits(teacher, data)
    store = Store.open(records) if records else None
    recorded = _recorded_rows(store, data) if store else None
    parts = measured_parts(data, split)
    if split not in ("train", "all") and (leak := data.leak(split)):
        warnings.warn(f"{data.name}: {leak}", stacklevel=2)
    every = np.concatenate([np.asarray(part.labels, np.int64) for part in parts])
    known = int(np.count_nonzero(every != UNLABELLED))
    if not known:
        raise DataError(
            f"has no label in the {split} split ({len(every):,} shapes), so there is nothing to "
            "measure by",
            where=data.name,
            fix="choose another --split, or label some",
        )
    shapes = torch.from_numpy(labelled(every, limit))
    labels = torch.from_numpy(every)[shapes]
    groups = _groups(parts, shapes)
    total = len(teachers) * len(shapes)
    scores = []
    with Track("evaluate", total, "clouds", quiet=quiet) as track:
        for teacher in teachers:
            logits = _predict_parts(teacher, parts, shapes, batch_size, track)
            agreed = None
            if store and recorded is not None:
                agreed = _agreement(teacher, data, store, recorded, batch_size=16)
            channels = width(data.features)
            classes = list(data.classes)
            scores.append(score(teacher, logits, labels, classes, agreed, channels, groups))
    every_name = [name for part in parts for name in part.names]
    return Evaluation(
        about={
            "data": data.name,
            "split": split,
            "shapes": len(shapes),
            "split_shapes": known,
            "unlabelled": len(every) - known,
            "votes": max(teacher.votes for teacher in teachers),
            "fingerprint": " ".join(part.fingerprint for part in parts),
            "pointstill": __version__,
            "device": ", ".join(sorted({_device_name(teacher.device) for teacher in teachers})),
        }
        | ({"fold": data.fold, "data_shapes": data.count()} if data.listed.folded else {})
        | ({"groups": len(set(groups))} if groups else {})
        | surroundings(torch.get_num_threads()),
        classes=list(data.classes),
        names=[every_name[index] for index in shapes.tolist()],
        labels=labels.tolist(),
        scores=scores,
        pairs=[
            mcnemar(one, other, labels.numpy(), groups) for one, other in combinations(scores, 2)
        ],
        groups=groups,
        shapes=shapes.tolist(),
    )


def split_names(data: Dataset, split: str) -> tuple[str, ...]:
    """The splits that are meant: the one of this name, or those that the data have for `all`.

    Raises:
        UsageError: the data have none of this name.
    """
    names = data.listed.splits
    if split != "all" and split not in names:
        raise UsageError(
            f"split is {split!r}, which {data.name} does not have",
            fix=f"choose from {', '.join(names)}, or all",
        )
    return names if split == "all" else (split,)


def measured_parts(data: Dataset, split: str) -> list[Split]:
    """The split of this name, or for `all` those that have a shape.

    Raises:
        EmptySplitError: the split that is named has none.
        UsageError: the data have none of this name.
    """
    names = split_names(data, split)
    if split != "all":
        return [data.split(split)]
    parts = []
    for name in names:
        with suppress(EmptySplitError):
            parts.append(data.split(name))
    return parts


def _groups(parts: list[Split], shapes: torch.Tensor) -> list[str] | None:
    """The group of each of the shapes (R,), numbered through all parts, if those are known."""
    every: list[str] = []
    for part in parts:
        if part.groups is None:
            return None
        every += part.groups
    return [every[index] for index in shapes.tolist()]


def _predict_parts(
    teacher: Teacher, parts: list[Split], shapes: torch.Tensor, batch_size: int, track: Track
) -> torch.Tensor:
    """Logits (R, C) of shapes (R,), sorted and numbered through all parts."""
    logits, start = [], 0
    for part in parts:
        inside = shapes[(shapes >= start) & (shapes < start + len(part))] - start
        start += len(part)
        if len(inside):
            clouds = Clouds.of(part, teacher.device, normalization(teacher))
            logits.append(predict_all(teacher, clouds, inside, batch_size, track))
    return torch.cat(logits)


@torch.inference_mode()
def predict_all(
    teacher: Teacher, clouds: Clouds, shapes: torch.Tensor, batch_size: int, track: Track
) -> torch.Tensor:
    """Logits (R, C) of shapes, without augmentation."""
    logits = []
    for some in torch.split(shapes.to(clouds.device), batch_size):
        logits.append(teacher.logits(clouds.plain(some, teacher.points or POINTS)).float().cpu())
        track.advance(len(some), teacher.spec)
    return torch.cat(logits)


def score(
    teacher: Teacher,
    logits: torch.Tensor,
    labels: torch.Tensor,
    classes: list[str],
    agreement: dict[str, float] | None,
    channels: int = 3,
    groups: list[str] | None = None,
) -> Score:
    """Measure logits (R, C) against labels (R,), of shapes that may come in groups (R,).

    The teacher takes `channels` numbers a point.
    """
    predictions = logits.argmax(1)
    confusion = multiclass_confusion_matrix(predictions, labels, num_classes=len(classes))
    counts = confusion.sum(1)
    accuracy = confusion.diagonal().double() / counts  # NaN for a class without shapes
    overall = float((predictions == labels).double().mean())
    probabilities = logits.double().softmax(1)
    calibration = multiclass_calibration_error(probabilities, labels, len(classes), n_bins=BINS)
    points, clouds = teacher.points or POINTS, fixed_batch(teacher)
    error, interval = uncertainty((predictions == labels).numpy(), groups)
    fitted, tempered, cooled = calibration_of(teacher), None, None
    if fitted.shapes:
        shares = torch.from_numpy(fitted.probabilities(logits.numpy()))
        tempered = float(multiclass_calibration_error(shares, labels, len(classes), n_bins=BINS))
        cooled = _largest(shares)
    return Score(
        name=teacher.spec,
        overall_accuracy=overall,
        standard_error=error,
        interval=interval,
        mean_class_accuracy=float(accuracy[counts > 0].mean()),
        class_accuracy={
            name: float(value) if count else None
            for name, value, count in zip(classes, accuracy, counts, strict=True)
        },
        calibration_error=float(calibration),
        confusion=confusion.tolist(),
        predictions=predictions.tolist(),
        parameters=teacher.parameters,
        flops=operations(teacher.logits, points, teacher.device, channels, clouds)
        if teacher.counted
        else None,
        bytes=teacher.nbytes,
        latency_ms=latency(
            teacher.logits, points, teacher.device, channels=channels, clouds=clouds
        ),
        points=points,
        agreement=agreement,
        temperature=fitted.temperature,
        tempered_error=tempered,
        runtime="torch" if teacher.counted else "ONNX Runtime",
        confidences=_largest(probabilities),
        tempered_confidences=cooled,
    )


def _largest(probabilities: torch.Tensor) -> list[float]:
    """The largest of each row (R, C), to six digits, as a file of them is long."""
    return [round(each, 6) for each in probabilities.amax(1).tolist()]


def uncertainty(
    right: np.ndarray, groups: list[str] | None
) -> tuple[float | None, list[float] | None]:
    """Standard error and 95 % interval of the part of shapes (R,) that is classified rightly."""
    if groups is None:
        share = float(right.mean())
        wilson = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        error = math.sqrt(share * (1 - share) / len(right))
        return error, [float(wilson.low), float(wilson.high)]
    means = resampled_means(right, groups)
    return (None, None) if means is None else (float(means.std()), percentile_interval(means))


def calibration_of(teacher: Teacher) -> Calibration:
    """How the logits of a run or an exported student are read; of others, as they are."""
    return teacher.calibration if isinstance(teacher, NetworkTeacher) else AS_THEY_ARE


def fixed_batch(teacher: Teacher) -> int:
    """Clouds that fill the batches of a teacher whose networks take one size of them; else 1."""
    if isinstance(teacher, Ensemble):
        return math.lcm(*map(fixed_batch, teacher.members))
    if isinstance(teacher, Votes):
        return fixed_batch(teacher.teacher)
    return (teacher.network.batch or 1) if isinstance(teacher, NetworkTeacher) else 1


def normalization(teacher: Teacher) -> int:
    """The version of the normalisation of the clouds that a teacher is asked about.

    A run or an exported student is asked as it was trained, an ensemble as its latest member, and
    what comes from elsewhere as students are trained today.
    """
    if isinstance(teacher, Ensemble):
        return max(map(normalization, teacher.members))
    if isinstance(teacher, Votes):
        return normalization(teacher.teacher)
    seen = teacher.trained_on if isinstance(teacher, NetworkTeacher) else None
    return seen.normalization if seen else normalize.VERSION


def mcnemar(
    first: Score, second: Score, labels: np.ndarray, groups: list[str] | None = None
) -> Pair:
    """The exact, two-sided McNemar test: are the two models right equally often?

    McNemar 1947; exact binomial form: under the null hypothesis each shape on which just one of
    the two is right is a fair coin. Shapes of a group are no fair coins: where shapes come in
    groups (R,), there is an interval of the difference as well.
    """
    right = [np.asarray(each.predictions) == labels for each in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    means = resampled_means(right[0].astype(float) - right[1], groups) if groups else None
    return Pair(
        first.name,
        second.name,
        only_first,
        only_second,
        exact(only_first, only_second),
        difference=(only_first - only_second) / len(labels),
        interval=None if means is None else percentile_interval(means),
    )


def exact(only_first: int, only_second: int) -> float:
    """The p-value of the exact McNemar test.

    >>> exact(0, 5)  # 2 / 2**5
    0.0625
    """
    decided = only_first + only_second
    return float(binomtest(only_first, decided).pvalue) if decided else 1.0


def _as_teacher(model: Run | Teacher | str | Path, data: Dataset, device: str) -> Teacher:
    if isinstance(model, Run):
        model = model.folder
    if isinstance(model, str | Path):
        return load_teacher(
            model, classes=data.classes, up=data.up, features=data.features, device=device
        )
    return model


def _recorded_rows(store: Store, data: Dataset, most: int = 1024) -> np.ndarray:
    """Rows of the store on which agreement is measured."""
    return check_records(store, data.train, store.shapes[:: max(1, -(-store.rows // most))])


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@torch.inference_mode()
def _agreement(
    teacher: Teacher, data: Dataset, store: Store, rows: np.ndarray, batch_size: int
) -> dict[str, float]:
    """How a model agrees with recorded logits on the first recorded view."""
    split = data.train
    pipeline = recorded_pipeline(store)
    clouds = Clouds.of(split, teacher.device, pipeline.normalization)
    shapes = torch.from_numpy(store.shapes[rows]).to(teacher.device)
    parameters = torch.from_numpy(store.parameters(0)[rows]).to(teacher.device)
    points = teacher.points or store.attributes["points"]
    logits = torch.cat(
        [
            teacher.logits(pipeline.replay(clouds, 0, shapes[some], parameters[some], points))
            for some in torch.split(torch.arange(len(rows)), batch_size)
        ]
    ).cpu()
    recorded = torch.from_numpy(store.logits(0)[rows])
    log_p, log_q = recorded.double().log_softmax(1), logits.double().log_softmax(1)
    return {
        "argmax": float((logits.argmax(1) == recorded.argmax(1)).double().mean()),
        "kl": float((log_p.exp() * (log_p - log_q)).sum(1).mean()),
        "shapes": len(rows),
    }
