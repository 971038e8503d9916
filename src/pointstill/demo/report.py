"""The demo's report: one HTML file that loads nothing from elsewhere."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from shlex import quote
from statistics import fmean, median
from string import Template

import numpy as np

from ..data import Dataset
from ..data.selection import limited
from ..evaluation.scoring import Evaluation, Score
from ..losses.options import NWSDOptions
from ..progress import clock, size
from ..run import Run
from . import figures
from .schedule import BETA, DATA, METHODS, QUICK, STORE, STUDENTS, TEACHER, Job, Method, Plan
from .statistics import CLEAR, Comparison, Findings

DRAWN_POINTS = 400
"""Most points in a picture of a cloud."""
MISSES = 8
"""Most pictures of clouds that the student gets wrong."""


@dataclass(frozen=True)
class Facts:
    """Everything the report is made from."""

    out: Path
    plan: Plan
    evaluation: Evaluation
    findings: Findings
    seconds: float
    resumed: bool
    data: Dataset


def page(facts: Facts) -> str:
    """The report as HTML."""
    plan, findings, about = facts.plan, facts.findings, facts.evaluation.about
    lowest, highest = _range(findings)
    template = Template((files(__package__) / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        short=escape(findings.headline),
        headline=escape(findings.headline),
        warning=_warning(plan),
        verdict="".join(f'<p class="lead">{escape(line)}</p>' for line in findings.verdict),
        figures=_figures(findings),
        setting=_setting(facts),
        table_caption=(
            f"Mean ± standard deviation over {plan.seeds} seeds (n = {plan.seeds}) on "
            f"{about['shapes']:,} test shapes, no voting, last epoch; each dot is a seed, the bar "
            "the mean, the dashed line the stronger baseline, the one to beat. One seed's own "
            f"binomial standard error is {100 * findings.best.standard_error:.1f} points. "
            f"Agreement and KL(teacher ‖ student) at T = 1 on the first recorded view."
        ),
        strip_scale=figures.strip_scale(lowest, highest),
        rows=_rows(findings, plan, lowest, highest),
        comparison_caption=(
            "Gap: difference of the means. Spread: standard deviation (n − 1) of the difference "
            f"within each seed; a gap of more than {CLEAR} times that is in bold, and called so in "
            "words. In brackets: shapes that only the first, only the second, gets right."
        ),
        seed_heads="".join(f'<th scope="col">p, seed {seed}</th>' for seed in range(plan.seeds)),
        comparisons="".join(_comparison(each) for each in findings.comparisons),
        costs=_costs(findings, plan),
        curve_note=(
            "Means over seeds on the training views, with dropout at work; no shape is held out. "
            "The views of CE on fresh ones differ from those of the others."
        ),
        legend="".join(_key(method) for method in METHODS),
        charts="".join(_charts(facts)),
        confusion_note=(
            f"{escape(_name(findings.best))}, {100 * findings.best.overall_accuracy:.1f} % right. "
            "Rows are true classes, columns what was said, in percent of the row."
        ),
        confusion=figures.confusion(findings.best.confusion, facts.evaluation.classes),
        cloud_note=(
            "The first test shape of each class as the depth camera saw it, from one or two "
            f"sides; the student gets {plan.points} of the points. Below each: what it is, and, "
            "where that is wrong, what the student says."
        ),
        clouds=_first_of_each_class(facts),
        missed=_missed(facts),
        files="".join(
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(what)}</td></tr>"
            for name, what in _files(plan)
        ),
        commands=_commands(facts),
        facts=_facts(facts),
        limits="".join(f"<li>{escape(line)}</li>" for line in _limits(plan)),
        version=about["pointstill"],
        date=about["date"],
    )


def _warning(plan: Plan) -> str:
    if plan != QUICK:
        return ""
    return (
        '<p class="lead"><strong>This was the quick demo: so little training shows that '
        "everything works, and the figures mean nothing.</strong></p>"
    )


def _figures(findings: Findings) -> str:
    base, kd, nwsd = findings.baseline, findings.results["kd"], findings.results["nwsd"]
    cells = [
        (f"{100 * findings.teacher.overall_accuracy:.1f}", "", "teacher"),
        (f"{base.mean:.1f}", f"± {base.spread:.1f}", f"{base.method.title}: the one to beat"),
        (f"{kd.mean:.1f}", f"± {kd.spread:.1f}", "KD, from records"),
        (f"{nwsd.mean:.1f}", f"± {nwsd.spread:.1f}", "NWSD, from records"),
    ]
    return "".join(
        f'<div class="figure"><b>{value} <small>{spread} %</small></b>'
        f"<span>{escape(what)}</span></div>"
        for value, spread, what in cells
    )


def _setting(facts: Facts) -> str:
    plan, findings = facts.plan, facts.findings
    shapes = Job().shapes(plan, len(facts.data.train))
    student = findings.best
    return escape(
        f"The teacher, {plan.teacher}, learned from {shapes:,} labelled shapes at "
        f"{plan.teacher_points} points, {plan.teacher_epochs} epochs. "
        f"It was asked once about {plan.views} views of {plan.limit} "
        f"of them. The student, {plan.student} with {student.parameters:,} parameters, learns from "
        f"those {plan.limit} shapes alone, at {plan.points} points, in {plan.epochs} epochs of "
        f"batches of {plan.batch_size}: the same for every method. So a distilled student profits "
        "twice from its teacher: from soft answers, and from shapes that only the teacher saw."
    )


def _range(findings: Findings) -> tuple[float, float]:
    """The ends of the strip plots, in percent."""
    every = [value for result in findings.results.values() for value in result.accuracies]
    margin = max(0.5, 0.06 * (max(every) - min(every)))
    return min(every) - margin, max(every) + margin


def _rows(findings: Findings, plan: Plan, low: float, high: float) -> str:
    teacher = findings.teacher
    rows = [
        f'<tr class="teacher"><td>labels: the teacher<small>{escape(plan.teacher)}, one seed'
        f"</small></td><td>{100 * teacher.overall_accuracy:.1f}</td><td></td>"
        f"<td>{100 * teacher.mean_class_accuracy:.1f}</td><td></td><td></td></tr>"
    ]
    for result in findings.results.values():
        method = result.method
        dots = figures.strip(
            result.accuracies, result.mean, findings.baseline.mean, low, high, method.key
        )
        kind = ' class="strong"' if method.role == "distilled" else ""
        control = "control: " if method.role == "control" else ""
        rows.append(
            f"<tr{kind}><td>{escape(method.title)}<small>{escape(control + method.what)}</small>"
            f'</td><td>{result.mean:.1f} ± {result.spread:.1f}</td><td class="plot">{dots}</td>'
            f"<td>{result.class_mean:.1f}</td><td>{result.agreement:.1f}</td>"
            f"<td>{result.divergence:.2f}</td></tr>"
        )
    return "".join(rows)


def _comparison(each: Comparison) -> str:
    tests = "".join(
        f"<td>{pair.p_value:.2g}<small>({pair.only_first}, {pair.only_second})</small></td>"
        for pair in each.pairs
    )
    name = f"{each.first.method.title} against {each.second.method.title}"
    kind = ' class="strong"' if each.clear else ""
    return (
        f"<tr><td>{escape(name)}</td><td{kind}>{each.gap:+.1f}</td>"
        f"<td>{each.spread:.1f}</td>{tests}</tr>"
    )


def _costs(findings: Findings, plan: Plan) -> str:
    every = [score for result in findings.results.values() for score in result.scores]
    teacher, student = findings.teacher, findings.best
    rows = [
        (f"teacher, {plan.teacher}", teacher, teacher.latency_ms),
        (f"student, {plan.student}", student, median(score.latency_ms for score in every)),
    ]
    return "".join(
        f"<tr><td>{escape(name)}</td><td>{score.points:,}</td><td>{score.parameters:,}</td>"
        f"<td>{(score.flops or 0) / 1e6:,.1f}</td><td>{size(score.bytes or 0)}</td>"
        f"<td>{latency:.2f}</td></tr>"
        for name, score, latency in rows
    )


def _key(method: Method) -> str:
    return (
        f'<li><svg width="26" height="4" viewBox="0 0 26 4" aria-hidden="true"><path '
        f'class="line {method.key}" d="M1 2H25"/></svg>{escape(method.title)}</li>'
    )


def _charts(facts: Facts) -> Iterable[str]:
    """Curves of training, means over seeds."""
    logs = {
        result.method.key: [Run(score.name).metrics() for score in result.scores]
        for result in facts.findings.results.values()
    }

    def lines(name: str, factor: float = 1.0) -> list[figures.Line]:
        found = []
        for method in METHODS:
            runs = logs[method.key]
            epochs = [line["epoch"] for line in runs[0] if name in line]
            values = [factor * fmean(run[epoch][name] for run in runs) for epoch in epochs]
            if values:
                shown = [epoch + 1 for epoch in epochs]
                found.append(figures.Line(method.title, method.key, shown, values))
        return found

    yield figures.curves("training accuracy", lines("train_accuracy", 100), unit=" %", low=0)
    yield figures.curves("cross-entropy with the labels, nats", lines("ce"), low=0)
    yield figures.curves("agreement with the teacher", lines("agreement", 100), unit=" %", low=0)
    yield figures.curves("T² KL from the teacher, nats", lines("kd"), low=0)
    yield figures.curves("KL from the student's past, nats", lines("kl_past"), low=0)
    times = np.linspace(0, 1, 101)
    weights = [
        figures.Line(
            title,
            style,
            (times * facts.plan.epochs).tolist(),
            [NWSDOptions(beta=beta).beta_at(float(time)) for time in times],
        )
        for title, style, beta in (("NWSD", "nwsd", BETA), ("β < 0", "towards-past", -BETA))
    ]
    yield figures.curves("β, the weight of the push away from the past", weights)


def _name(score: Score) -> str:
    """What a score's run is called in the report: its folder."""
    return Path(score.name).name


