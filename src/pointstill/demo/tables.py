"""The demo's results on the terminal."""

from rich.table import Table

from ..progress import size
from ..reporting.tables import draw_table
from .experiment import Plan
from .significance import Findings


def result_table(findings: Findings, plan: Plan) -> Table:
    """Teacher and students side by side; mean and spread over seeds."""
    teacher, student = findings.teacher, findings.best
    costs = (
        f"{name} {each.parameters:,} parameters, {(each.flops or 0) / 1e6:.1f} MFLOPs, "
        f"{size(each.bytes or 0)}, {each.latency_ms:.1f} ms a cloud"
        for name, each in ((plan.teacher, teacher), (plan.student, student))
    )
    first = (
        f"teacher, {plan.teacher}",
        f"{100 * teacher.overall_accuracy:.1f}      ",
        f"{100 * teacher.mean_class_accuracy:.1f}",
    )
    students = (
        (
            result.method.title,
            f"{result.mean:.1f} ± {result.spread:.1f}",
            f"{result.class_mean:.1f}",
            f"{result.agreement:.1f}",
            f"{result.divergence:.2f}",
        )
        for result in findings.results.values()
    )
    return draw_table(
        ["model", "OA %", "mAcc %", "= teacher %", "KL from it"],
        [first, None, *students],
        title=f"test shapes, last epoch, no voting, mean ± spread over {plan.seeds} seeds",
        caption="\n".join(costs),
    )


def comparison_table(findings: Findings, plan: Plan) -> Table:
    """Gaps between methods, and every p-value."""
    return draw_table(
        ["comparison", "gap", "95 %", *(f"p, seed {seed}" for seed in range(plan.seeds))],
        [
            (
                f"{each.first.method.title} − {each.second.method.title}",
                f"{each.gap:+.1f}",
                "{:+.1f} to {:+.1f}".format(*each.interval),
                *(f"{pair.p_value:.2g}" for pair in each.pairs),
            )
            for each in findings.comparisons
        ],
        title="gaps in points, their 95 % intervals, and p of the exact McNemar test",
    )
