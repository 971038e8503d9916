"""What an evaluation leaves to read: one page of HTML, which loads nothing from elsewhere."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data import Dataset
from ..data.keyed_draws import permutation
from ..errors import UsageError, printable
from ..reporting.figures import (
    Series,
    confusion_figure,
    inline_svg,
    packed_cloud,
    reliability_figure,
    scale_figure,
)
from ..reporting.tables import cells_of
from ..reporting.templates import render, script_of
from ..storage.files import write_whole
from ..storage.paths import here
from .scoring import BINS, Evaluation, Pair, Score, measured_parts
from .tables import (
    corruption_table,
    point_table,
    score_table,
    taken_for_table,
    tested,
    unknown_table,
)

PICTURES = 24
"""Most clouds that are shown of one kind of mistakes."""
DRAWN_POINTS = 512
"""Most points of a cloud that is shown."""
CONFUSIONS = 8
"""Most confusions of a model that are named."""
DRAWN_CLASSES = 60
"""Most classes of a confusion matrix that is drawn."""
DRAWN_MODELS = 4
"""Most models whose confusion matrix is drawn."""
SENTENCES = 6
"""Most comparisons of two models in words."""
STYLES = [
    (colour, dashed) for dashed in (False, True) for colour in ("blue", "copper", "ink", "grey")
]
"""Of the models, in their order."""


@dataclass(frozen=True)
class Bin:
    """The answers of about one confidence."""

    share: float
    """Of all answers."""
    confidence: float
    """Their mean."""
    accuracy: float
    """How many of them are right."""


def write_report(evaluation: Evaluation, data: Dataset, path: str | Path) -> None:
    """Write an evaluation as a page of HTML, whole or not at all; the folder is made.

    The page is complete in itself. It has everything that `evaluate` prints, calibration, the most
    frequent confusions, and clouds that are told wrongly, which turn; a bounded number of them.

    Args:
        evaluation: from `evaluate`, and what `measure_points` and others found with it.
        data: what was evaluated on, for the clouds.
        path: the file.

    Raises:
        OSError: it cannot be written: a link, a pipe or a device is there, say.
        UsageError: it is not on this machine, or the data are not those of the evaluation.
    """
    path, content = here(path, "path"), report_page(evaluation, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.encode())


def report_page(evaluation: Evaluation, data: Dataset) -> str:
    """The page that `write_report` writes."""
    about, scores = evaluation.about, evaluation.scores
    names, short = [printable(score.name) for score in scores], short_names(evaluation)
    classes = [printable(name) for name in evaluation.classes]
    drawn = scores[:DRAWN_MODELS] if len(classes) <= DRAWN_CLASSES else []
    return render(
        "evaluation/report.html",
        headline=headline(evaluation),
        words=[
            in_words(pair_names, pair, about.get("groups"))
            for pair_names, pair in zip(
                combinations(short, 2), evaluation.pairs[:SENTENCES], strict=False
            )
        ],
        evaluation=evaluation,
        about=about,
        names=names,
        scores=cells_of(score_table(evaluation)),
        pairs=_pairs(evaluation),
        legend=[_series(place, name) for place, name in enumerate(names)],
        points=_points(evaluation),
        point_table=cells_of(point_table(evaluation.points)) if evaluation.points else None,
        corruptions=(
            cells_of(corruption_table(evaluation.corruptions)) if evaluation.corruptions else None
        ),
        unknown=_unknown(evaluation),
        calibrations=[
            inline_svg(_reliability(name, score, evaluation.labels), f"calibration of {name}")
            for name, score in zip(short, scores, strict=True)
            if score.confidences
        ],
        tempered=any(score.tempered_confidences for score in scores),
        classes=_classes(evaluation),
        confusions=[
            {
                "name": name,
                "pairs": most_confused(score, classes),
                "matrix": _matrix(name, score, classes) if score in drawn else None,
            }
            for name, score in zip(names, scores, strict=True)
        ],
        mistakes=list(_mistakes(evaluation, data)),
        most=PICTURES,
        drawn_points=DRAWN_POINTS,
        made=time.strftime("%Y-%m-%d %H:%M %Z"),
        script=script_of("clouds.js"),
    )


def headline(evaluation: Evaluation) -> str:
    """What came out, in a sentence."""
    about, scores = evaluation.about, evaluation.scores
    accuracies = [score.overall_accuracy for score in scores]
    best = short_names(evaluation)[accuracies.index(max(accuracies))]
    who = best if len(scores) == 1 else f"The best of {len(scores)} models, {best},"
    split = "" if about["split"] == "all" else f"{about['split']} "
    return (
        f"{who} gets {100 * max(accuracies):.1f} % of {about['shapes']:,} {split}shapes of "
        f"{_last(about['data'])} right"
    )


def short_names(evaluation: Evaluation) -> list[str]:
    """Of the models: the last parts of their paths, where these tell them apart."""
    full = [printable(score.name) for score in evaluation.scores]
    short = [_last(name) for name in full]
    return short if len(set(short)) == len(short) else full


def in_words(names: Sequence[str], pair: Pair, groups: int | None = None) -> str:
    """A comparison of two models as a sentence: who is ahead, or that nobody clearly is.

    Args:
        names: of both.
        pair: what was measured.
        groups: how many groups the shapes come in, if they do.
    """
    gap = 100 * pair.difference
    if groups is not None and pair.interval is None:
        return f"{names[0]} and {names[1]}: {tested(pair, groups)}."
    if pair.interval is None:
        clear, test = pair.p_value < 0.05, f"exact McNemar p = {pair.p_value:.3g}"
    else:
        low, high = (100 * end for end in pair.interval)
        clear, test = low > 0 or high < 0, f"95 % interval {low:+.1f} to {high:+.1f}"
    if not clear:
        return f"{names[0]} and {names[1]} do not clearly differ: {gap:+.1f} points ({test})."
    ahead, behind = names if gap > 0 else names[::-1]
    return f"{ahead} is ahead of {behind} by {abs(gap):.1f} points ({test})."


def reliability(
    confidences: Sequence[float], right: NDArray[np.bool_], bins: int = BINS
) -> list[Bin | None]:
    """Answers by their confidence, in bins of equal width; None for an empty one.

    The expected calibration error (Guo et al. 2017) is the sum of share times the gap between
    confidence and accuracy.

    >>> low, high = reliability([0.3, 0.9, 0.7], np.array([False, True, False]), bins=2)
    >>> high
    Bin(share=0.6666666666666666, confidence=0.8, accuracy=0.5)
    """
    values = np.asarray(confidences)
    places = np.minimum((values * bins).astype(int), bins - 1)
    return [
        Bin(float(inside.mean()), float(values[inside].mean()), float(right[inside].mean()))
        if (inside := places == place).any()
        else None
        for place in range(bins)
    ]


def most_confused(score: Score, classes: Sequence[str]) -> list[dict[str, Any]]:
    """What a model takes for what, the most frequent first: names, count, and shapes of it."""
    counts = np.array(score.confusion)
    shapes = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    found = [(int(place) // len(classes), int(place) % len(classes)) for place in order]
    return [
        {
            "name": classes[true],
            "answer": classes[answer],
            "count": int(counts[true, answer]),
            "shapes": int(shapes[true]),
        }
        for true, answer in found
        if counts[true, answer]
    ]


def _last(name: str) -> str:
    """The last part of a path."""
    return printable(Path(name).name or name)


def _matrix(name: str, score: Score, classes: Sequence[str]) -> Markup:
    figure = confusion_figure(score.confusion, classes)
    return inline_svg(figure, f"confusion matrix of {name}")


def _series(place: int, name: str, x: Sequence[float] = (), y: Sequence[float] = ()) -> Series:
    """Values of a model, in its style."""
    colour, dashed = STYLES[place % len(STYLES)]
    return Series(name, x, y, colour, dashed)


def _pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of two models each: how many shapes both, one of them, or neither is right on."""
    labels, rows = np.array(evaluation.labels), []
    pairs = zip(combinations(evaluation.scores, 2), evaluation.pairs, strict=True)
    for (first, second), pair in pairs:
        right = [np.array(score.predictions) == labels for score in (first, second)]
        rows.append(
            {
                "names": [printable(pair.first), printable(pair.second)],
                "both": int((right[0] & right[1]).sum()),
                "only": [pair.only_first, pair.only_second],
                "neither": int((~right[0] & ~right[1]).sum()),
                "points": f"{100 * pair.difference:+.2f}",
                "test": tested(pair, evaluation.about.get("groups")),
            }
        )
    return rows


