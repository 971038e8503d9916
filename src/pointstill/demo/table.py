"""The demo's results on the terminal."""

from rich.table import Table

from .findings import Findings
from .plan import Plan


def result_table(findings: Findings, plan: Plan) -> Table:
    """Teacher and students side by side; mean and spread over seeds."""
    table = Table(
        title=f"test shapes, last epoch, no voting, mean ± spread over {plan.seeds} seeds",
        caption="ms: median for one cloud, one thread, eager torch",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for name in ("OA %", "mAcc %", "= teacher %", "params", "MFLOPs", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    teacher = findings.teacher
    table.add_row(
        f"teacher, {plan.teacher}",
        f"{100 * teacher.overall_accuracy:.1f}      ",
        f"{100 * teacher.mean_class_accuracy:.1f}",
        "",
        f"{teacher.parameters:,}",
        f"{teacher.flops / 1e6:.1f}",
        f"{teacher.latency_ms:.2f}",
        end_section=True,
    )
    for result in findings.results.values():
        one = result.scores[0]
        table.add_row(
            result.method.title,
            f"{result.mean:.1f} ± {result.spread:.1f}",
            f"{result.class_mean:.1f}",
            f"{result.agreement:.1f}",
            f"{one.parameters:,}",
            f"{one.flops / 1e6:.1f}",
            f"{sorted(each.latency_ms for each in result.scores)[plan.seeds // 2]:.2f}",
        )
    return table


def comparison_table(findings: Findings) -> Table:
    """Gaps between methods, and every p-value."""
    table = Table(title="points between methods, and p of the exact McNemar test of each seed")
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
