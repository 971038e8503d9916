"""Pictures as inline SVG, coloured by the page's CSS, so that they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

DEPTHS = 4
"""Shades of depth in a picture of a cloud."""
TURN, TILT = 0.6, 0.4
"""How the camera stands, in radians: round the up axis, and above the floor."""


@dataclass(frozen=True)
class Line:
    """A curve: `style` is the CSS class that colours it."""

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers in [low, high], at most so many.

    >>> ticks(0, 1)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    >>> ticks(71, 83)
    [75.0, 80.0]
    """
    power = 10.0 ** np.floor(np.log10(max(high - low, 1e-9)))
    for step in power * np.array([0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5]):
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first < most:
            return [round(float(step * i), 10) for i in np.arange(first, last + 1)]
    return [low, high]


def number(value: float) -> str:
    """A tick's number without needless zeros."""
    return f"{value:g}"


def curves(
    title: str,
    lines: Sequence[Line],
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
) -> str:
    """A small chart of curves over epochs, with the title above and the y axis at the left."""
    width, height, left, top, bottom = 360, 210, 40, 30, 28
    bottom_line, right = height - bottom, width - 10
    every = [value for line in lines for value in line.y]
    y_low = min(every) if low is None else low
    y_high = max(every) if high is None else high
    y_high = y_high if y_high > y_low else y_low + 1
    x_high = max([value for line in lines for value in line.x] + [1])

    def x_at(value: float) -> float:
        return left + (right - left) * value / x_high

    def y_at(value: float) -> float:
        return bottom_line - (bottom_line - top) * (value - y_low) / (y_high - y_low)

    parts = [f'<text class="title" x="{left}" y="14">{escape(title)}</text>']
    for tick in ticks(y_low, y_high):
        parts.append(f'<path class="grid" d="M{left} {y_at(tick):.1f}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{y_at(tick) + 3.5:.1f}" text-anchor="end">'
            f"{number(tick)}{unit}</text>"
        )
    for tick in ticks(0, x_high):
        if tick == round(tick):
            parts.append(
                f'<text class="tick" x="{x_at(tick):.1f}" y="{bottom_line + 15}" '
                f'text-anchor="middle">{number(tick)}</text>'
            )
    parts.append(f'<text class="tick" x="{right}" y="{height - 1}" text-anchor="end">epoch</text>')
    for line in lines:
        points = " ".join(
            f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in zip(line.x, line.y, strict=True)
        )
        parts.append(
            f'<polyline class="line {line.style}" points="{points}">'
            f"<title>{escape(line.label)}</title></polyline>"
        )
    return _svg(width, height, parts, title)


def strip(
    values: Sequence[float], centre: float, mark: float, low: float, high: float, style: str
) -> str:
    """One row of a strip plot: a dot a seed, a bar at the mean, a hairline at the one to beat."""
    width, height = 210, 22

    def at(value: float) -> float:
        return 6 + (width - 12) * (value - low) / (high - low)

    parts = [
        f'<path class="axis" d="M0 {height / 2}H{width}"/>',
        f'<path class="mark" d="M{at(mark):.1f} 0V{height}"/>',
        *(
            f'<circle class="dot {style}" cx="{at(value):.1f}" cy="{height / 2}" r="3.6">'
            f"<title>seed {seed}: {value:.2f} %</title></circle>"
            for seed, value in enumerate(values)
        ),
        f'<path class="mean {style}" d="M{at(centre):.1f} 3V{height - 3}"/>',
    ]
    return _svg(width, height, parts, "overall accuracy of each seed")


def strip_scale(low: float, high: float) -> str:
    """The scale of a strip plot, for the head of its column."""
    width, height = 210, 16
    parts = [
        f'<text class="tick" x="{6 + (width - 12) * (tick - low) / (high - low):.1f}" y="11" '
        f'text-anchor="middle">{number(tick)}</text>'
        for tick in ticks(low, high, 5)
    ]
    return _svg(width, height, parts, "scale of overall accuracy, percent")


def cloud(points: NDArray[np.float32], up: str) -> str:
    """A cloud (n, 3) as dots, seen from above its front; nearer ones larger and darker."""
    side = 120
    flat, depth = project(points, up)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = (side - 14) / max(float((high - low).max()), 1e-9)
    spots = (flat - (low + high) / 2) * scale * (1, -1) + side / 2  # SVG's y runs down
    order = np.argsort(np.argsort(-depth, kind="stable"), kind="stable")
    levels = order * DEPTHS // len(points)  # 0: farthest
    parts = []
    for level in range(DEPTHS):
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in spots[levels == level])
        parts.append(f'<path class="d{level}" d="{path}"/>')
    return _svg(side, side, parts, "a cloud of points")


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


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The confusion matrix as a table: rows are true classes, percent of each."""
    table = np.array(counts, float)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    heads = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in classes)
    rows = []
    for row, name in enumerate(classes):
        cells = []
        for column, share in enumerate(shares[row]):
            kind = "right" if row == column else "wrong"
            text = f"{share:.0f}" if share >= 0.5 else ""
            tip = f"{name} taken for {classes[column]}: {int(table[row, column])}"
            cells.append(
                f'<td class="{kind}" style="--share:{share:.0f}%" title="{escape(tip)}">{text}</td>'
            )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="confusion"><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _svg(width: int, height: int, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