def _points(evaluation: Evaluation) -> Markup | None:
    """Accuracy by the points of a cloud."""
    if not evaluation.points:
        return None
    curves = [
        _series(place, score.name, sorted(score.accuracy), [
            100 * score.accuracy[count] for count in sorted(score.accuracy)
        ])
        for place, score in enumerate(evaluation.points)
    ]  # fmt: skip
    figure = scale_figure("points", curves, " %")
    return inline_svg(figure, "overall accuracy by the points of a cloud")


def _unknown(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Tables of unknown clouds."""
    if not evaluation.unknown:
        return []
    tables = [
        unknown_table(evaluation.unknown, evaluation.about["unknown"]),
        *map(taken_for_table, evaluation.unknown),
    ]
    return [cells_of(table) | {"title": str(table.title)} for table in tables]


def _reliability(name: str, score: Score, labels: Sequence[int]) -> Figure:
    right = np.array(score.predictions) == np.array(labels)
    plain = reliability(score.confidences, right)
    shown, curves = plain, [_bins("plain", plain, "grey", dashed=True)]
    if score.tempered_confidences:
        shown = reliability(score.tempered_confidences, right)
        curves.append(_bins("at its temperature", shown, "blue"))
    edges = np.linspace(0, 100, BINS + 1).tolist()
    shares = [100 * each.share if each else 0.0 for each in shown]
    return reliability_figure(name, curves, edges, shares)


def _bins(label: str, bins: list[Bin | None], colour: str, dashed: bool = False) -> Series:
    full = [each for each in bins if each]
    values = [100 * each.confidence for each in full], [100 * each.accuracy for each in full]
    return Series(label, *values, colour, dashed)


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of classes, worst first by the first model: shapes, accuracies, and what it is taken
    for most."""
    shapes, rows = Counter(evaluation.labels), []
    first = evaluation.scores[0]
    for label, name in enumerate(evaluation.classes):
        if not shapes[label]:
            continue
        counts = np.array(first.confusion[label])
        counts[label] = 0
        answer = int(counts.argmax())
        taken = f"{printable(evaluation.classes[answer])}, {counts[answer]:,}"
        rows.append(
            {
                "name": printable(name),
                "shapes": shapes[label],
                "accuracy": [100 * (s.class_accuracy[name] or 0.0) for s in evaluation.scores],
                "taken": taken if counts[answer] else "",
            }
        )
    return sorted(rows, key=lambda row: row["accuracy"][0])


def _mistakes(evaluation: Evaluation, data: Dataset) -> Iterator[dict[str, Any]]:
    """Kinds of mistakes, each with the clouds that are shown, the surest answers first."""
    scores = evaluation.scores
    answers = np.array([score.predictions for score in scores])  # (models, shapes)
    wrong = answers != np.array(evaluation.labels)
    sure = np.array([_confidences(score) for score in scores])
    clouds = _Clouds(evaluation, data)
    for title, chosen in _kinds(short_names(evaluation), wrong):
        places = np.flatnonzero(chosen)
        surest = np.where(wrong, sure, 0.0).max(axis=0)[places]
        shown = places[np.argsort(-surest, kind="stable")][:PICTURES].tolist()
        yield {
            "title": title,
            "count": len(places),
            "clouds": [clouds.about(place, answers[:, place], sure[:, place]) for place in shown],
        }


def _kinds(names: list[str], wrong: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Titles, and which shapes (R,) are meant, from who errs on which (models, R)."""
    if len(names) == 1:
        return [(f"{names[0]} errs", wrong[0])]
    if len(names) == 2:
        first, second = wrong
        return [
            (f"Only {names[0]} errs", first & ~second),
            (f"Only {names[1]} errs", second & ~first),
            ("Both err", first & second),
        ]
    count = wrong.sum(axis=0)
    every, some = count == len(names), count > 0
    return [("Every model errs", every), ("Some err", some & ~every)]


def _confidences(score: Score) -> list[float]:
    """Of its answers, as it gives them in use."""
    return score.tempered_confidences or score.confidences or [0.0] * len(score.predictions)


class _Clouds:
    """The clouds of an evaluation, for the page."""

    def __init__(self, evaluation: Evaluation, data: Dataset):
        self.evaluation = evaluation
        self.parts = measured_parts(data, evaluation.about["split"])
        self.starts = np.cumsum([0, *map(len, self.parts)])
        fingerprint = " ".join(part.fingerprint for part in self.parts)
        if fingerprint != evaluation.about["fingerprint"]:
            raise UsageError("is not what was evaluated on", where=data.name)

    def about(
        self, place: int, answers: NDArray[np.int64], sure: NDArray[np.float64]
    ) -> dict[str, Any]:
        """A cloud: its points, its name, what it is, and what each model says."""
        evaluation, shape = self.evaluation, self.evaluation.shapes[place]
        part = int(np.searchsorted(self.starts, shape, side="right")) - 1
        split, label = self.parts[part], evaluation.labels[place]
        points = split.cloud(shape - int(self.starts[part]))
        some = permutation(f"picture:{evaluation.names[place]}", len(points))[:DRAWN_POINTS]
        return {
            "points": packed_cloud(points[some], split.up),
            "shape": printable(evaluation.names[place]),
            "name": printable(evaluation.classes[label]),
            "answers": [
                {
                    "model": name,
                    "says": printable(evaluation.classes[answer]),
                    "sure": f"{100 * share:.0f}\N{NO-BREAK SPACE}%" if share else "",
                    "right": answer == label,
                }
                for name, answer, share in zip(
                    short_names(evaluation), answers.tolist(), sure.tolist(), strict=True
                )
            ],
        }
