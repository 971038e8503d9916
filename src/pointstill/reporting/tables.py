"""Results for people: tables on the terminal, pictures of confusion."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from ..evaluation.profiling import Profile, processor
from ..evaluation.scoring import Evaluation, Score


def score_table(evaluation: Evaluation) -> Table:
    """The models of an evaluation side by side."""
    about = evaluation.about
    votes = about.get("votes", 1)
    voting = f"voting (up to {votes})" if votes > 1 else "no voting"
    table = Table(
        title=f"{Path(about['data']).name}, {about['shapes']:,} {about['split']} shapes, {voting}",
        caption=f"± is the binomial standard error; ms: median for a cloud, {_timed(evaluation)}, "
        f"{about['date']}",
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
            f"{score.latency_ms:.2f}{'*' * (score.runtime != 'torch')}",
        ]
        if agreed:
            row.append(f"{100 * score.agreement['argmax']:.1f}" if score.agreement else "")
        table.add_row(*row)
    return table


def _timed(evaluation: Evaluation) -> str:
    """What the latencies were measured in and on, and what is in them, by runtime."""
    about, runtimes = evaluation.about, {score.runtime for score in evaluation.scores}
    parts = []
    if "torch" in runtimes:
        parts.append(f"{_timed_on(about)} (normalised and drawn before)")
    if runtimes - {"torch"}:
        parts.append(
            f"* one thread of ONNX Runtime {about['onnxruntime']} on {about['processor']} "
            "(an exported student normalises and draws within)"
        )
    return "; ".join(parts)


def _timed_on(about: dict[str, Any]) -> str:
    """What torch's latency was measured on: one thread of the CPU, or a GPU."""
    on_cpu = about.get("device", "cpu") == "cpu"
    where = about["processor"] if on_cpu else f"{about['device']} (host: {about['processor']})"
    return f"{'one thread of ' * on_cpu}torch {about['torch']} on {where}"


REFERENCE = "pointmlp-elite"
"""The small net of others that profiles are compared with, where it is among them."""


def profile_table(profiles: list[Profile], points: int) -> Table:
    """The cost of models side by side."""
    base = next((each for each in profiles if each.name == REFERENCE), profiles[-1])
    about = measured_on(points)
    table = Table(
        title=f"one cloud of {points:,} points on one thread, normalisation and grouping included",
        caption=f"median milliseconds; faster: against {base.name}, each in its faster runtime. "
        f"torch {about['torch']}, ONNX Runtime {about['onnxruntime']}, {about['processor']}, "
        f"{about['date']}",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for heading in ("params", "MFLOPs", "torch ms", "ONNX ms", "faster"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in profiles:
        table.add_row(
            each.name,
            f"{each.parameters / 1e3:,.1f} k",
            f"{each.flops / 1e6:,.1f}",
            f"{each.torch_ms:.2f}",
            "" if each.onnx_ms is None else f"{each.onnx_ms:.2f}",
            f"{base.best_ms / each.best_ms:,.1f} x",
        )
    return table


def write_profile(profiles: list[Profile], points: int, path: Path) -> None:
    """Write profiles as JSON, with what they were measured on."""
    content = measured_on(points) | {"models": [asdict(each) for each in profiles]}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def measured_on(points: int) -> dict[str, object]:
    """The surroundings of a measurement."""
    import onnxruntime
    import torch

    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": 1,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "points": points,
    }


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
