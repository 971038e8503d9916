"""Furniture: bed, bookcase, chair, sofa, table. In metres; it faces -y."""

from typing import Annotated, Literal

from .arithmetic import Array, rotate
from .grammar import scatter
from .solids import box, cylinder, ellipsoid, frustum, lathe, move, rod, tube


def _legs(
    width: float, depth: float, height: float, radius: float, splay: float = 0
) -> list[Array]:
    """Four round legs under the corners of a rectangle, their feet `splay` further out."""
    legs = []
    for i in (-1, 1):
        for j in (-1, 1):
            foot = (i * (width / 2 + splay), j * (depth / 2 + splay), 0)
            legs.append(rod(foot, (i * width / 2, j * depth / 2, height), radius))
    return legs


def _leant(solid: Array, tilt: float, x: float, y: float, z: float) -> Array:
    """Lean a solid that stands on the origin back by `tilt` turns, and put it on (x, y, z)."""
    return move(rotate(solid, -tilt, "x"), x, y, z)


def bed(
    variant: Literal["divan", "framed", "four-poster"],
    width: Annotated[float, 0.85, 2.0],
    length: Annotated[float, 1.85, 2.2],
    base: Annotated[float, 0.22, 0.42],
    mattress: Annotated[float, 0.14, 0.3],
    headboard: Annotated[float, 0.25, 0.8],
    footboard: Annotated[float, 0.2, 0.6],
    pillow: Annotated[float, 0.12, 0.22],
    blanket: Annotated[float, 0.5, 0.75],
) -> list[Array]:
    """A mattress with pillows on a base.

    In metres: `base` and `mattress` are heights, `headboard` and `footboard` how far these rise
    above mattress and base, `pillow` its thickness; `blanket` in lengths.
    """
    top, half = base + mattress, length / 2
    pillows = 2 if width > 1.3 else 1
    parts = [
        box(width, length, mattress, z=base),
        box(width + 0.06, blanket * length, 0.05, y=half * (blanket - 1), z=top - 0.01),
        box(width + 0.04, 0.07, top + headboard, y=half + 0.035),
    ]
    for i in range(pillows):
        wide = 0.46 * width / pillows
        x = (i - (pillows - 1) / 2) * width / 2
        parts.append(ellipsoid(wide, pillow, x, half - 0.25, top - 0.02, squash=0.2 / wide))
    if variant == "divan":
        parts.append(box(width, length, base - 0.03, z=0.03))
    else:
        parts.append(box(width + 0.04, length, 0.1, z=base - 0.1))
        parts += _legs(width - 0.1, length - 0.1, base, 0.035)
    if variant == "framed":
        parts.append(box(width + 0.04, 0.06, base + footboard, y=-half - 0.03))
    if variant == "four-poster":
        high = top + headboard + 0.9
        parts += _legs(width, length, high, 0.035)
        parts += [box(width + 0.07, 0.07, 0.07, y=j * half, z=high) for j in (-1, 1)]
        parts += [box(0.07, length, 0.07, x=i * width / 2, z=high) for i in (-1, 1)]
    return parts


