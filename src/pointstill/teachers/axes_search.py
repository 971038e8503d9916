"""The axes of a teacher in terms of the data's, found on labelled training shapes."""

import math
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..augment import Clouds
from ..data import Dataset, Split
from ..data.selection import labelled
from ..data.source import UNLABELLED
from ..errors import UsageError
from ..progress import Track, console
from ..recipe import POINTS
from ..storage.files import check_writable
from .axes import SAME, Axes, format_axes, parse_axes
from .compatibility import networks
from .description import GOOD, Description, description_path, guesses, is_description
from .file_kind import sha256
from .resolve import resolve
from .teacher import NetworkTeacher, Teacher

FIRST = 64
"""Shapes on which all axes are tried."""
FINALISTS = 3
"""The best axes, which are tried on all shapes."""
SHAPES = 256
"""All shapes, unless another number is asked for."""


@dataclass(frozen=True)
class Trial:
    """How a teacher did with some axes."""

    axes: Axes
    right: Tensor
    """(R,) bool, one a shape."""
    losses: Tensor
    """(R,) cross-entropy of each label, in nats."""

    @property
    def accuracy(self) -> float:
        """The part it is right on."""
        return float(self.right.double().mean())

    def __add__(self, more: "Trial") -> "Trial":
        """Both, of the same axes on different shapes."""
        right, losses = (self.right, more.right), (self.losses, more.losses)
        return Trial(self.axes, torch.cat(right), torch.cat(losses))


def upright_axes(up: str) -> list[Axes]:
    """Every order of the axes, upright and upside down, as the data has it first: 12 of them.

    The sign of the up axis tells a lamp from its reflection in the floor, so both are tried; the
    others turn or mirror a shape about its up axis, which costs most teachers less, so they are
    tried where the up axis is right only (`turned_axes`).
    """
    axis = "xyz".index(up)
    orders = [tuple((each, 1) for each in order) for order in permutations(range(3))]
    flipped = [tuple((a, -1 if a == axis else 1) for a, _ in order) for order in orders]
    return [SAME, *(axes for axes in [*orders, *flipped] if axes != SAME)]


def turned_axes(axes: Axes, up: str) -> list[Axes]:
    """The others with the same up axis that are not in `upright_axes`: 6 of them."""
    place, sign = next((at, s) for at, (axis, s) in enumerate(axes) if "xyz"[axis] == up)
    found = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        each = tuple(zip(order, signs, strict=True))
        if each[place] == ("xyz".index(up), sign) and each not in upright_axes(up):
            found.append(each)
    return found


def try_axes(
    teacher: NetworkTeacher,
    axes: Axes,
    split: Split,
    clouds: Clouds,
    shapes: np.ndarray,
    batch_size: int,
    track: Track | None = None,
) -> Trial:
    """Ask a teacher with some axes about shapes, as evaluation would."""
    asked = replace(teacher, axes=None if axes == SAME else axes)
    labels = torch.from_numpy(np.asarray(split.labels, np.int64)[shapes])
    batches = []
    for some in torch.split(torch.from_numpy(shapes).to(clouds.device), batch_size):
        batches.append(asked.logits(clouds.plain(some, teacher.points or POINTS)).float().cpu())
        if track:
            track.advance(len(some), format_axes(axes))
    logits = torch.cat(batches)
    losses = torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    return Trial(axes, logits.argmax(1) == labels, losses)