def _first_of_each_class(facts: Facts) -> str:
    labels = facts.evaluation.labels
    first = [labels.index(label) for label in sorted(set(labels))]
    return "".join(_picture(facts, place) for place in first)


def _missed(facts: Facts) -> str:
    """Clouds that the student gets wrong, evenly spaced among all of them."""
    said, labels = facts.findings.best.predictions, facts.evaluation.labels
    wrong = [place for place, label in enumerate(labels) if said[place] != label]
    if not wrong:
        return ""
    some = (
        [wrong[i * len(wrong) // MISSES] for i in range(MISSES)] if len(wrong) > MISSES else wrong
    )
    pictures = "".join(_picture(facts, place) for place in some)
    return (
        f'<p class="soft">And {len(some)} of the {len(wrong):,} that it gets wrong:</p>'
        f'<div class="clouds">{pictures}</div>'
    )


def _picture(facts: Facts, place: int) -> str:
    """A test cloud with its class, and what the student said if that is wrong."""
    classes, split = facts.evaluation.classes, facts.data.test
    shape = int(limited(split, facts.plan.test_limit)[place])
    points = split.cloud(shape)[:DRAWN_POINTS]  # primitives come in random order
    label, said = facts.evaluation.labels[place], facts.findings.best.predictions[place]
    wrong = f"<i>✗ {escape(classes[said])}</i>" if said != label else ""
    return (
        f"<figure{' class=miss' if wrong else ''}>{figures.cloud(points, split.up)}"
        f"<figcaption>{escape(classes[label])}{wrong}</figcaption></figure>"
    )


def _files(plan: Plan) -> Sequence[tuple[str, str]]:
    return (
        ("report.html", "this page"),
        ("results.json", "every figure of it, predictions and confusion matrices included"),
        ("plan.json", "the sizes of the demo; a folder goes on only with the same ones"),
        (f"{TEACHER}/", "run folder of the teacher"),
        ("  recipe.yaml", "all options, resolved: give it as --recipe to repeat the run"),
        ("  metrics.jsonl", "one line an epoch: losses, accuracy, learning rate"),
        ("  weights.safetensors", "the finished weights; a folder that has them is finished"),
        (f"{STORE}/", "what the teacher said of every view, and how to make the views again"),
        (f"{STUDENTS}/", f"run folders of {len(METHODS)} methods x {plan.seeds} seeds"),
        ("  nwsd-0/ and others", "method and seed; the same three files in each"),
    )


def _commands(facts: Facts) -> str:
    plan, out = facts.plan, facts.out
    quick = " --quick" if plan == QUICK else ""
    limit = f" --limit {plan.teacher_limit}" if plan.teacher_limit else ""
    fit = f"--batch-size {plan.batch_size} --val 0 --threads 1 --device cpu"
    lines = [
        ("# everything", f"pointstill demo{quick} --out {quote(str(out))}"),
        (
            "# 1. the teacher",
            f"pointstill train --model {plan.teacher} --data {DATA} --out runs/teacher{limit} \\\n"
            f"    --epochs {plan.teacher_epochs} --points {plan.teacher_points} {fit} \\\n"
            f"    --augment '{plan.augment}'",
        ),
        (
            "# 2. its records",
            f"pointstill record --teacher runs/teacher --data {DATA} --out records.zarr \\\n"
            f"    --views {plan.views} --limit {plan.limit} --augment '{plan.augment}'",
        ),
        (
            "# 3. a student",
            f"pointstill distill --student {plan.student} --data {DATA} --records records.zarr \\\n"
            f"    --loss nwsd --seed 0 --out runs/nwsd-0 --epochs {plan.epochs} \\\n"
            f"    --points {plan.points} --limit {plan.limit} {fit}",
        ),
        ("# 4. its worth", f"pointstill evaluate runs/nwsd-0 runs/teacher --data {DATA}"),
        ("# 5. its use", f"pointstill export {quote(facts.findings.best.name)} --out student.onnx"),
        ("", "pointstill predict student.onnx YOUR_SCAN.ply"),
    ]
    return "\n".join(
        (f"<i>{escape(comment)}</i>\n" if comment else "") + escape(command)
        for comment, command in lines
    )


def _facts(facts: Facts) -> str:
    plan, about = facts.plan, facts.evaluation.about
    taken = clock(facts.seconds) + (
        ", going on with what an earlier start had made" if facts.resumed else ""
    )
    rows = [
        ("time taken", taken),
        ("date", time.strftime("%Y-%m-%d %H:%M %Z")),
        ("processor", f"{about['processor']}; one thread a run, a run a core"),
        ("versions", f"pointstill {about['pointstill']}, torch {about['torch']}"),
        ("seeds", f"students {', '.join(map(str, range(plan.seeds)))}; teacher 0; records 0"),
        ("loss", f"α = 1, β = {BETA}, T = 4, form floor, snapshot of 5 epochs ago: the defaults"),
        ("augmentation", plan.augment),
        ("test split", f"{about['shapes']:,} shapes, SHA-256 {about['fingerprint'][:16]}…"),
    ]
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(what))}</dd>" for name, what in rows)


def _limits(plan: Plan) -> Sequence[str]:
    return (
        "The shapes are generated. Gains on real scans have to be measured on real scans.",
        f"{plan.seeds} seeds give a rough idea of the spread, not a precise one; the teacher and "
        "its records are one draw, so their own luck is in every distilled figure.",
        "The training is short, so that it fits into minutes: every figure here would rise with "
        "more of it, and the order of the methods may change.",
        "α, β and T are the defaults, the same everywhere; no method was tuned, KD's temperature "
        "neither. A tuned method may do better.",
        "A student that learned from as many labelled shapes as the teacher is not shown: part of "
        "the gain is the teacher's larger training set.",
        "Latency is that of eager torch on this machine, beside whatever else it was doing.",
    )
