"""Furniture: bed, bookcase, chair, lamp, sofa, table."""

from .arithmetic import Array, cosine, rotate, sine
from .grammar import Grammar, scatter
from .solids import (
    box,
    cylinder,
    ellipsoid,
    frustum,
    lathe,
    move,
    rod,
    tube,
)


def _legs(
    width: float, depth: float, height: float, radius: float, splay: float = 0, y: float = 0
) -> list[Array]:
    """Four round legs under the corners of a rectangle, feet `splay` metres further out."""
    return [
        rod((i * (width / 2 + splay), y + j * (depth / 2 + splay), 0),
            (i * width / 2, y + j * depth / 2, height), radius)
        for i in (-1, 1) for j in (-1, 1)
    ]  # fmt: skip


def bed(
    variant: str, width: float, length: float, base: float, mattress: float, headboard: float,
    footboard: float, pillow: float, blanket: float,
) -> list[Array]:  # fmt: skip
    """A mattress with pillows on a base; the headboard is at the back."""
    top = base + mattress
    half = length / 2
    pillows = 2 if width > 1.3 else 1
    parts = [
        box(width, length, mattress, z=base),
        box(width + 0.06, length * blanket, 0.05, y=-half * (1 - blanket), z=top - 0.01),
        box(width + 0.04, 0.07, top + headboard, y=half + 0.035),
    ]
    for i in range(pillows):
        x = (i - (pillows - 1) / 2) * width / 2
        pad = ellipsoid(
            0.46 * width / pillows,
            pillow,
            x,
            half - 0.25,
            top - 0.02,
            0.2 / (0.46 * width / pillows),
        )
        parts.append(pad)
    if variant == "divan":
        parts.append(box(width, length, base - 0.03, z=0.03))
    else:
        parts.append(box(width + 0.04, length, 0.1, z=base - 0.1))
        parts += _legs(width - 0.1, length - 0.1, base, 0.035)
    if variant == "framed":
        parts.append(box(width + 0.04, 0.06, base + footboard, y=-half - 0.03))
    if variant == "four-poster":
        height = top + headboard + 0.9
        parts += _legs(width, length, height, 0.035)
        parts += [box(width + 0.07, 0.07, 0.07, y=j * half, z=height) for j in (-1, 1)]
        parts += [box(0.07, length, 0.07, x=i * width / 2, z=height) for i in (-1, 1)]
    return parts


BED = Grammar(
    bed,
    ("divan", "framed", "four-poster"),
    {
        "width": (0.85, 2.0),
        "length": (1.85, 2.2),
        "base": (0.22, 0.42),
        "mattress": (0.14, 0.3),
        "headboard": (0.25, 0.8),
        "footboard": (0.2, 0.6),
        "pillow": (0.12, 0.22),
        "blanket": (0.5, 0.75),
    },
)


def bookcase(
    variant: str, width: float, height: float, depth: float, board: float, shelf: float,
    fill: float, book: float, phase: float,
) -> list[Array]:  # fmt: skip
    """Shelves between two sides, partly filled with books."""
    shelves = max(2, int(height / shelf))
    gap = height / shelves
    inner = width - 2 * board
    parts = [box(inner, depth, board, z=i * gap) for i in range(shelves)]
    parts.append(box(width, depth, board, z=height))
    if variant == "rack":  # open on all sides
        parts += _legs(width - board, depth - board, height, board * 0.7)
    else:
        parts += [box(board, depth, height, x=i * (width - board) / 2) for i in (-1, 1)]
        parts.append(box(inner, 0.01, height, y=depth / 2 - 0.005))
    closed = shelves // 3 + 1 if variant == "cupboard" else 0
    for i in (-1, 1):
        if closed:
            parts.append(
                box(inner / 2 - 0.005, 0.02, closed * gap, i * inner / 4, -depth / 2 - 0.01)
            )
            parts.append(ellipsoid(0.02, 0.04, i * 0.06, -depth / 2 - 0.03, closed * gap * 0.6))
    for i in range(closed, shelves):
        x, run = -inner / 2, 0
        while x < inner / 2 - 0.16:  # blocks of books with gaps between
            u, v = scatter(phase, 5 * i + run), scatter(phase * 7, 3 * i + run)
            wide = min(0.1 + 0.3 * u, inner / 2 - x)
            if v < fill:
                tall = (gap - board) * (0.55 + 0.4 * scatter(phase * 3, i + 2 * run))
                parts.append(
                    box(wide, depth * book, tall, x + wide / 2, depth * (0.97 - book) / 2 - 0.01,
                        i * gap + board)
                )  # fmt: skip
            x, run = x + wide + 0.01, run + 1
    return parts


