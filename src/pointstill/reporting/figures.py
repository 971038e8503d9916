"""Figures: of confusion, of curves, of seeds, of clouds; as files, or inline in a page of HTML."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .templates import COLOURS

STYLE: Any = {
    "font.size": 8.5,
    "axes.titlesize": "medium",
    "axes.labelcolor": COLOURS["soft"],
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "lines.solid_capstyle": "round",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["soft"],
    "ytick.color": COLOURS["soft"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "pointstill",  # the same file from the same numbers
}
NOTES = ("Creator", "Date", "Format", "Type")
"""What matplotlib would note in a file."""
DEPTHS = 4
"""Shades of depth in a picture of a cloud."""
TURN, TILT = 0.6, 0.4
"""How the camera stands, in radians: round the up axis, and above the floor."""


@dataclass(frozen=True)
class Series:
    """What is drawn in one colour."""

    label: str
    x: Sequence[float]
    """Epochs of a curve, or the values of the seeds."""
    y: Sequence[float] = ()
    """Heights of a curve."""
    colour: str = "ink"
    """A name of `COLOURS`."""
    dashed: bool = False


@rc_context(STYLE)
def confusion_figure(
    counts: Sequence[Sequence[int]], classes: Sequence[str], title: str = ""
) -> Figure:
    """A confusion matrix: rows are true classes, columns predicted ones, in percent of the row."""
    table = np.array(counts, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = max(4.5, 0.28 * len(classes) + 2)
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot(xlabel="predicted", ylabel="true", title=title)
    axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    edges = np.arange(len(classes) - 1) + 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor")
    for row, column in np.argwhere(shares >= 0.005).tolist():
        share, right = float(shares[row, column]), row == column
        colour, alpha = ("blue", 0.65 * share) if right else ("red", min(1.5 * share, 0.65))
        corner = column - 0.5, row - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=COLOURS[colour], alpha=0.05 + alpha))
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
    return figure


@rc_context(STYLE)
def curve_figure(title: str, curves: Sequence[Series], unit: str = "") -> Figure:
    """Curves over epochs, on axes that begin at 0 where no value is below it."""
    figure = Figure(figsize=(3.75, 2.2))
    figure.suptitle(title, x=0, ha="left", fontsize="medium", fontweight="bold")
    axes = figure.add_subplot()
    axes.set_xlabel("epoch", loc="right")
    for curve in curves:
        style = (0, (4, 3)) if curve.dashed else "solid"
        axes.plot(curve.x, curve.y, color=COLOURS[curve.colour], linestyle=style)
    axes.set_xlim(left=0)
    if all(value >= 0 for curve in curves for value in curve.y):
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if unit:
        axes.yaxis.set_major_formatter(f"{{x:g}}{unit}")
    axes.grid(axis="y")
    axes.spines[:].set_visible(False)
    return figure


@rc_context(STYLE)
def seed_figure(
    groups: Sequence[Series], mark: float, xlabel: str, size: tuple[float, float]
) -> Figure:
    """A row a group: a dot a seed, a bar at their mean, a dashed line at the one to beat.

    Args:
        groups: top row first; `x` has the values.
        mark: the value to beat.
        xlabel: what the values are.
        size: width and height, in inches.
    """
    figure = Figure(figsize=size)
    axes = figure.add_subplot(xlabel=xlabel)
    axes.axvline(mark, color=COLOURS["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
    for row, group in enumerate(groups):
        style: dict[str, Any] = {"color": COLOURS[group.colour], "linestyle": "none"}
        rows = [row] * len(group.x)
        axes.plot(group.x, rows, marker="o", alpha=0.55, markeredgewidth=0, **style)
        axes.plot(np.mean(group.x), row, marker="|", markersize=13, markeredgewidth=2, **style)
    axes.set_yticks(range(len(groups)), [group.label for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid()
    axes.spines[:].set_visible(False)
    return figure


@rc_context(STYLE)
def inline_svg(figure: Figure, label: str) -> Markup:
    """A figure as SVG within HTML, in the colours of the page; `label` says what it shows."""
    figure.draw_without_rendering()  # makes the ticks
    for artist in figure.findobj():
        artist.set_clip_on(False)  # else it is clipped by an id, and pages have several figures
    file = StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(NOTES))
    body = file.getvalue().partition("<svg ")[2].partition(">")[2]
    body = re.sub(r' id="[\w.]+_\d+"', "", body)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    width, height = 72 * figure.get_size_inches()
    opening = '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}pt" height="{}pt">'
    return Markup(opening).format(label, *2 * (f"{width:g}", f"{height:g}")) + Markup(body)


def cloud_paths(points: NDArray[np.float32], up: str, side: float = 120) -> list[str]:
    """A cloud (n, 3) as dots, seen from above its front: an SVG path a shade, the farthest first.

    Each dot is a line of no length, to be drawn with round ends; `side` is that of the picture.
    """
    flat, depth = project(points, up)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = (side - 14) / max(float((high - low).max()), 1e-9)
    spots = (flat - (low + high) / 2) * scale * (1, -1) + side / 2  # SVG's y runs down
    order = np.argsort(np.argsort(-depth, kind="stable"), kind="stable")
    levels = order * DEPTHS // len(points)
    return [
        "".join(f"M{x:.1f} {y:.1f}h0" for x, y in spots[levels == level]) for level in range(DEPTHS)
    ]


def project(
    points: NDArray[np.float32], up: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where points (n, 3) fall on the picture: (n, 2) right and upwards, and depth (n,)."""
    axis = "xyz".index(up)
    x, y, z = (points[:, (axis + 1 + i) % 3].astype(float) for i in range(3))
    right = x * np.cos(TURN) - y * np.sin(TURN)
    away = x * np.sin(TURN) + y * np.cos(TURN)
    return (
        np.stack((right, z * np.cos(TILT) + away * np.sin(TILT)), axis=1),
        away * np.cos(TILT) - z * np.sin(TILT),
    )