def stratified(split: Split, shapes: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the `FIRST` labelled shapes, and of the others, stratified: `shapes` in all."""
    labels = np.asarray(split.labels)
    few, every = labelled(labels, min(FIRST, shapes)), labelled(labels, shapes)
    return few, np.setdiff1d(every, few)


def search(
    teacher: NetworkTeacher,
    split: Split,
    clouds: Clouds,
    shapes: int,
    batch_size: int,
    quiet: bool = False,
) -> list[Trial]:
    """Try `upright_axes`, and the best turned, on `FIRST` shapes; the best few on `shapes`.

    Returns:
        Trials of the best `FINALISTS` on all shapes, the best first. The data's own axes are among
        them unless they lost before, and first unless others do better beyond chance.
    """
    few, rest = stratified(split, shapes)
    upright = upright_axes(split.up)
    total = (len(upright) + 6) * len(few) + FINALISTS * len(rest)
    with Track("axes", total, "clouds", quiet=quiet) as track:

        def ask(axes: Axes, some: np.ndarray) -> Trial:
            return try_axes(teacher, axes, split, clouds, some, batch_size, track)

        trials = ranked(ask(axes, few) for axes in upright)
        turned = turned_axes(min(trials, key=_order).axes, split.up)
        best = ranked([*trials, *(ask(axes, few) for axes in turned)])[:FINALISTS]
        return ranked(trial + ask(trial.axes, rest) for trial in best) if len(rest) else best


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """By accuracy, but first the data's own axes, unless others do better beyond chance.

    Where accuracy is the same, axes that mirror shapes come last, and then those of which the
    teacher was less sure of the labels.
    """

    found = sorted(trials, key=_order)
    own = [trial for trial in found if trial.axes == SAME and not _better(found[0], trial)]
    return own + [trial for trial in found if all(trial is not each for each in own)]


def _order(trial: Trial) -> tuple[float, bool, float]:
    return -trial.accuracy, mirrors(trial.axes), float(trial.losses.mean())


def mirrors(axes: Axes) -> bool:
    """Whether axes are of the other hand than the data's: no turning brings one to the other.

    >>> [mirrors(parse_axes(text)) for text in ("x,z,y", "x,z,-y", "z,x,y")]
    [True, False, False]
    """
    order = [axis for axis, _ in axes]
    swaps = sum(one > other for at, one in enumerate(order) for other in order[at + 1 :])
    return bool((swaps + sum(sign < 0 for _, sign in axes)) % 2)


def describe_teacher(
    teacher: Teacher,
    data: Dataset,
    *,
    spec: str,
    weights: Path | None = None,
    axes: str | None = None,
    shapes: int = SHAPES,
    batch_size: int = 16,
    out: Path | None = None,
    quiet: bool = False,
) -> tuple[Path, Description]:
    """Find a teacher's axes on labelled training shapes, and write all that it needs beside it.

    Args:
        teacher: from `load_teacher`; one network.
        data: from `open_dataset`; only its training split is opened.
        spec: what `teacher` was loaded from.
        weights: its weights, if they are in a file of their own.
        axes: taken as they are; by default they are searched for. Others are tried for comparison
            where it is right on less than `GOOD`.
        shapes: labelled shapes to measure on, stratified.
        batch_size: clouds at once.
        out: the file to write; by default beside the weights or the model file.
        quiet: report nothing.

    Returns:
        The file that was written, and what is in it.

    Warns:
        UserWarning: other axes than those said do better beyond chance, or none do better than
            guessing.

    Raises:
        UsageError: there is no file beside which it could lie, it would not be read, or there is
            nothing to describe.
        PointstillError: it cannot be written.
    """
    if not isinstance(teacher, NetworkTeacher):
        raise UsageError(
            "is an ensemble or a vote", where=f"teacher {spec}", fix="describe it member by member"
        )
    if min(shapes, batch_size) < 1:
        raise UsageError(
            f"{shapes} shapes in batches of {batch_size}", fix="choose 1 or more of both"
        )
    described, source, weights = resolve(spec, weights)
    model = Path(source) if Path(source).is_file() else None
    file = weights or model
    path = _out(spec, source, file, out)
    split = data.train
    trials = _measure(teacher, spec, split, axes, shapes, batch_size, quiet)
    result = Description(
        teacher=os.path.relpath(model, path.parent) if model else source,
        weights=os.path.relpath(weights, path.parent) if weights else None,
        sha256=sha256(file) if file else None,
        classes=list(teacher.names),
        frame=format_axes(trials[0].axes),
        up=split.up,  # type: ignore[arg-type]
        points=teacher.points or described.points,
        features=list(teacher.features),
        layout=teacher.layout,
        output=teacher.output,
        checked={
            "date": time.strftime("%Y-%m-%d"),
            "data": data.name,
            "fingerprint": split.fingerprint,
            "shapes": len(trials[0].right),
            "accuracy": round(trials[0].accuracy, 4),
            "frames": {format_axes(each.axes): round(each.accuracy, 4) for each in trials},
        },
    )
    result.write(path)
    return path, result


def _out(spec: str, source: str, file: Path | None, out: Path | None) -> Path:
    """Where the description of a teacher goes, which lies beside its file; it can be written.

    Raises:
        UsageError: nowhere.
        PointstillError: it cannot be written.
    """
    if Path(source).is_dir():
        raise UsageError(
            "is a run folder, which says all of this itself", where=source, fix="use it as it is"
        )
    path = out or (Path(spec) if is_description(Path(spec)) else None)
    path = path or (description_path(file) if file else None)
    if path is None:
        raise UsageError(
            "has no file beside which to write", where=f"teacher {spec}", fix="give --out FILE.yaml"
        )
    if not is_description(path):
        raise UsageError(
            "would not be known as a description", where=path, fix="end its name in .yaml"
        )
    check_writable(path)
    return path


def _measure(
    teacher: NetworkTeacher,
    spec: str,
    split: Split,
    axes: str | None,
    shapes: int,
    batch_size: int,
    quiet: bool,
) -> list[Trial]:
    """Trials, first the one to write down: of the axes that are said, or else the best.

    Raises:
        UsageError: no shape has a label.
    """
    if not np.any(np.asarray(split.labels) != UNLABELLED):
        raise UsageError(
            "cannot be tried, as no training shape has a label",
            where=f"teacher {spec}",
            fix="describe it on labelled data; the description is valid for others",
        )
    clouds = Clouds.of(split, teacher.device)
    if axes is None:
        trials = search(teacher, split, clouds, shapes, batch_size, quiet)
        _warn(spec, trials[0], trials[0], len(split.classes))
        return trials
    same = np.concatenate(stratified(split, shapes))  # as the search asks about, in its order
    own = try_axes(teacher, parse_axes(axes) or SAME, split, clouds, same, batch_size)
    if own.accuracy >= GOOD:
        return [own]
    trials = search(teacher, split, clouds, shapes, batch_size, quiet)
    _warn(spec, own, trials[0], len(split.classes))
    return [own, *(each for each in trials if each.axes != own.axes)]


def check_axes(
    teacher: Teacher, split: Split, clouds: Clouds, batch_size: int, quiet: bool
) -> None:
    """Warn of a teacher that does on training shapes as if its axes were wrong.

    Costs `FIRST` clouds a network; where it is right on less than `GOOD` of them, a `search` and
    `SHAPES` more. One that was trained on this split, or described on it and found right, costs
    nothing.

    Warns:
        UserWarning: other axes do better beyond chance, or none do better than guessing.
    """
    for single in networks(teacher):
        if single.checked_on == split.fingerprint:
            continue
        few, rest = stratified(split, SHAPES)
        if not len(few):
            if not quiet:
                console.print("no shape has a label: whether the teacher's axes fit is not known")
            return
        own = try_axes(single, single.axes or SAME, split, clouds, few, batch_size)
        if not quiet:
            console.print(
                f"teacher {single.spec} is right on {int(own.right.sum())} of {len(few)} training "
                "shapes, as its axes are said to be"
            )
        if own.accuracy >= GOOD:
            continue
        if not quiet:
            console.print("trying other axes; `pointstill teacher describe` once saves this")
        best = search(single, split, clouds, SHAPES, batch_size, quiet)[0]
        if len(rest):
            own += try_axes(single, own.axes, split, clouds, rest, batch_size)
        _warn(single.spec, own, best, len(split.classes))


def _warn(spec: str, own: Trial, best: Trial, classes: int) -> None:
    """Warn of axes where others do better, or of a teacher that guesses in its best."""
    shapes = f"of {len(own.right)} training shapes"
    if _better(best, own):
        wrong = (
            f"is right on {own.accuracy:.0%} {shapes}, and on {best.accuracy:.0%} with --axes "
            f"{format_axes(best.axes)}: give that, or run `pointstill teacher describe` without "
            "--axes"
        )
    else:
        best = max(own, best, key=lambda each: each.accuracy)
        if not guesses(best.accuracy, len(best.right), classes):
            return
        wrong = (
            f"is right on {best.accuracy:.0%} {shapes} with its best axes, no more than by "
            "guessing: check its weights, and the order of --class-names"
        )
    warnings.warn(f"teacher {spec} {wrong}", stacklevel=4)


def _better(one: Trial, other: Trial) -> bool:
    """Whether one trial beats another by 2.5 standard errors of the paired difference.

    That is more than the usual 2, as one is the best of a dozen.
    """
    only_one = int((one.right & ~other.right).sum())
    only_other = int((other.right & ~one.right).sum())
    return only_one - only_other > 2.5 * math.sqrt(only_one + only_other)
