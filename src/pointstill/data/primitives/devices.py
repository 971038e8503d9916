"""Household things: guitar, lamp, laptop, monitor. They face -y."""

from typing import Annotated, Literal

from .arithmetic import Array, cosine, rotate, sine
from .grammar import scaled
from .solids import box, cylinder, front, frustum, lathe, move, rod, side, tube


def guitar(
    variant: Literal["acoustic", "electric"],
    body: Annotated[float, 0.38, 0.52],
    lower: Annotated[float, 0.34, 0.44],
    upper: Annotated[float, 0.24, 0.34],
    waist: Annotated[float, 0.55, 0.75],
    depth: Annotated[float, 0.18, 0.3],
    neck: Annotated[float, 0.75, 1.1],
    head: Annotated[float, 0.28, 0.42],
    lean: Annotated[float, 0.0, 0.06],
) -> list[Array]:
    """A waisted body and a long neck, upright.

    `body` (its height) in metres; half widths of the `lower` and `upper` bout, `depth`, and the
    lengths of `neck` and `head` in bodies; `waist` in lower bouts; `lean` backwards in turns.
    """
    stations = [(0.35, 0.0), (0.72, 0.06), (0.98, 0.2), (1.0, 0.3), (0.88, 0.42), (waist, 0.57)]
    if variant == "acoustic":
        bout = [(0.9, 0.7), (1.0, 0.82), (0.8, 0.93), (0.35, 1.0)]
    else:  # "electric": thin, with a horn on either side of the neck
        bout = [(0.85, 0.7), (1.05, 0.86), (1.1, 1.06), (0.8, 1.08), (0.45, 0.9), (0.2, 0.86)]
        depth *= 0.4
    right = [(r * lower, z) for r, z in stations] + [(r * upper, z) for r, z in bout]
    left = [(-x, z) for x, z in reversed(right)]
    face, nut = -depth / 2, 1 + neck
    parts = [
        front(right + left, depth),
        box(0.14, 0.05, nut - 0.62, y=face, z=0.62),
        frustum((0.17, face, face + 0.04), (0.22, face + 0.03, face + 0.07), nut, head),
        box(0.3, 0.03, 0.05, y=face, z=0.22),  # the bridge
    ]
    for i in (-1, 1):
        pegs = [nut + head * place for place in (0.2, 0.5, 0.8)]
        parts += [box(0.06, 0.03, 0.03, i * 0.126, face + 0.03, z) for z in pegs]
    return scaled(body, [rotate(part, -lean, "x") for part in parts])


def lamp(
    variant: Literal["standard", "vase", "arm", "bow"],
    height: Annotated[float, 0.35, 1.8],
    base: Annotated[float, 0.1, 0.19],
    stem: Annotated[float, 0.01, 0.025],
    shade: Annotated[float, 0.13, 0.26],
    taper: Annotated[float, 0.35, 0.95],
    drop: Annotated[float, 0.13, 0.27],
    reach: Annotated[float, 0.35, 0.65],
) -> list[Array]:
    """A shade on a stem on a foot.

    `height` in metres, `base` and `stem` (radii), `shade` (its radius below), `drop` (its height)
    and `reach` (of an arm) in heights, `taper` (radius of the shade above) in radii below.
    """
    top = taper * shade
    hood = [(shade, 0.0), (top, drop), (0.95 * top, drop), (0.96 * shade, 0.0)]
    parts = [lathe([(base, 0), (base, 0.02), (0.3 * base, 0.05)])]
    if variant == "standard":
        parts += [cylinder(stem, 1 - drop / 2), lathe(hood, z=1 - drop)]
    elif variant == "vase":
        belly = [(0.57 * base, 0), (0.95 * base, 0.16), (0.85 * base, 0.3), (stem, 0.45)]
        parts += [lathe([*belly, (stem, 1 - drop / 2)]), lathe(hood, z=1 - drop)]
    elif variant == "arm":  # with an elbow and a tilted shade
        elbow, tip = (0, 0.5 * reach, 0.5), (0, -0.7 * reach, 0.92)
        parts += [rod((0, 0, 0.02), elbow, stem), rod(elbow, tip, stem)]
        parts.append(move(rotate(lathe(hood, z=-drop), -0.06, "x"), *tip))
    else:  # "bow": a stem that arches over
        span, arc = 0.75 * reach, [i / 24 for i in range(11)]
        path = [(0, -span * (1 - cosine(t)), 0.6 + 0.4 * sine(t)) for t in arc]
        parts += [tube([(0, 0, 0), *path], stem), move(lathe(hood, z=-0.8 * drop), *path[-1])]
    return scaled(height, parts)


