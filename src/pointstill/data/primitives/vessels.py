"""Vessels: bottle, bowl, mug, and the plant in its pot."""

from typing import Annotated, Literal

from .arithmetic import Array, cosine, rotate, sine
from .grammar import scaled, scatter
from .solids import cylinder, ellipsoid, lathe, tube


def bottle(
    variant: Literal["round", "sloped", "flask", "dispenser"],
    height: Annotated[float, 0.16, 0.34],
    radius: Annotated[float, 0.11, 0.2],
    neck: Annotated[float, 0.26, 0.46],
    collar: Annotated[float, 0.12, 0.27],
    shoulder: Annotated[float, 0.06, 0.16],
    cap: Annotated[float, 1.02, 1.3],
    waist: Annotated[float, 0.82, 1.0],
) -> list[Array]:
    """A closed body with a narrow neck.

    `height` in metres, `radius`, `collar` (length of the neck) and `shoulder` in heights, `neck`
    and `waist` in radii, `cap` in radii of the neck.
    """
    thin, rise = neck * radius, 1 - collar
    below = rise - shoulder  # where the shoulder begins
    squash = 1.0
    if variant == "round":
        arc = [i / 24 for i in range(1, 7)]
        upper = [(thin + (radius - thin) * cosine(t), below + shoulder * sine(t)) for t in arc]
    elif variant == "sloped":
        below *= 0.85
        run = rise - below
        bend = 0.45 * radius + 0.3 * thin
        upper = [(0.8 * radius, below + 0.3 * run), (bend, below + 0.65 * run), (thin, rise)]
    else:
        upper = [(thin, rise)]
    if variant == "flask":
        squash, waist = 0.4 * waist + 0.3, 1.0
    lower = [(0.9 * radius, 0.0), (radius, 0.04), (waist * radius, 0.5 * below), (radius, below)]
    parts = [lathe(lower + upper, squash=squash), cylinder(thin, collar, z=rise)]
    if variant == "dispenser":
        top = 1.06 + 0.5 * collar
        spout = [(0, thin, top), (0, -0.9 * radius, top), (0, -cap * radius, top - 0.06)]
        parts += [cylinder(0.4 * thin, top - 1, z=1), tube(spout, 0.35 * thin)]
    else:
        parts.append(cylinder(cap * thin, 0.06, z=0.95))
    return scaled(height, parts)


def bowl(
    variant: Literal["round", "conical", "flared"],
    radius: Annotated[float, 0.07, 0.16],
    depth: Annotated[float, 0.45, 0.85],
    foot: Annotated[float, 0.25, 0.5],
    stand: Annotated[float, 0.04, 0.18],
    wall: Annotated[float, 0.03, 0.08],
    flare: Annotated[float, 0.0, 0.15],
    oval: Annotated[float, 0.85, 1.0],
) -> list[Array]:
    """An open vessel, wider than deep.

    `radius` in metres, all others in radii: `foot` is the radius of the foot, `stand` its height,
    `flare` how far the brim is turned outwards, `oval` the radius from front to back.
    """
    arc = [i / 32 for i in range(9)]
    if variant == "conical":
        outer = [(foot + (1 - foot) * i / 4, depth * i / 4) for i in range(5)]
    else:
        reach = 1.0 if variant == "round" else 0.75
        outer = [(foot + (reach - foot) * sine(t), depth * (1 - cosine(t))) for t in arc]
    if variant != "round":
        outer.append((1 + flare, 1.08 * depth))
    inner = [(r - wall, z + wall * max(0.0, 1 - z / depth)) for r, z in reversed(outer)]
    return scaled(
        radius,
        [
            lathe(outer + inner, z=stand, sides=28, squash=oval),
            lathe([(foot, 0), (0.95 * foot, stand + 0.3 * wall)], squash=oval),
        ],
    )


