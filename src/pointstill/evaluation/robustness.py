"""Clouds gone wrong, and clouds of few points: how much of its accuracy a model keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..augment import Clouds
from ..data import Dataset, Split
from ..data.corruptions import (
    CORRUPTIONS,
    LEVELS,
    corrupt,
    corruption_error,
    relative_corruption_error,
)
from ..data.keyed_draws import permutation
from ..data.selection import labelled
from ..data.source import SplitName
from ..errors import UsageError
from ..points.features import XYZ
from ..points.validity import MIN_POINTS
from ..progress import Track
from ..teachers import Teacher
from .scoring import normalization, predict_all

Points = NDArray[np.float32]
BENCHMARK_POINTS = 1024
"""Of a cloud of ModelNet-C, before it is corrupted."""


@dataclass(frozen=True)
class CorruptionScore:
    """One model on ModelNet-C, on clouds that were sampled here."""

    name: str
    clean: float
    """Overall accuracy before anything goes wrong."""
    accuracy: dict[str, list[float]]
    """Overall accuracy by corruption, at levels 1 to 5."""
    errors: dict[str, float]
    """Corruption errors against DGCNN as published, and `mCE`, their mean."""
    relative_errors: dict[str, float]
    """The same of what is lost against clean clouds, and `RmCE`."""


@dataclass(frozen=True)
class PointScore:
    """One model on clouds of few points."""

    name: str
    accuracy: dict[int, float]
    """Overall accuracy by the number of points."""


def measure_corruptions(
    models: Sequence[Teacher],
    data: Dataset,
    *,
    split: SplitName = "test",
    limit: int | None = None,
    batch_size: int = 16,
    quiet: bool = False,
) -> list[CorruptionScore]:
    """Ask models about ModelNet-C: seven corruptions at five levels (see `data.corruptions`).

    Of each cloud 1,024 points are taken as for any evaluation, scaled into the unit sphere, and
    corrupted; then the model sees it as it sees any cloud, normalised and drawn anew. The figures
    are not those of the published files, as these points are not theirs.

    Raises:
        UsageError: points have more than xyz; or see `check_one_split`.
    """
    check_corruptible(data)
    clouds = KnownClouds(data, split, limit)
    cases = [(name, level) for name in CORRUPTIONS for level in LEVELS]
    total = len(models) * (1 + len(cases)) * len(clouds)
    with Track("corruptions", total, "clouds", quiet=quiet) as track:
        clean = clouds.accuracy(models, _as_it_is, batch_size, track)
        found = {
            (kind, level): clouds.accuracy(
                models, partial(_corrupted, kind, level), batch_size, track
            )
            for kind, level in cases
        }
    scores = []
    for place, model in enumerate(models):
        accuracy = {n: [found[n, level][place] for level in LEVELS] for n in CORRUPTIONS}
        means = {name: float(np.mean(levels)) for name, levels in accuracy.items()}
        scores.append(
            CorruptionScore(
                model.spec,
                clean[place],
                accuracy,
                corruption_error(means),
                relative_corruption_error(means, clean[place]),
            )
        )
    return scores


def measure_points(
    models: Sequence[Teacher],
    data: Dataset,
    counts: Sequence[int],
    *,
    split: SplitName = "test",
    limit: int | None = None,
    batch_size: int = 16,
    quiet: bool = False,
) -> list[PointScore]:
    """Ask models about clouds of which few points are left, any of them, keyed and nested.

    A cloud that has no more is taken as it is; it is normalised by the points that are left.

    Raises:
        UsageError: a number below 8; or see `check_one_split`.
    """
    check_counts(counts)
    clouds = KnownClouds(data, split, limit)
    total = len(models) * len(counts) * len(clouds)
    with Track("points", total, "clouds", quiet=quiet) as track:
        found = {
            count: clouds.accuracy(models, partial(_thinned, count), batch_size, track)
            for count in counts
        }
    return [
        PointScore(model.spec, {count: found[count][place] for count in counts})
        for place, model in enumerate(models)
    ]


def check_counts(counts: Sequence[int]) -> None:
    """Refuse numbers of points that are no cloud.

    Raises:
        UsageError: there are none, or one is below 8.
    """
    if not counts or min(counts) < MIN_POINTS:
        raise UsageError(
            f"points is {', '.join(map(str, counts)) or 'empty'}",
            fix=f"give numbers of {MIN_POINTS} or more, such as 16,64,256,1024",
        )


def check_one_split(data: Dataset, split: SplitName) -> None:
    """Refuse what clouds that went wrong, of few points, or unknown are not measured beside.

    Raises:
        UsageError: all splits as one.
    """
    if split == "all":
        raise UsageError(
            "clouds are corrupted, thinned and compared with unknown ones in one split, not in all",
            fix="name one by --split, or leave out --corruptions, --points and --unknown",
        )


def check_corruptible(data: Dataset) -> None:
    """Refuse features of which ModelNet-C does not say what becomes of them.

    Raises:
        UsageError: points have more than xyz.
    """
    if data.features != XYZ:
        raise UsageError(
            "ModelNet-C corrupts xyz alone", fix="leave out --features, or --corruptions"
        )


def _as_it_is(name: str, points: Points) -> Points:
    return points


def _corrupted(kind: str, level: int, name: str, points: Points) -> Points:
    """1,024 points of a cloud, with copies where it has fewer, in the unit sphere; gone wrong."""
    one = Clouds(points, np.array([0, len(points)]))
    sampled: Points = one.plain(torch.tensor([0]), BENCHMARK_POINTS)[0].numpy()
    return corrupt(sampled, kind, level, f"0/{name}")


def _thinned(count: int, name: str, points: Points) -> Points:
    """What is left of a cloud (n, 3 + F), in its order."""
    return points[np.sort(permutation(f"few points:{name}", len(points))[:count])]


class KnownClouds:
    """The labelled clouds of a split, to be changed one by one."""

    def __init__(self, data: Dataset, name: SplitName, limit: int | None):
        check_one_split(data, name)
        self.split: Split = data.split(name)
        self.extra = self.split.extra
        labels = np.asarray(self.split.labels, np.int64)
        self.shapes = labelled(labels, limit)
        self.labels = torch.from_numpy(labels[self.shapes])

    def __len__(self) -> int:
        return len(self.shapes)

    def _cloud(self, shape: int) -> Points:
        """Points (n, 3 + F) of a cloud."""
        points = self.split.cloud(shape)
        if self.extra is None:
            return points
        begin, end = self.split.offsets[shape : shape + 2].tolist()
        return np.hstack([points, self.extra.values[begin:end]])

    def accuracy(
        self,
        models: Sequence[Teacher],
        change: Callable[[str, Points], Points],
        batch_size: int,
        track: Track,
    ) -> list[float]:
        """Overall accuracy of each model on the clouds as they are changed.

        `change` gets the name and the points (n, 3 + F) of a cloud, with whatever features.
        """
        right = [0] * len(models)
        for rows in np.array_split(np.arange(len(self)), -(-len(self) // 256)):
            changed = [
                change(self.split.names[shape], self._cloud(shape))
                for shape in self.shapes[rows].tolist()
            ]
            offsets = np.cumsum([0, *map(len, changed)])
            points = np.concatenate(changed)
            extra = self.extra and replace(self.extra, values=points[:, 3:])
            for place, model in enumerate(models):
                clouds = Clouds(points[:, :3], offsets, model.device, extra, normalization(model))
                logits = predict_all(model, clouds, torch.arange(len(rows)), batch_size, track)
                right[place] += int((logits.argmax(1) == self.labels[rows]).sum())
        return [each / len(self) for each in right]
