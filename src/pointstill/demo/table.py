"""The demo's results on the terminal."""

from rich.table import Table

from ..progress import size
from .schedule import Plan
from .statistics import Findings


def result_table(findings: Findings, plan: Plan) -> Table:
    """Teacher and students side by side; mean and spread over seeds."""
    teacher, student = findings.teacher, findings.best
    costs = (
        f"{name} {each.parameters:,} parameters, {(each.flops or 0) / 1e6:.1f} MFLOPs, "
        f"{size(each.bytes or 0)}, {each.latency_ms:.1f} ms a cloud"
        for name, each in ((plan.teacher, teacher), (plan.student, student))
    )
    table = Table(
        title=f"test shapes, last epoch, no voting, mean ± spread over {plan.seeds} seeds",
        caption="\n".join(costs),
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for name in ("OA %", "mAcc %", "= teacher %", "KL from it"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(
        f"teacher, {plan.teacher}",
        f"{100 * teacher.overall_accuracy:.1f}      ",
        f"{100 * teacher.mean_class_accuracy:.1f}",
        end_section=True,
    )
    for result in findings.results.values():
        table.add_row(
            result.method.title,
            f"{result.mean:.1f} ± {result.spread:.1f}",
            f"{result.class_mean:.1f}",
            f"{result.agreement:.1f}",
            f"{result.divergence:.2f}",
        )
    return table


def comparison_table(findings: Findings) -> Table:
    """Gaps between methods, and every p-value."""
    table = Table(title="gaps in points, and p of the exact McNemar test")
    table.add_column("comparison", no_wrap=True)
    table.add_column("gap", justify="right")
    table.add_column("spread", justify="right")
    for seed in range(len(findings.comparisons[0].pairs)):
        table.add_column(f"p, seed {seed}", justify="right", no_wrap=True)
    for each in findings.comparisons:
        table.add_row(
            f"{each.first.method.title} − {each.second.method.title}",
            f"{each.gap:+.1f}",
            f"{each.spread:.1f}",
            *(f"{pair.p_value:.2g}" for pair in each.pairs),
        )
    return table
