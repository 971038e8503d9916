"""The demo, told step by step: data, teacher, records, students, scores, report."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import PointstillError, UsageError
from ..progress import Reading, clock
from .schedule import DATA, FULL, METHODS, QUICK, STORE, TEACHER, Job, Plan, students

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation.scoring import Evaluation
    from .statistics import Findings

PLAN, RESULTS, REPORT = "plan.json", "results.json", "report.html"


def run_demo(out: Path, quick: bool) -> None:
    """Train a teacher, record it, distil students six ways, and report what it was worth.

    Everything is written under `out`; killed at any moment, the same call goes on there.

    Args:
        out: folder for everything that is made.
        quick: a small version to try the machinery with; its figures mean nothing.

    Raises:
        UsageError: `out` holds a demo of the other size.
        PointstillError: a step failed; the message names the fix.
    """
    started = time.monotonic()
    plan = QUICK if quick else FULL
    resumed = _begin(out, plan)
    about = "under a minute; its figures mean nothing" if quick else "about 5 minutes on two cores"
    print(f"pointstill demo in {out}: {about}. Ctrl-C is safe: run again to go on.", flush=True)

    _say(1, "Shapes", "everyday things as a depth camera sees them, made here: no download.")
    from ..data import open_dataset
    from .students import Crew

    data = open_dataset(DATA, progress=Reading(DATA))
    shapes = len(data.train)
    every = students(plan)
    fresh = [job for job in every if job.method and job.method.loss is None]

    with Crew(plan, out) as crew:
        _say(
            2,
            "Teacher",
            f"{plan.teacher} learns from {Job().shapes(plan, shapes):,} labelled shapes; beside it "
            "learn the students that need no teacher.",
        )
        crew.train([Job(), *fresh], shapes, "teacher")

        _say(
            3,
            "Records",
            f"the teacher is asked once about {plan.views} views of {plan.limit:,} shapes; "
            "no student will ever load it.",
        )
        _record(data, plan, out)

        _say(
            4,
            "Students",
            f"{plan.student} on those {plan.limit:,} shapes, {len(METHODS)} ways, {plan.seeds} "
            "seeds each: a gain must show against chance.",
        )
        crew.train([job for job in every if job not in fresh], shapes, "students")

    _say(5, "Scores", "the test shapes are opened now, for the first time.")
    data = open_dataset(DATA, progress=Reading(DATA))
    evaluation, findings = _evaluate(data, plan, out)

    _say(6, "Report", "what was found, for reading.")
    seconds = time.monotonic() - started
    _write(out, plan, evaluation, findings, seconds, resumed, data)
    _close(out, findings, plan, seconds)


def _begin(out: Path, plan: Plan) -> bool:
    """Make the folder, or see that it holds a demo of this plan; tell which."""
    path = out / PLAN
    wanted = json.dumps({"pointstill": __version__, **asdict(plan)}, indent=1) + "\n"
    if path.exists():
        if path.read_text("utf-8") != wanted:
            raise UsageError(
                f"{out} holds a demo of another size or version: choose another --out, "
                f"or remove {out}"
            )
        return True
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted, "utf-8")
    except OSError as error:
        raise PointstillError(
            f"{out} cannot be written ({error.strerror}): choose another --out"
        ) from error
    return False


def _say(number: int, title: str, why: str) -> None:
    print(f"\n{number}/6 {title}: {why}", flush=True)


def _record(data: "Dataset", plan: Plan, out: Path) -> None:
    import torch

    from ..recording.job import record
    from ..teachers import load_teacher

    torch.set_num_threads(1)  # the same records on any number of cores
    teacher = load_teacher(str(out / TEACHER), classes=data.classes)
    record(
        teacher,
        data,
        out=out / STORE,
        views=plan.views,
        augment=plan.augment,
        limit=plan.limit,
    )


def _evaluate(data: "Dataset", plan: Plan, out: Path) -> "tuple[Evaluation, Findings]":
    from ..evaluation.scoring import evaluate
    from .statistics import find

    jobs = students(plan)
    evaluation = evaluate(
        [out / TEACHER, *(job.folder(out) for job in jobs)],
        data,
        limit=plan.test_limit,
        records=out / STORE,
    )
    teacher, *rest = evaluation.scores
    scores: dict[str, list[Any]] = {method.key: [] for method in METHODS}
    for job, score in zip(jobs, rest, strict=True):
        assert job.method
        scores[job.method.key].append(score)
    return evaluation, find(teacher, scores, evaluation.labels)


def _write(
    out: Path,
    plan: Plan,
    evaluation: "Evaluation",
    findings: "Findings",
    seconds: float,
    resumed: bool,
    data: "Dataset",
) -> None:
    from .report import Facts, page

    facts = Facts(out, plan, evaluation, findings, seconds, resumed, data)
    (out / REPORT).write_text(page(facts), encoding="utf-8")
    summary = {
        "headline": findings.headline,
        "verdict": findings.verdict,
        "seconds": round(seconds, 1),
        "resumed": resumed,
        "plan": asdict(plan),
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
                "p_values": [pair.p_value for pair in each.pairs],
            }
            for each in findings.comparisons
        ],
        "evaluation": asdict(evaluation),
    }
    (out / RESULTS).write_text(json.dumps(summary, indent=1) + "\n", "utf-8")


def _close(out: Path, findings: "Findings", plan: Plan, seconds: float) -> None:
    """The table, the verdict and what to do next."""
    from rich.console import Console

    from .table import comparison_table, result_table

    console = Console()
    console.print()
    console.print(result_table(findings, plan))
    console.print(comparison_table(findings))
    print(findings.headline)
    for line in findings.verdict:
        print(line)
    print(f"\nreport: {out / REPORT}  ({clock(seconds)})")
    print(f"next: pointstill export {quote(findings.best.name)} --out student.onnx")
    print("      pointstill predict student.onnx YOUR_SCAN.ply")