def mug(
    variant: Literal["straight", "round", "footed"],
    radius: Annotated[float, 0.035, 0.055],
    height: Annotated[float, 1.8, 2.9],
    wall: Annotated[float, 0.06, 0.12],
    taper: Annotated[float, 0.75, 1.0],
    grip: Annotated[float, 0.5, 0.75],
    reach: Annotated[float, 0.45, 0.85],
    place: Annotated[float, 0.46, 0.56],
    thick: Annotated[float, 0.1, 0.17],
) -> list[Array]:
    """An open cup with a handle in front.

    `radius` in metres, `height`, `wall`, `taper` (radius of the foot), `reach` and `thick` (of the
    handle) in radii, `grip` (height of the handle) and `place` (its middle) in heights.
    """
    profile = {
        "straight": [(taper, 0.0), (1.0, 1.0)],
        "round": [(0.75 * taper, 0.0), (0.98, 0.35), (1.0, 0.6), (0.95, 1.0)],
        "footed": [(taper, 0.0), (0.8 * taper, 0.12), (0.85, 0.35), (1.0, 1.0)],
    }[variant]
    outer = [(r, z * height) for r, z in profile]
    inner = [(r - wall, max(z, 2 * wall)) for r, z in reversed(outer)]
    middle, half = place * height, grip * height / 2
    if variant == "footed":  # a handle with corners
        corners = [(0.8, -1), (0.9 + reach, -1), (0.9 + reach, 1), (0.8, 1)]
        line = [(0, -y, middle + i * half) for y, i in corners]
    else:
        arc = [i / 20 - 0.25 for i in range(11)]
        line = [(0, -0.88 - reach * cosine(t), middle + half * sine(t)) for t in arc]
    return scaled(radius, [lathe(outer + inner), tube(line, thick)])


def plant(
    variant: Literal["leaves", "bush", "cactus"],
    height: Annotated[float, 0.3, 1.4],
    pot: Annotated[float, 0.2, 0.36],
    taper: Annotated[float, 0.65, 0.95],
    rim: Annotated[float, 0.12, 0.3],
    spread: Annotated[float, 0.22, 0.42],
    leaf: Annotated[float, 0.025, 0.06],
    droop: Annotated[float, 0.1, 0.7],
    phase: Annotated[float, 0.0, 1.0],
) -> list[Array]:
    """Something green in a pot.

    `height` in metres, `pot` (its height), `spread` of the crown and `leaf` (half its width) in
    heights, `taper` (radius of the foot) in radii of the pot, `rim` in heights of the pot;
    `droop` bends leaves and branches, `phase` places them.
    """
    wide, edge, soil = 0.62 * pot, (1 - rim) * pot, 0.85 * pot
    grow = 1 - pot
    flank = [(taper * wide, 0.0), (wide, edge), (1.1 * wide, edge), (1.1 * wide, pot)]
    parts = [lathe([*flank, (0.95 * wide, pot), (0.9 * wide, soil)])]
    if variant == "leaves":  # blades that arch outwards
        for i in range(11):
            u = scatter(phase, i)
            out, up = spread * (0.35 + 0.65 * u), grow * (1.1 - 0.6 * u)
            line = [
                (0, -out * t * (0.4 + 0.6 * t), soil + up * t * (1 + droop - 1.5 * droop * t))
                for t in (0, 0.25, 0.5, 0.75, 1)
            ]
            widths = [leaf * w for w in (0.35, 0.9, 1, 0.7, 0.1)]
            parts.append(rotate(tube(line, widths, flat=0.12, sides=6), scatter(phase * 5, 7 * i)))
    elif variant == "bush":  # clumps around a trunk
        parts.append(cylinder(0.5 * leaf, 0.5 * grow, z=soil))
        for i in range(7):
            size = spread * (0.4 + 0.25 * scatter(phase * 3, i))
            out = 0.55 * spread * scatter(phase, i)
            z = pot + grow * (0.2 + 0.65 * scatter(phase * 7, i)) - (0.2 + droop) * size
            parts.append(rotate(ellipsoid(size, 1.7 * size, y=-out, z=max(z, soil)), i / 7))
    else:  # "cactus": a column with arms
        thick = 1.5 * leaf + 0.05
        stem = [(0.9 * thick, 0.0), (thick, 0.4), (thick, 0.85), (0.6 * thick, 0.96)]
        parts.append(lathe([(r, z * grow) for r, z in stem], z=soil, sides=10))
        for i in range(2 + int(phase * 3)):
            start = pot + grow * (0.15 + 0.4 * scatter(phase, i))
            rise = grow * (0.15 + 0.25 * scatter(phase * 3, i))
            out, bend = thick + 0.35 * spread, start + (0.5 - droop) * rise * 0.5
            line = [(0, 0, start), (0, -0.8 * out, bend), (0, -out, bend), (0, -out, start + rise)]
            arm = tube(line, [thick * w for w in (0.6, 0.65, 0.65, 0.4)])
            parts.append(rotate(arm, scatter(phase * 5, 3 * i)))
    return scaled(height, parts)
