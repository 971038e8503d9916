"""Results for people: tables on the terminal, pictures of confusion."""

from pathlib import Path

import numpy as np
from rich.table import Table

from .evaluation import Evaluation, Score


def score_table(evaluation: Evaluation) -> Table:
    """The models of an evaluation side by side."""
    about = evaluation.about
    votes = about.get("votes", 1)
    voting = f"voting (up to {votes})" if votes > 1 else "no voting"
    table = Table(
        title=f"{Path(about['data']).name}, {about['shapes']:,} {about['split']} shapes, {voting}",
        caption=f"± is the binomial standard error; ms: median for a cloud, one thread of torch "
        f"{about['torch']} on {about['processor']}, {about['date']}",
        caption_justify="left",
    )
    table.add_column("model", overflow="fold")
    agreed = any(score.agreement for score in evaluation.scores)
    headings = ["OA %", "mAcc %", "ECE %", "params", "MFLOPs", "ms", *(["agree %"] * agreed)]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for score in evaluation.scores:
        row = [
            score.name,
            f"{100 * score.overall_accuracy:.2f} ± {100 * score.standard_error:.2f}",
            f"{100 * score.mean_class_accuracy:.2f}",
            f"{100 * score.calibration_error:.1f}",
            "-" if score.parameters is None else f"{score.parameters / 1e3:,.1f} k",
            "-" if score.flops is None else f"{score.flops / 1e6:,.1f}",
            f"{score.latency_ms:.2f}",
        ]
        if agreed:
            row.append(f"{100 * score.agreement['argmax']:.1f}" if score.agreement else "")
        table.add_row(*row)
    return table


def class_table(evaluation: Evaluation) -> Table:
    """Accuracy of each class, worst first by the first model."""
    table = Table(title="accuracy by class, %")
    table.add_column("class")
    table.add_column("shapes", justify="right")
    counts = np.bincount(evaluation.labels, minlength=len(evaluation.classes))
    for score in evaluation.scores:
        table.add_column(score.name, justify="right", overflow="fold")
    first = evaluation.scores[0].class_accuracy
    present = [name for name in evaluation.classes if first[name] is not None]
    for name in sorted(present, key=lambda each: first[each] or 0.0):
        cells = [f"{100 * (score.class_accuracy[name] or 0.0):.1f}" for score in evaluation.scores]
        table.add_row(name, str(counts[evaluation.classes.index(name)]), *cells)
    return table


def pair_lines(evaluation: Evaluation) -> list[str]:
    """The McNemar tests, one line each."""
    return [
        f"{pair.first} against {pair.second}: right alone on {pair.only_first} against "
        f"{pair.only_second} shapes, exact McNemar p = {pair.p_value:.3g}"
        for pair in evaluation.pairs
    ]


def confusion_picture(score: Score, classes: list[str], path: Path) -> None:
    """Draw the confusion matrix of a model as PNG: rows are true classes, in percent of each."""
    from matplotlib.figure import Figure

    counts = np.array(score.confusion, float)
    present = counts.sum(axis=1) > 0
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.5, 0.28 * len(classes) + 2)
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=90, fontsize=8)
    axes.set_yticks(ticks, classes, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{score.name}: OA {100 * score.overall_accuracy:.1f} %", fontsize=10)
    for row in np.flatnonzero(present):
        for column in np.flatnonzero(shares[row] >= 0.5):
            value = shares[row, column]
            colour = "white" if value > 55 else "black"
            axes.text(
                float(column),
                float(row),
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=6,
                color=colour,
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
