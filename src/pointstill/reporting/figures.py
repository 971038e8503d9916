"""Figures: of confusion, of curves, of seeds, of clouds; as files, or inline in a page of HTML."""

import re
import warnings
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..points.strays import body
from .templates import COLOURS, DARK

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
    "text.parse_math": False,  # names come from anywhere, and may have a $
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "pointstill",  # the same file from the same numbers
}
NOTES = ("Creator", "Date", "Format", "Type")
"""What matplotlib would note in a file."""
DEPTHS = 4
"""Shades of depth in a picture of a cloud."""
TURN, TILT = 0.6, 0.4
"""How the camera stands, in radians: round the up axis, and above the floor."""
LONGEST = 28
"""Most characters of a name in a figure."""


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
    classes = [shortened(name) for name in classes]
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
    _draw_curves(figure.add_subplot(), curves, unit)
    return figure


@rc_context(STYLE)
def curve_sheet(charts: Sequence[tuple[str, Sequence[Series], str]]) -> Figure:
    """Several of `curve_figure` in two columns: title, curves and unit of each, with their key."""
    rows = -(-len(charts) // 2)
    figure = Figure(figsize=(8, 2.5 * rows))
    for place, (title, curves, unit) in enumerate(charts, 1):
        axes = figure.add_subplot(rows, 2, place)
        axes.set_title(title, loc="left", fontweight="bold")
        _draw_curves(axes, curves, unit)
        if len(curves) > 1:
            axes.legend([curve.label for curve in curves], frameon=False, labelspacing=0.2)
    return figure


@rc_context(STYLE)
def scale_figure(xlabel: str, curves: Sequence[Series], unit: str = "") -> Figure:
    """Curves over numbers that double and double again: a dot and a tick at each."""
    figure = Figure(figsize=(4.8, 2.6))
    axes = figure.add_subplot(xscale="log")
    _draw_curves(axes, curves, unit, marker="o")
    axes.set_xlabel(xlabel, loc="right")
    places = sorted({x for curve in curves for x in curve.x})
    axes.set_xticks(places, [f"{x:,g}" for x in places])
    axes.set_xticks([], minor=True)
    return figure


def _draw_curves(
    axes: Axes, curves: Sequence[Series], unit: str, marker: str | None = None
) -> None:
    for curve in curves:
        style = (0, (4, 3)) if curve.dashed else "solid"
        # A curve of one epoch is a dot.
        dot = marker or ("o" if len(curve.x) == 1 else None)
        axes.plot(
            curve.x, curve.y, color=COLOURS[curve.colour], linestyle=style, marker=dot, markersize=4
        )
    if axes.get_xscale() == "linear":
        axes.set_xlabel("epoch", loc="right")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if all(value >= 0 for curve in curves for value in curve.y):
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if unit:
        axes.yaxis.set_major_formatter(f"{{x:g}}{unit}")
    axes.grid(axis="y")
    axes.spines[:].set_visible(False)


@rc_context(STYLE)
def reliability_figure(
    title: str, curves: Sequence[Series], edges: Sequence[float], shares: Sequence[float]
) -> Figure:
    """How often answers of a confidence are right: on the dashed line, as often as they say.

    Args:
        title: above.
        curves: mean confidence and accuracy of the bins that are not empty, in percent.
        edges: of the bins (B + 1,), in percent.
        shares: of all answers in each bin (B,), in percent: the bars.
    """
    figure = Figure(figsize=(3.75, 3.4))
    figure.suptitle(title, x=0, ha="left", fontsize="medium", fontweight="bold")
    axes = figure.add_subplot(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=COLOURS["line"])
    axes.plot((0, 100), (0, 100), color=COLOURS["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
    for curve in curves:
        style = (0, (4, 3)) if curve.dashed else "solid"
        colour = COLOURS[curve.colour]
        axes.plot(curve.x, curve.y, color=colour, linestyle=style, marker="o", markersize=3.5)
    axes.set_xlabel("confidence", loc="right")
    axes.set_ylabel("right", loc="top")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter("{x:g} %")
    axes.grid()
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


def inline_svg(figure: Figure, label: str) -> Markup:
    """A figure as SVG within HTML, in the colours of the page; `label` says what it shows."""
    width, height = 72 * figure.get_size_inches()
    opening = '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}pt" height="{}pt">'
    return Markup(opening).format(label, *2 * (f"{width:g}", f"{height:g}")) + _body_of(figure)


def svg_file(figure: Figure) -> str:
    """A figure as a file of its own: by light and in the dark."""
    width, height = (f"{72 * inches:g}" for inches in figure.get_size_inches())
    light, dark = (
        "".join(f"--{name}: {colour}; " for name, colour in colours.items())
        for colours in (COLOURS, DARK)
    )
    link = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {link} viewBox="0 0 {width} {height}" '
        f'width="{width}pt" height="{height}pt">\n'
        f"<style>svg {{ {light}background: #fff; }} text {{ font-family: sans-serif !important; }} "
        f"@media (prefers-color-scheme: dark) {{ svg {{ {dark}background: #171614; }} }}</style>"
        f"{_body_of(figure)}\n"
    )


@rc_context(STYLE)
def _body_of(figure: Figure) -> Markup:
    """What is inside of a figure's SVG, and its end; colours are those of the page."""
    file = StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page has another font
        figure.draw_without_rendering()  # makes the ticks
        for artist in figure.findobj():
            artist.set_clip_on(False)  # else it is clipped by an id, and pages have several figures
        figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(NOTES))
    inside = file.getvalue().partition("<svg ")[2].partition(">")[2]
    inside = re.sub(r' id="[\w.]+_\d+"', "", inside)
    for name, colour in COLOURS.items():
        inside = inside.replace(colour, f"var(--{name})")
    return Markup(inside)


def shortened(name: str) -> str:
    """A name that fits beside a figure."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def packed_cloud(points: NDArray[np.float32], up: str) -> str:
    """A cloud (n, 3) for a `<canvas data-points>` of `clouds.js`: three bytes a point, in base 64.

    They are right, deep and up, about the middle, over the radius: 0 to 255 for -1 to 1. Strays
    are left out, as they are where a student is asked.
    """
    turned = points[:, [("xyz".index(up) + 1 + axis) % 3 for axis in range(3)]].astype(np.float64)
    turned = turned[body(turned[None])[0]]
    turned -= (turned.min(axis=0) + turned.max(axis=0)) / 2
    turned /= max(float(np.linalg.norm(turned, axis=1).max()), 1e-9)
    return b64encode(np.rint((turned + 1) * 127.5).astype(np.uint8).tobytes()).decode()


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
