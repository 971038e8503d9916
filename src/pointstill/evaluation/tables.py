"""Evaluations and profiles as tables on the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

from ..reporting.tables import draw_table
from .group_bootstrap import LEAST
from .profiling import Profile, surroundings
from .robustness import CorruptionScore, PointScore
from .scoring import Evaluation, Pair, Score
from .unknown import UnknownScore

REFERENCE = "pointmlp-elite"
"""The small net of others that profiles are compared with, where it is among them."""


def score_table(evaluation: Evaluation) -> Table:
    """The models of an evaluation side by side."""
    about = evaluation.about
    votes = about.get("votes", 1)
    voting = f"voting (up to {votes})" if votes > 1 else "no voting"
    agreed = any(score.agreement for score in evaluation.scores)
    columns = ["model", "OA %", "mAcc %", "ECE %", "params", "MFLOPs", "ms"]
    return draw_table(
        columns + ["agree %"] * agreed,
        [_score_row(score)[: len(columns) + agreed] for score in evaluation.scores],
        title=f"{Path(about['data']).name}, {_measured(about)}, {voting}",
        caption=f"{_interval(about)}; ECE: plain > at its temperature; ms: median for a cloud, "
        f"{_timed(evaluation)}, {about['date']}",
    )


def _interval(about: dict[str, Any]) -> str:
    """What is in brackets, or why nothing is."""
    groups = about.get("groups")
    if groups is None:
        return "in brackets: the 95 % interval by Wilson"
    if groups < LEAST:
        return f"{groups} groups: no interval (it takes {LEAST})"
    return f"in brackets: the 95 % interval by drawing the {groups:,} groups anew"


def _measured(about: dict[str, Any]) -> str:
    """How many shapes were measured, of how many, which, and how many have no label."""
    without = about.get("unlabelled", 0)
    return _labelled(about) + (f", {without:,} without a label left out" if without else "")


def _labelled(about: dict[str, Any]) -> str:
    shapes, split, fold = about["shapes"], about["split"], about.get("fold")
    among, total = about.get("split_shapes", shapes), about.get("data_shapes")
    part = f"{shapes:,} of {among:,}" if shapes < among else f"{shapes:,}"
    if split == "all":
        return f"{part} shapes, all splits"
    if fold is None or total is None:
        return f"{part} {split} shapes"
    some = f"of the {among:,} in " if shapes < among else ""
    where = f"{some}the {split} part of fold {fold}; --split all for all"
    return f"{shapes:,} of {total:,} shapes ({where})"


def _score_row(score: Score) -> list[str]:
    percent = f"{100 * score.overall_accuracy:.2f}"
    if score.interval:
        percent += " ({:.1f}-{:.1f})".format(*(100 * end for end in score.interval))
    return [
        score.name,
        percent,
        f"{100 * score.mean_class_accuracy:.2f}",
        _calibration(score),
        "-" if score.parameters is None else f"{score.parameters / 1e3:,.1f} k",
        "-" if score.flops is None else f"{score.flops / 1e6:,.1f}",
        f"{score.latency_ms:.2f}{'*' * (score.runtime != 'torch')}",
        f"{100 * score.agreement['argmax']:.1f}" if score.agreement else "",
    ]


def _calibration(score: Score) -> str:
    """The calibration error, and behind it that at the student's own temperature."""
    plain = f"{100 * score.calibration_error:.1f}"
    tempered = score.tempered_error
    return plain if tempered is None else f"{plain} > {100 * tempered:.1f}"


def corruption_table(scores: Sequence[CorruptionScore]) -> Table:
    """Corruption errors of models side by side, in percent of DGCNN's."""
    return draw_table(
        ["corruption", *(score.name for score in scores)],
        [
            ["OA clean, %", *(f"{100 * score.clean:.1f}" for score in scores)],
            [
                "OA corrupted, %",
                *(f"{100 * float(np.mean([*score.accuracy.values()])):.1f}" for score in scores),
            ],
            None,
            *(
                [f"CE {name}", *(f"{score.errors[name]:.3f}" for score in scores)]
                for name in scores[0].accuracy
            ),
            ["mCE", *(f"{score.errors['mCE']:.3f}" for score in scores)],
            ["RmCE", *(f"{score.relative_errors['RmCE']:.3f}" for score in scores)],
        ],
        title="ModelNet-C, on our sampling",
        caption="CE: errors, mean of five levels, over those of DGCNN as published (1.000); "
        "mCE: their mean; RmCE: the same of what is lost against clean clouds. The clouds were "
        "sampled and corrupted here: the published files have other points.",
    )