def bookcase(
    variant: Literal["open", "cupboard", "rack"],
    width: Annotated[float, 0.6, 1.5],
    height: Annotated[float, 1.1, 2.3],
    depth: Annotated[float, 0.24, 0.42],
    board: Annotated[float, 0.018, 0.04],
    shelf: Annotated[float, 0.28, 0.42],
    fill: Annotated[float, 0.25, 0.85],
    book: Annotated[float, 0.5, 0.8],
    phase: Annotated[float, 0.0, 1.0],
) -> list[Array]:
    """Shelves with books on them.

    In metres: `board` is a thickness, `shelf` about the height of one; `fill` is the fraction of
    places taken by books, `book` their depth in depths; `phase` places them.
    """
    shelves = int(height / shelf)
    gap, inner = height / shelves, width - 2 * board
    parts = [box(inner, depth, board, z=i * gap) for i in range(shelves)]
    parts.append(box(width, depth, board, z=height))
    if variant == "rack":  # open on all sides
        parts += _legs(width - board, depth - board, height, 0.7 * board)
    else:
        parts += [box(board, depth, height, x=i * (width - board) / 2) for i in (-1, 1)]
        parts.append(box(inner, 0.01, height, y=depth / 2 - 0.005))
    closed = shelves // 3 + 1 if variant == "cupboard" else 0
    if closed:
        for i in (-1, 1):
            door = box(inner / 2 - 0.005, 0.02, closed * gap, i * inner / 4, -depth / 2 - 0.01)
            knob = ellipsoid(0.02, 0.04, i * 0.06, -depth / 2 - 0.03, 0.6 * closed * gap)
            parts += [door, knob]
    for i in range(closed, shelves):
        x, run = -inner / 2, 0
        while x < inner / 2 - 0.16:  # blocks of books, and gaps
            wide = min(0.1 + 0.3 * scatter(phase, 5 * i + run), inner / 2 - x)
            if scatter(7 * phase, 3 * i + run) < fill:
                tall = (gap - board) * (0.55 + 0.4 * scatter(3 * phase, i + 2 * run))
                y = depth * (0.97 - book) / 2 - 0.01
                parts.append(box(wide, book * depth, tall, x + wide / 2, y, i * gap + board))
            x, run = x + wide + 0.01, run + 1
    return parts


def chair(
    variant: Literal["slatted", "solid", "armchair", "swivel"],
    width: Annotated[float, 0.38, 0.6],
    depth: Annotated[float, 0.38, 0.56],
    seat: Annotated[float, 0.4, 0.52],
    back: Annotated[float, 0.32, 0.68],
    tilt: Annotated[float, 0.0, 0.06],
    leg: Annotated[float, 0.014, 0.032],
    splay: Annotated[float, 0.0, 0.06],
    arm: Annotated[float, 0.16, 0.26],
) -> list[Array]:
    """A seat with a back for one.

    In metres: `seat` is its height, `back` and `arm` rise above it, `leg` is a radius, `splay` how
    far the feet stand out; `tilt` of the back in turns.
    """
    pad, rear = 0.03 + 0.6 * leg, depth / 2 - 0.02
    parts = [box(width, depth, pad, z=seat - pad)]
    if variant == "swivel":
        parts.append(cylinder(leg + 0.01, seat - 0.1, z=0.05))
        reach = width * 0.56 + splay
        for i in range(5):
            foot = tube([(0, 0, 0.1), (0, -reach, 0.06)], [0.035, 0.022])
            parts += [rotate(foot, i / 5), rotate(ellipsoid(0.03, 0.06, y=-reach), i / 5)]
        rest = [box(0.07, 0.03, 0.5 * back), box(0.9 * width, 0.05, 0.65 * back, z=0.35 * back)]
    else:
        parts += _legs(width - 2 * leg, depth - 2 * leg, seat - pad / 2, leg, splay)
        rest = [box(width, 0.03 + leg, back)]
    if variant == "slatted":
        bars = [(i / 3 - 0.5) * (width - 2 * leg) for i in range(4)]
        rest = [box(1.4 * leg, leg, back, x) for x in bars] + [box(width, 1.2 * leg, 0.08, z=back)]
    parts += [_leant(part, tilt, 0, rear, seat) for part in rest]
    if variant in ("armchair", "swivel"):
        for i in (-1, 1):
            x, y = i * (width / 2 + 0.02), -depth / 4
            parts.append(box(0.05, 0.75 * depth, 0.035, x, 0.05, seat + arm))
            parts.append(rod((x, y, seat - pad), (x, y, seat + arm), 0.02))
    return parts


