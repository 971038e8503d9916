"""Things with a front: guitar, laptop, monitor."""

from .arithmetic import Array, rotate
from .grammar import Grammar
from .solids import box, cylinder, front, frustum, lathe, move, rod, side


def guitar(
    variant: str, body: float, lower: float, upper: float, waist: float, depth: float, neck: float,
    head: float, lean: float,
) -> list[Array]:  # fmt: skip
    """A waisted body and a long neck, upright; all but `body` and `lean` are fractions of body."""
    # Half widths up the body, bottom to top, and where; mirrored into an outline.
    stations = [(0.0, 0.35), (0.06, 0.72), (0.2, 0.98), (0.3, 1.0), (0.42, 0.88)]
    half = [(h, w * lower) for h, w in stations] + [(0.57, waist * lower)]
    half += [(0.7, upper * 0.9), (0.82, upper), (0.93, upper * 0.8), (1.0, upper * 0.35)]
    if variant == "electric":  # two horns beside the neck
        half = half[:6] + [
            (0.7, upper * 0.85),
            (0.86, upper * 1.05),
            (1.06, upper * 1.1),
            (1.08, upper * 0.8),
            (0.9, upper * 0.45),
            (0.86, upper * 0.2),
        ]
    right = [(w * body, h * body) for h, w in half]
    left = [(-x, z) for x, z in reversed(right)]
    thick = depth * body * (0.4 if variant == "electric" else 1)
    parts = [front(right + left, thick)]
    long = (1 + neck) * body
    face = -thick / 2
    wide = 0.07 * body
    parts.append(box(wide * 2, 0.05 * body, long - 0.62 * body, y=face, z=0.62 * body))
    parts.append(
        frustum(
            (wide * 2.4, face, face + 0.04 * body),
            (wide * 3.2, face + 0.03 * body, face + 0.07 * body),
            long,
            long + head * body,
        )
    )
    parts.append(box(0.3 * body, 0.03 * body, 0.05 * body, y=face, z=0.22 * body))
    for i in (-1, 1):
        for j in range(3):
            peg = long + head * body * (0.2 + 0.3 * j)
            parts.append(
                box(0.06 * body, 0.03 * body, 0.03 * body, i * wide * 1.8, face + 0.03 * body, peg)
            )
    return [rotate(p, -lean, "x") for p in parts]


GUITAR = Grammar(
    guitar,
    ("acoustic", "electric"),
    {
        "body": (0.38, 0.52),
        "lower": (0.34, 0.44),
        "upper": (0.24, 0.34),
        "waist": (0.55, 0.75),
        "depth": (0.18, 0.3),
        "neck": (0.75, 1.1),
        "head": (0.28, 0.42),
        "lean": (0.0, 0.06),
    },
)


def laptop(
    variant: str, width: float, aspect: float, base: float, lid: float, opening: float,
    wedge: float, keys: float,
) -> list[Array]:  # fmt: skip
    """Two thin plates that share an edge; `opening` is the angle between them in turns."""
    depth = aspect * width
    body = side([(0, 0), (depth, 0), (depth, base), (0, base * wedge)], width)
    board = box(
        width * 0.9, depth * keys, base * 0.12, 0, depth * (0.92 - keys / 2), base * (wedge + 1) / 2
    )
    screen = box(width, lid, depth)
    parts = [body, board]
    parts.append(move(rotate(screen, 0.25 - opening, "x"), y=depth, z=base * 0.7))
    if variant == "docked":  # on a riser
        parts = [move(rotate(p, 0.03, "x"), z=0.07) for p in parts]
        parts += [
            box(0.03, depth * 0.8, 0.08 + 0.06 * j, i * width * 0.3, depth * (0.5 + 0.2 * j))
            for i in (-1, 1)
            for j in (0, 1)
        ]
    return parts


LAPTOP = Grammar(
    laptop,
    ("open", "docked"),
    {
        "width": (0.28, 0.42),
        "aspect": (0.62, 0.76),
        "base": (0.014, 0.03),
        "lid": (0.006, 0.014),
        "opening": (0.25, 0.37),
        "wedge": (0.4, 1.0),
        "keys": (0.35, 0.5),
    },
)


def monitor(
    variant: str, width: float, aspect: float, thick: float, stand: float, foot: float,
    depth: float, tilt: float, stem: float,
) -> list[Array]:  # fmt: skip
    """A flat screen on a stand; all but `width` and `tilt` are fractions of the width."""
    high, low = aspect * width, stand * width
    panel = [
        box(width, thick * width, high),
        box(width * 0.5, thick * width * 1.6, high * 0.45, y=thick * width * 0.9, z=high * 0.2),
    ]
    parts = [move(rotate(p, -tilt, "x"), z=low) for p in panel]
    wide, deep = foot * width, depth * width
    y = thick * width + stem * width / 2
    if variant == "foot":
        parts.append(box(wide, deep, 0.012 * width))
        parts.append(box(stem * width, stem * width * 0.5, low + high * 0.4, y=y))
    elif variant == "round foot":
        parts.append(
            lathe([(wide / 2, 0), (wide / 2, 0.015 * width)], sides=24, squash=deep / wide)
        )
        parts.append(cylinder(stem * width * 0.5, low + high * 0.4, y=y + stem * width / 4))
    else:  # "two feet", as televisions stand
        for i in (-1, 1):
            x = i * width * (0.28 + foot / 4)
            for j in (-1, 1):
                parts.append(
                    rod((x, 0.3 * thick * width, low), (x, j * deep * 0.6, 0.01), 0.012 * width)
                )
    return parts


MONITOR = Grammar(
    monitor,
    ("foot", "round foot", "two feet"),
    {
        "width": (0.45, 1.2),
        "aspect": (0.5, 0.66),
        "thick": (0.025, 0.07),
        "stand": (0.08, 0.28),
        "foot": (0.3, 0.55),
        "depth": (0.26, 0.42),
        "tilt": (0.0, 0.04),
        "stem": (0.06, 0.14),
    },
)