def laptop(
    variant: Literal["flat", "raised"],
    width: Annotated[float, 0.28, 0.42],
    depth: Annotated[float, 0.62, 0.76],
    base: Annotated[float, 0.045, 0.08],
    lid: Annotated[float, 0.018, 0.04],
    opening: Annotated[float, 0.25, 0.37],
    wedge: Annotated[float, 0.4, 1.0],
    keys: Annotated[float, 0.35, 0.5],
) -> list[Array]:
    """Two plates that share an edge, the hinge.

    `width` in metres, `depth`, `base` and `lid` (thickness) in widths, `opening` between the
    plates in turns, `wedge` (thickness in front) in thicknesses, `keys` in depths.
    """
    slope = base * (wedge + 1) / 2
    parts = [
        side([(0, 0), (depth, 0), (depth, base), (0, wedge * base)], 1),
        box(0.9, keys * depth, 0.12 * base, y=depth * (0.92 - keys / 2), z=slope),
        move(rotate(box(1, lid, depth), 0.25 - opening, "x"), y=depth, z=0.7 * base),
    ]
    if variant == "raised":  # on a stand
        parts = [move(rotate(part, 0.03, "x"), z=0.2) for part in parts]
        for i in (-1, 1):
            foot = [(0.1 * depth, 0), (0.95 * depth, 0), (0.95 * depth, 0.36), (0.1 * depth, 0.22)]
            parts.append(side(foot, 0.06, i * 0.3))
    return scaled(width, parts)


def monitor(
    variant: Literal["plate", "disc", "feet"],
    width: Annotated[float, 0.45, 1.2],
    height: Annotated[float, 0.5, 0.66],
    thick: Annotated[float, 0.025, 0.07],
    stand: Annotated[float, 0.08, 0.28],
    foot: Annotated[float, 0.3, 0.55],
    depth: Annotated[float, 0.26, 0.42],
    tilt: Annotated[float, 0.0, 0.04],
    stem: Annotated[float, 0.06, 0.14],
) -> list[Array]:
    """A flat screen on a stand.

    `width` in metres, `height` and `thick` (of the screen), `stand` (height), `foot` (width),
    `depth` (of the foot) and `stem` (width) in widths, `tilt` backwards in turns.
    """
    panel = [
        box(1, thick, height),
        box(0.5, 1.6 * thick, 0.45 * height, y=0.9 * thick, z=0.2 * height),
    ]
    parts = [move(rotate(part, -tilt, "x"), z=stand) for part in panel]
    y, high = 1.5 * thick + stem / 2, stand + 0.4 * height
    if variant == "plate":
        parts += [box(foot, depth, 0.02), box(stem, 0.5 * stem, high, y=y)]
    elif variant == "disc":
        disc = lathe([(foot / 2, 0), (foot / 2, 0.02)], sides=24, squash=depth / foot)
        parts += [disc, cylinder(0.5 * stem, high, y=y)]
    else:  # "feet", as televisions have
        for i in (-1, 1):
            x = i * (0.28 + foot / 4)
            for j in (-1, 1):
                toe = (x, j * 0.6 * depth, 0.02)
                parts.append(rod((x, 0.3 * thick, stand), toe, 0.15 * stem))
    return scaled(width, parts)
