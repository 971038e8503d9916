"""The pictures of the page of results."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pointstill.reporting.figures import NOTES, STYLE
from pointstill.reporting.templates import COLOURS

from .outcome import Difference
from .radar import WHOLE

KINDS = {
    "ce": ("by labels alone", "ink"),
    "own": ("KD, teacher of the same labels", "blue"),
    "kd": ("KD, teacher of all labels", "copper"),
}


@rc_context(STYLE)
def shares_picture(curves: dict[str, list[tuple[int, list[float]]]], path: Path) -> None:
    """Accuracy (percent) against the share of labels (percent): a dot a seed, a bar the mean.

    A line joins the means of shares that are of whole people.
    """
    figure = Figure(figsize=(5.6, 3.2))
    axes = figure.add_subplot(
        xlabel="labels, percent of the training samples", ylabel="accuracy, percent"
    )
    for kind, (label, colour) in KINDS.items():
        if curves[kind]:
            shares = [share for share, _ in curves[kind]]
            means = [float(np.mean(each)) for _, each in curves[kind]]
            joined = [(s, mean) for s, mean in zip(shares, means, strict=True) if s >= WHOLE]
            axes.plot(*zip(*joined, strict=True), color=COLOURS[colour], label=label)
            axes.plot(shares, means, "_", color=COLOURS[colour], ms=14)
            for share, each in curves[kind]:
                axes.plot([share] * len(each), each, "o", color=COLOURS[colour], alpha=0.5, ms=3.5)
    shown = sorted({share for each in curves.values() for share, _ in each})
    axes.legend(loc="lower right", frameon=False)
    axes.set_xscale("log")
    axes.set_xticks(shown, [f"{s:g}" + "\nof anybody" * (s < WHOLE) for s in shown])
    axes.grid(axis="y")
    axes.spines[:].set_visible(False)
    save(figure, path)


@rc_context(STYLE)
def forest(rows: list[tuple[str, Difference]], title: str, path: Path) -> None:
    """A row a method: its difference, each seed's, and the 95 % interval."""
    figure = Figure(figsize=(5.6, 0.6 + 0.26 * len(rows)))
    axes = figure.add_subplot(xlabel=f"points of percent, {title}")
    axes.axvline(0, color=COLOURS["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
    for place, (_, gap) in enumerate(rows):
        colour = COLOURS[("copper" if gap.mean > 0 else "blue") if gap.clear else "soft"]
        axes.plot([gap.low, gap.high], [place, place], color=colour, linewidth=1.4)
        axes.plot(gap.by_seed, [place] * len(gap.by_seed), "o", color=colour, alpha=0.35, ms=3)
        axes.plot(gap.mean, place, "o", color=colour, ms=5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.spines[:].set_visible(False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """As SVG, the same file from the same numbers."""
    about: dict[str, Any] = dict.fromkeys(NOTES)
    figure.savefig(path, format="svg", metadata=about)