def sofa(
    variant: Literal["straight", "rolled", "corner"],
    width: Annotated[float, 1.35, 2.4],
    depth: Annotated[float, 0.75, 1.05],
    seat: Annotated[float, 0.38, 0.5],
    back: Annotated[float, 0.3, 0.52],
    arm: Annotated[float, 0.1, 0.28],
    rise: Annotated[float, 0.1, 0.26],
    tilt: Annotated[float, 0.0, 0.05],
    leg: Annotated[float, 0.03, 0.14],
) -> list[Array]:
    """A cushioned seat for two or more, with a back and two arms.

    In metres: `seat` is its height, `back` and `rise` (of the arms) above it, `arm` is a width,
    `leg` a height; `tilt` of the cushions behind in turns.
    """
    inner, base, rear = width - 2 * arm, seat - 0.14, depth / 2
    cushions = 2 if inner < 1.4 else 3
    parts = [box(inner, depth, base - leg, z=leg)]
    parts += _legs(width - 0.15, depth - 0.15, leg + 0.02, 0.03)
    for i in range(cushions):
        wide = inner / cushions
        x = (i - (cushions - 1) / 2) * wide
        parts.append(box(wide - 0.015, depth - 0.18, 0.14, x, -0.1, base))
        pad = box(wide - 0.015, 0.16, back - 0.04)
        parts.append(_leant(pad, tilt, x, rear - 0.25, seat))
    wall = (inner, rear - 0.2, rear), (inner, rear - 0.12, rear)
    parts.append(frustum(*wall, leg, seat + back - leg))
    for i in (-1, 1):
        x, high = i * (width - arm) / 2, seat + rise
        parts.append(box(arm, depth, high - leg, x, z=leg))
        if variant == "rolled":
            parts.append(tube([(x, -rear, high), (x, rear, high)], 0.62 * arm, sides=12))
    if variant == "corner":
        wide, deep = 0.5 + arm, 0.9 * depth
        x, y = (width - wide) / 2, -rear - deep / 2
        parts.append(box(wide, deep, base - leg, x, y, leg))
        parts.append(box(wide - 0.02, deep, 0.14, x, y, base))
    return parts


def table(
    variant: Literal["legs", "pillar", "trestle", "desk"],
    width: Annotated[float, 0.8, 2.0],
    depth: Annotated[float, 0.6, 1.0],
    height: Annotated[float, 0.45, 0.8],
    top: Annotated[float, 0.02, 0.06],
    leg: Annotated[float, 0.018, 0.05],
    inset: Annotated[float, 0.0, 0.2],
    splay: Annotated[float, 0.0, 0.07],
    drawer: Annotated[float, 0.22, 0.36],
) -> list[Array]:
    """A flat top that stands on legs, a pillar, trestles or drawers.

    In metres: `top` is a thickness, `leg` a radius, `splay` how far the feet stand out; `inset` of
    the legs and width of the `drawer`s in widths.
    """
    under = height - top
    if variant == "pillar":  # round or oval
        wide, foot = 0.45 * width, 0.34 * depth + splay
        disc = [(wide, 0.0), (wide, top)]
        stem = [(foot, 0.0), (foot, 0.02), (2 * leg, 0.09), (1.6 * leg, under)]
        return [lathe(disc, z=under, sides=28, squash=depth / width + 0.2), lathe(stem)]
    parts = [box(width, depth, top, z=under)]
    far, deep = (1 - inset) * width - 2 * leg, (1 - inset) * depth - 2 * leg
    if variant == "legs":
        parts += _legs(far, deep, under, leg, splay)
        parts += [box(far, 0.02, 0.09, y=j * deep / 2, z=under - 0.09) for j in (-1, 1)]
        parts += [box(0.02, deep, 0.09, x=i * far / 2, z=under - 0.09) for i in (-1, 1)]
    elif variant == "trestle":
        for i in (-1, 1):
            x = i * far / 2
            for j in (-1, 1):
                toe = (x, j * (0.38 * depth + splay), 0)
                parts.append(rod(toe, (x, j * 0.08 * depth, under), leg))
            parts.append(box(2 * leg, depth / 2, 0.03, x, z=0.4 * under))
        parts.append(box(far, 0.03, 0.06, z=0.4 * under))
    else:  # "desk": drawers on the right, legs on the left
        wide = drawer * width
        x = (width - wide) / 2 - 0.02
        parts.append(box(wide, 0.94 * depth, under - 0.05, x, z=0.05))
        handles = [place * under for place in (0.3, 0.55, 0.8)]
        parts += [box(0.4 * wide, 0.025, 0.02, x, -0.48 * depth, z) for z in handles]
        x = leg + 0.02 - width / 2
        parts += [rod((x, j * deep / 2, 0), (x, j * deep / 2, under), leg) for j in (-1, 1)]
    return parts
