"""What the demo leaves to read: a report in HTML, which loads nothing from elsewhere, and figures
in JSON."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from statistics import fmean, median
from typing import Any

import numpy as np
from markupsafe import Markup

from ..data import Dataset
from ..data.selection import limited
from ..evaluation.scoring import Evaluation
from ..losses.options import NWSDOptions
from ..progress import clock, size
from ..reporting.figures import (
    Series,
    cloud_paths,
    confusion_figure,
    curve_figure,
    inline_svg,
    seed_figure,
)
from ..reporting.templates import render
from ..run import Run
from ..training.curves import TITLES
from .experiment import BETA, DATA, METHODS, QUICK, Job, Plan
from .significance import Findings

COLOURS = {
    "ce": "grey",
    "ce-smooth": "grey",
    "kd": "blue",
    "kd-weaker": "blue",
    "nwsd": "copper",
    "towards-past": "copper",
}
DASHED = ("ce-smooth", "kd-weaker", "towards-past")
CURVES = ("train_accuracy", "ce", "agreement", "kd", "kl_past")
"""Entries of the runs' logs that are drawn."""
DRAWN_POINTS = 400
"""Most points in a picture of a cloud."""
MISSES = 8
"""Most pictures of clouds that the student gets wrong."""


@dataclass(frozen=True)
class Outcome:
    """Everything that is reported."""

    out: Path
    plan: Plan
    data: Dataset
    evaluation: Evaluation
    findings: Findings
    seconds: float
    resumed: bool


def page(outcome: Outcome) -> str:
    """The report as HTML."""
    plan, findings, evaluation = outcome.plan, outcome.findings, outcome.evaluation
    labels, answers = np.array(evaluation.labels), np.array(findings.best.predictions)
    _, first = np.unique(labels, return_index=True)
    wrong = np.flatnonzero(labels != answers)
    some = wrong[np.arange(MISSES) * len(wrong) // MISSES] if len(wrong) > MISSES else wrong
    return render(
        "demo/report.html",
        plan=plan,
        findings=findings,
        about=evaluation.about,
        quick=plan == QUICK,
        teacher_shapes=Job().shapes(plan, len(outcome.data.train)),
        seeds=_seeds(findings),
        costs=_costs(plan, findings),
        size=size,
        legend=[_series(key) for key in findings.results],
        charts=list(_charts(outcome)),
        student_run=Path(findings.best.name).name,
        confusion=inline_svg(
            confusion_figure(findings.best.confusion, evaluation.classes), "confusion matrix"
        ),
        clouds=_clouds(outcome, first),
        missed=_clouds(outcome, some),
        misses=len(wrong),
        quote=quote,
        out=str(outcome.out),
        data=DATA,
        taken=clock(outcome.seconds),
        resumed=outcome.resumed,
        date=time.strftime("%Y-%m-%d %H:%M %Z"),
        beta=BETA,
    )


def results(outcome: Outcome) -> dict[str, Any]:
    """Every figure of the report, for JSON."""
    findings = outcome.findings
    return {
        "headline": findings.headline,
        "verdict": findings.verdict,
        "seconds": round(outcome.seconds, 1),
        "resumed": outcome.resumed,
        "plan": asdict(outcome.plan),
        "methods": {
            key: {
                "title": result.method.title,
                "overall_accuracy": [score.overall_accuracy for score in result.scores],
                "mean_percent": result.mean,
                "spread_points": result.spread,
                "agreement_percent": result.agreement,
            }
            for key, result in findings.results.items()
        },
        "comparisons": [
            {
                "first": each.first.method.key,
                "second": each.second.method.key,
                "gap_points": each.gap,
                "spread_points": each.spread,
                "interval_points": each.interval,
                "p_values": [pair.p_value for pair in each.pairs],
            }
            for each in findings.comparisons
        ],
        "evaluation": asdict(outcome.evaluation),
    }


def _series(key: str, x: Sequence[float] = (), y: Sequence[float] = ()) -> Series:
    """Values of a method, in its colour."""
    (title,) = (method.title for method in METHODS if method.key == key)
    return Series(title, x, y, COLOURS[key], key in DASHED)


def _seeds(findings: Findings) -> Markup:
    groups = [_series(key, result.accuracies) for key, result in findings.results.items()]
    figure = seed_figure(groups, findings.baseline.mean, "overall accuracy, %", (4.6, 2.3))
    return inline_svg(figure, "overall accuracy of each seed")


def _costs(plan: Plan, findings: Findings) -> list[tuple[Any, ...]]:
    """Rows of a table: model, score, and milliseconds a cloud."""
    teacher, student = findings.teacher, findings.best
    times = [score.latency_ms for result in findings.results.values() for score in result.scores]
    return [
        (f"teacher, {plan.teacher}", teacher, teacher.latency_ms),
        (f"student, {plan.student}", student, median(times)),
    ]


def _charts(outcome: Outcome) -> Iterator[Markup]:
    """Curves of training, means over seeds; and the weight of NWSD's second term."""
    logs = {
        key: [Run(score.name).metrics() for score in result.scores]
        for key, result in outcome.findings.results.items()
    }
    for name in CURVES:
        title, unit = TITLES[name]
        curves = []
        for key, runs in logs.items():
            epochs = [line["epoch"] for line in runs[0] if name in line]
            means = [fmean(run[epoch][name] for run in runs) for epoch in epochs]
            values = [100 * mean for mean in means] if unit else means
            if values:
                # The labelled clouds are fewer, so that passes over them are shorter.
                scale = outcome.plan.epochs / len(runs[0])
                curves.append(_series(key, [(epoch + 1) * scale for epoch in epochs], values))
        yield inline_svg(curve_figure(title, curves, unit), title)
    times = np.linspace(0, 1, 101).tolist()
    epochs = [time * outcome.plan.epochs for time in times]
    weights = [
        _series(key, epochs, [NWSDOptions(beta=beta).beta_at(time) for time in times])
        for key, beta in (("nwsd", BETA), ("towards-past", -BETA))
    ]
    title = "β, the weight of the push away from the past"
    yield inline_svg(curve_figure(title, weights), title)


def _clouds(outcome: Outcome, indices: np.ndarray) -> list[dict[str, Any]]:
    """Test clouds as paths, with their classes, and the student's answers where those are wrong."""
    split, classes = outcome.data.test, outcome.evaluation.classes
    shapes = limited(split, outcome.plan.test_limit)
    clouds = []
    for index in indices.tolist():
        label = outcome.evaluation.labels[index]
        answer = outcome.findings.best.predictions[index]
        points = split.cloud(int(shapes[index]))[:DRAWN_POINTS]  # they come in random order
        clouds.append(
            {
                "name": classes[label],
                "answer": classes[answer] if answer != label else None,
                "paths": cloud_paths(points, split.up),
            }
        )
    return clouds