BOOKCASE = Grammar(
    bookcase,
    ("open", "cupboard", "rack"),
    {
        "width": (0.6, 1.5),
        "height": (1.1, 2.3),
        "depth": (0.24, 0.42),
        "board": (0.018, 0.04),
        "shelf": (0.28, 0.42),
        "fill": (0.25, 0.85),
        "book": (0.5, 0.8),
        "phase": (0.0, 1.0),
    },
)


def chair(
    variant: str, width: float, depth: float, seat: float, back: float, tilt: float, leg: float,
    splay: float, arm: float,
) -> list[Array]:  # fmt: skip
    """A seat with a back for one."""
    pad = 0.03 + 0.6 * leg
    parts = [box(width, depth, pad, z=seat - pad)]
    hinge = depth / 2 - 0.02  # the back leans about the rear edge of the seat

    def lean(solid: Array) -> Array:
        return move(rotate(solid, -tilt, "x"), y=hinge, z=seat)

    if variant == "swivel":
        parts.append(cylinder(0.03, seat - 0.1, z=0.05))
        for i in range(5):
            foot = tube([(0, 0, 0.1), (0, -width * 0.62, 0.06)], [0.035, 0.022])
            parts.append(rotate(foot, i / 5))
            parts.append(rotate(ellipsoid(0.03, 0.06, 0, -width * 0.62), i / 5))
        parts.append(lean(box(0.07, 0.03, back * 0.5)))
        parts.append(lean(box(width * 0.9, 0.05, back * 0.65, z=back * 0.35)))
    else:
        parts += _legs(width - 2 * leg, depth - 2 * leg, seat - pad / 2, leg, splay)
    if variant == "slatted":
        for i in range(4):
            parts.append(lean(box(leg * 1.4, leg, back, x=(i / 3 - 0.5) * (width - 2 * leg))))
        parts.append(lean(box(width, leg * 1.2, 0.08, z=back)))
    if variant in ("solid back", "armchair"):
        parts.append(lean(box(width, 0.03 + leg, back)))
    if variant in ("armchair", "swivel"):
        for i in (-1, 1):
            x = i * (width / 2 + 0.02)
            parts.append(box(0.05, depth * 0.75, 0.035, x, 0.05, seat + arm))
            parts.append(rod((x, -depth * 0.25, seat - pad), (x, -depth * 0.25, seat + arm), 0.02))
    return parts


CHAIR = Grammar(
    chair,
    ("slatted", "solid back", "armchair", "swivel"),
    {
        "width": (0.38, 0.6),
        "depth": (0.38, 0.56),
        "seat": (0.4, 0.52),
        "back": (0.32, 0.68),
        "tilt": (0.0, 0.06),
        "leg": (0.014, 0.032),
        "splay": (0.0, 0.06),
        "arm": (0.16, 0.26),
    },
)


def lamp(
    variant: str, height: float, base: float, stem: float, shade: float, taper: float, drop: float,
    reach: float,
) -> list[Array]:  # fmt: skip
    """A shade on a stem on a foot; `base`, `shade`, `drop` and `reach` are fractions of height."""
    foot, wide, deep = base * height, shade * height, drop * height
    thin = stem * height
    hood = [(wide, 0.0), (wide * taper, deep), (wide * taper * 0.95, deep), (wide * 0.96, 0.0)]
    parts = [lathe([(foot, 0), (foot, 0.02 * height), (foot * 0.3, 0.05 * height)])]
    if variant == "standard":
        parts.append(cylinder(thin, height - deep * 0.5))
        parts.append(lathe(hood, z=height - deep))
    elif variant == "vase":
        belly = foot * 0.95
        parts.append(lathe([(belly * 0.6, 0), (belly, 0.16 * height), (belly * 0.9, 0.3 * height),
                            (thin, 0.45 * height), (thin, height - deep * 0.5)]))  # fmt: skip
        parts.append(lathe(hood, z=height - deep))
    elif variant == "arm":  # a desk lamp with an elbow and a tilted hood
        elbow = (0.0, reach * height * 0.5, 0.5 * height)
        tip = (0.0, -reach * height * 0.7, 0.92 * height)
        parts += [rod((0, 0, 0.02 * height), elbow, thin), rod(elbow, tip, thin)]
        parts.append(move(rotate(lathe(hood, z=-deep), -0.06, "x"), *tip))
    else:  # "bow": a long stem that arches over
        turns = [i / 24 for i in range(11)]
        rise = 0.6 * height
        span = reach * height * 0.75
        path = [(0.0, 0.0, 0.0)] + [
            (0.0, -span * (1 - cosine(t)), rise + (height - rise) * sine(t)) for t in turns
        ]
        parts.append(tube(path, thin))
        parts.append(move(lathe(hood, z=-deep * 0.8), *path[-1]))
    return parts


LAMP = Grammar(
    lamp,
    ("standard", "vase", "arm", "bow"),
    {
        "height": (0.35, 1.8),
        "base": (0.1, 0.19),
        "stem": (0.01, 0.025),
        "shade": (0.13, 0.26),
        "taper": (0.35, 0.95),
        "drop": (0.13, 0.27),
        "reach": (0.35, 0.65),
    },
)


