"""The demo, told step by step: data, teacher, records, students, scores, report."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import PointstillError, UsageError
from ..progress import Reading, clock
from ..storage.files import write_whole
from .experiment import DATA, FULL, METHODS, QUICK, STORE, TEACHER, Job, Plan, students

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation.scoring import Evaluation
    from .report import Outcome
    from .significance import Findings

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

    _say("1/6 Shapes: everyday things as a depth camera sees them, made here: no download.")
    from ..data import open_dataset
    from .report import Outcome  # early, so that what is not installed is told at once
    from .students import train_all, trainers

    data = open_dataset(DATA, progress=Reading(DATA))
    shapes, every = len(data.train), students(plan)
    fresh = [job for job in every if job.method and job.method.loss is None]
    recorded = [job for job in every if job not in fresh]

    with trainers(plan.workers) as pool:
        _say(
            f"2/6 Teacher: {plan.teacher} learns from {Job().shapes(plan, shapes):,} labelled "
            f"shapes; beside it learn the students that need none, from {plan.labelled:,} of them."
        )
        train_all(pool, [Job(), *fresh], plan, out, shapes=shapes, label="teacher")

        _say(
            f"3/6 Records: the teacher is asked once about {plan.views} views of {plan.limit:,} "
            "shapes, labelled or not; no student will ever load it."
        )
        _record(data, plan, out)

        _say(
            f"4/6 Students: {plan.student} on those {plan.limit:,} shapes and the same "
            f"{plan.labelled:,} labels, {plan.seeds} seeds each: a gain must show against chance."
        )
        train_all(pool, recorded, plan, out, shapes=shapes, label="students")

    _say("5/6 Scores: the test shapes are opened now, for the first time.")
    data = open_dataset(DATA, progress=Reading(DATA))
    evaluation, findings = _evaluate(data, plan, out)

    _say("6/6 Report: what was found, for reading.")
    seconds = time.monotonic() - started
    _report(Outcome(out, plan, data, evaluation, findings, seconds, resumed))


def _begin(out: Path, plan: Plan) -> bool:
    """Make the folder, or see that it holds a demo of this plan; tell which."""
    path = out / PLAN
    wanted = json.dumps({"pointstill": __version__, **asdict(plan)}, indent=1) + "\n"
    if path.exists():
        if path.read_text("utf-8") != wanted:
            raise UsageError(
                "holds a demo of another size or version",
                where=out,
                fix=f"choose another --out, or remove {out}",
            )
        return True
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(path, wanted.encode())
    except OSError as error:
        raise PointstillError(
            f"cannot be written ({error.strerror})", where=out, fix="choose another --out"
        ) from error
    return False


def _say(step: str) -> None:
    print(f"\n{step}", flush=True)


def _record(data: "Dataset", plan: Plan, out: Path) -> None:
    import torch

    from ..recipe import RecordRecipe
    from ..recording.job import record
    from ..teachers import load_teacher

    torch.set_num_threads(1)  # the same records on any number of cores
    teacher = load_teacher(str(out / TEACHER), classes=data.classes)
    recipe = RecordRecipe(views=plan.views, augment=plan.augment, limit=plan.limit)
    record(teacher, data, out=out / STORE, recipe=recipe)


def _evaluate(data: "Dataset", plan: Plan, out: Path) -> "tuple[Evaluation, Findings]":
    from ..evaluation.scoring import evaluate
    from .significance import Findings

    jobs = [Job(), *students(plan)]
    folders = [job.folder(out) for job in jobs]
    evaluation = evaluate(folders, data, limit=plan.test_limit, records=out / STORE)
    teacher, *rest = evaluation.scores
    scores = {
        method.key: [
            score for job, score in zip(jobs[1:], rest, strict=True) if job.method == method
        ]
        for method in METHODS
    }
    return evaluation, Findings.of(teacher, scores, evaluation.labels)


def _report(outcome: "Outcome") -> None:
    """Write the report; print the tables, the verdict and what to do next."""
    from ..reporting.tables import print_tables
    from .report import page, results
    from .tables import comparison_table, result_table

    out, findings = outcome.out, outcome.findings
    write_whole(out / REPORT, page(outcome).encode())
    write_whole(out / RESULTS, (json.dumps(results(outcome), indent=1) + "\n").encode())
    print()
    print_tables(result_table(findings, outcome.plan), comparison_table(findings, outcome.plan))
    print("\n".join([findings.headline, *findings.verdict]))
    print(f"\nreport: {out / REPORT}  ({clock(outcome.seconds)})")
    print(f"next: pointstill export {quote(findings.best.name)} --out student.onnx")
    print("      pointstill predict student.onnx YOUR_SCAN.ply")