def point_table(scores: Sequence[PointScore]) -> Table:
    """Accuracy against the number of points that are left of a cloud."""
    return draw_table(
        ["points", *(score.name for score in scores)],
        [
            [f"{count:,}", *(f"{100 * score.accuracy[count]:.1f}" for score in scores)]
            for count in scores[0].accuracy
        ],
        title="overall accuracy by the points of a cloud, %",
    )


def unknown_table(scores: Sequence[UnknownScore], source: str) -> Table:
    """How models tell unknown clouds from known ones."""
    return draw_table(
        ["model", "AUROC", "FPR95 %", "accepted %", "recall %"],
        [
            [
                score.name,
                f"{score.auroc:.3f}",
                f"{100 * score.false_positives:.1f}",
                "-" if score.accepted is None else f"{100 * score.accepted:.1f}",
                "-" if score.recall is None else f"{100 * score.recall:.1f}",
            ]
            for score in scores
        ],
        title=f"clouds of {Path(source).name} among the known ones, by their scores",
        caption="FPR95: unknown clouds taken for known where 95 % of the known ones are; accepted "
        "and recall: unknown and known clouds above the threshold that the model brings.",
    )


def taken_for_table(score: UnknownScore, most: int = 3) -> Table:
    """What a model takes each kind of unknown cloud for."""
    total = {kind: sum(counts.values()) for kind, counts in score.taken_for.items()}
    return draw_table(
        ["kind", "clouds", "accepted %", Column("would be", overflow="fold")],
        [
            [
                kind,
                str(total[kind]),
                f"{100 * score.accepted_by_kind[kind]:.0f}",
                ", ".join(
                    f"{name} {count / total[kind]:.0%}" for name, count in [*counts.items()][:most]
                ),
            ]
            for kind, counts in score.taken_for.items()
        ],
        title=f"what {score.name} takes them for",
    )


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


def class_table(evaluation: Evaluation) -> Table:
    """Accuracy of each class, worst first by the first model."""
    scores = evaluation.scores
    counts = np.bincount(evaluation.labels, minlength=len(evaluation.classes))
    shapes = dict(zip(evaluation.classes, counts, strict=True))
    present = {name: share for name, share in scores[0].class_accuracy.items() if share is not None}
    return draw_table(
        [
            "class",
            "shapes",
            *(Column(score.name, justify="right", overflow="fold") for score in scores),
        ],
        [
            [
                name,
                str(shapes[name]),
                *(f"{100 * (score.class_accuracy[name] or 0.0):.1f}" for score in scores),
            ]
            for name in sorted(present, key=present.__getitem__)
        ],
        title="accuracy by class, %",
    )


def pair_lines(evaluation: Evaluation) -> list[str]:
    """The tests between models, one line each."""
    groups = evaluation.about.get("groups")
    return [
        f"{pair.first} against {pair.second}: right alone on {pair.only_first} against "
        f"{pair.only_second} shapes, {tested(pair, groups)}"
        for pair in evaluation.pairs
    ]


def tested(pair: Pair, groups: int | None) -> str:
    """The exact McNemar test; of shapes in groups, which it does not hold for, the difference."""
    if groups is None:
        return f"exact McNemar p = {pair.p_value:.3g}"
    points = f"{100 * pair.difference:+.2f} points"
    if pair.interval is None:
        return f"{points} (no interval of {groups} groups)"
    low, high = (100 * end for end in pair.interval)
    return f"{points} ({low:+.1f} to {high:+.1f} by drawing the {groups:,} groups anew)"


def profile_table(profiles: list[Profile], points: int) -> Table:
    """The cost of models side by side."""
    base = next((each for each in profiles if each.name == REFERENCE), profiles[-1])
    about = surroundings(threads=1)
    return draw_table(
        ["model", "params", "MFLOPs", "torch ms", "ONNX ms", "faster"],
        [
            [
                each.name,
                f"{each.parameters / 1e3:,.1f} k",
                f"{each.flops / 1e6:,.1f}",
                f"{each.torch_ms:.2f}",
                "" if each.onnx_ms is None else f"{each.onnx_ms:.2f}",
                f"{base.best_ms / each.best_ms:,.1f} x",
            ]
            for each in profiles
        ],
        title=f"one cloud of {points:,} points on one thread, normalisation and grouping included",
        caption=f"median milliseconds; faster: against {base.name}, each in its faster runtime. "
        f"torch {about['torch']}, ONNX Runtime {about['onnxruntime']}, {about['processor']}, "
        f"{about['date']}",
    )