def sofa(
    variant: str, width: float, depth: float, seat: float, back: float, arm: float, rise: float,
    tilt: float, leg: float,
) -> list[Array]:  # fmt: skip
    """A cushioned seat for two or more, with a back and two arms."""
    inner = width - 2 * arm
    cushions = 2 if inner < 1.4 else 3
    thick = 0.2
    base = seat - 0.14
    parts = [box(inner, depth, base - leg, z=leg)]
    parts += _legs(width - 0.15, depth - 0.15, leg + 0.02, 0.03)
    for i in range(cushions):
        x = (i - (cushions - 1) / 2) * inner / cushions
        wide = inner / cushions - 0.015
        parts.append(box(wide, depth - thick + 0.02, 0.14, x, -thick / 2, base))
        pad = box(wide, 0.16, back - 0.04)
        parts.append(move(rotate(pad, -tilt, "x"), x, depth / 2 - thick - 0.05, seat))
    rear = depth / 2
    parts.append(frustum((inner, rear - thick, rear), (inner, rear - 0.12, rear), leg, seat + back))
    for i in (-1, 1):
        x = i * (width - arm) / 2
        parts.append(box(arm, depth, seat + rise - leg, x, 0, leg))
        if variant == "rolled arms":
            roll = tube([(x, -rear, seat + rise), (x, rear, seat + rise)], arm * 0.62, sides=12)
            parts.append(roll)
    if variant == "corner":
        deep = depth * 0.9
        x = (width - arm) / 2 - 0.25
        parts.append(box(0.5 + arm, deep, base - leg, x, -rear - deep / 2, leg))
        parts.append(box(0.48 + arm, deep, 0.14, x, -rear - deep / 2, base))
    return parts


SOFA = Grammar(
    sofa,
    ("straight", "rolled arms", "corner"),
    {
        "width": (1.35, 2.4),
        "depth": (0.75, 1.05),
        "seat": (0.38, 0.5),
        "back": (0.3, 0.52),
        "arm": (0.1, 0.28),
        "rise": (0.1, 0.26),
        "tilt": (0.0, 0.05),
        "leg": (0.03, 0.14),
    },
)


def table(
    variant: str, width: float, depth: float, height: float, top: float, leg: float, inset: float,
    splay: float, drawer: float,
) -> list[Array]:  # fmt: skip
    """A flat top that stands on legs, on a pillar, on trestles or on drawers."""
    under = height - top
    if variant == "pillar":  # round or oval
        parts = [lathe([(width * 0.45, 0), (width * 0.45, top)], z=under, sides=28,
                       squash=depth / width + 0.2)]  # fmt: skip
        foot = depth * 0.34
        parts.append(lathe([(foot, 0), (foot, 0.02), (2 * leg, 0.09), (1.6 * leg, under)]))
        return parts
    parts = [box(width, depth, top, z=under)]
    far, deep = width - 2 * leg - inset * width, depth - 2 * leg - inset * depth
    if variant == "four legs":
        parts += _legs(far, deep, under, leg, splay)
        parts += [box(far, 0.02, 0.09, y=j * deep / 2, z=under - 0.09) for j in (-1, 1)]
        parts += [box(0.02, deep, 0.09, x=i * far / 2, z=under - 0.09) for i in (-1, 1)]
    elif variant == "trestle":
        for i in (-1, 1):
            x = i * far / 2
            for j in (-1, 1):
                parts.append(rod((x, j * depth * 0.42, 0), (x, j * depth * 0.08, under), leg))
            parts.append(box(2 * leg, depth * 0.5, 0.03, x, z=under * 0.4))
        parts.append(box(far, 0.03, 0.06, z=under * 0.4))
    else:  # "desk"
        wide = width * drawer
        parts.append(box(wide, depth * 0.94, under - 0.05, (width - wide) / 2 - 0.02, z=0.05))
        parts += [
            box(wide * 0.4, 0.025, 0.02, (width - wide) / 2 - 0.02, -depth * 0.48, under * h)
            for h in (0.3, 0.55, 0.8)
        ]
        x = -width / 2 + leg + 0.02
        parts += [rod((x, j * deep / 2, 0), (x, j * deep / 2, under), leg) for j in (-1, 1)]
    return parts


TABLE = Grammar(
    table,
    ("four legs", "pillar", "trestle", "desk"),
    {
        "width": (0.8, 2.0),
        "depth": (0.6, 1.0),
        "height": (0.45, 0.8),
        "top": (0.02, 0.06),
        "leg": (0.018, 0.05),
        "inset": (0.0, 0.2),
        "splay": (0.0, 0.07),
        "drawer": (0.22, 0.36),
    },
)
