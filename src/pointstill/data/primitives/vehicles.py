"""Vehicles: aeroplane, bicycle, car. They look towards -y."""

from typing import Annotated, Literal

from .arithmetic import Array, rotate
from .grammar import scaled
from .solids import (
    Point,
    box,
    ellipsoid,
    frustum,
    hoop,
    loft,
    move,
    rod,
    side,
    tube,
    wheel,
)


def _aerofoil(x: float, y: float, z: float, chord: float) -> list[Point]:
    """A section across x, of a wing with its middle at (x, y, z)."""
    half, thick = chord / 2, 0.06 * chord
    return [(x, y + half, z), (x, y, z + thick), (x, y - half, z), (x, y, z - thick)]


def _wings(
    y: float, z: float, span: float, root: float, tip: float, sweep: float, rise: float = 0
) -> Array:
    """Both wings in one: chords `root` and `tip`, the tips `sweep` behind and `rise` above."""
    left, right = (_aerofoil(i * span / 2, y + sweep, z + rise, tip) for i in (-1, 1))
    return loft([left, _aerofoil(0, y, z, root), right])


def _fin(x: float, y: float, z: float, height: float, root: float, tip: float) -> Array:
    """An upright fin on (x, y, z), swept back."""
    lying = loft([_aerofoil(0, 0, 0, root), _aerofoil(height, 0.5 * height, 0, tip)])
    return move(rotate(lying, -0.25, "y"), x, y, z)


def aeroplane(
    variant: Literal["airliner", "propeller", "fighter"],
    length: Annotated[float, 9.0, 40.0],
    girth: Annotated[float, 0.045, 0.075],
    span: Annotated[float, 0.75, 1.15],
    chord: Annotated[float, 0.14, 0.22],
    taper: Annotated[float, 0.25, 0.7],
    sweep: Annotated[float, 0.1, 0.5],
    tail: Annotated[float, 0.28, 0.42],
    fin: Annotated[float, 0.12, 0.2],
    rise: Annotated[float, 0.0, 0.06],
) -> list[Array]:
    """A fuselage with wings and a tail.

    `length` in metres, `girth`, `span`, `chord` and `fin` (its height) in lengths, `taper` in
    chords, `sweep`, `tail` (its span) and `rise` in spans.
    """
    body, z, stern = girth, 2.2 * girth, 0.41
    high, back = z + 0.5 * body, sweep * span / 2
    stations = [(0.5, 0.15), (0.3, 0.6), (0.1, 1), (-0.3, 1), (-0.44, 0.7), (-0.5, 0.15)]
    spine = [(0, y, z + body * (0.5 * (1 - r) if y > 0 else 0)) for y, r in stations]
    parts = [
        tube(spine, [body * r for _, r in stations], sides=14),
        _wings(stern, high, tail * span, 0.55 * chord, 0.35 * chord, back * tail),
    ]
    if variant == "airliner":
        parts.append(_wings(-0.02, z - 0.4 * body, span, chord, taper * chord, back, rise * span))
        parts.append(_fin(0, stern - 0.03, high, fin, 0.7 * chord, 0.4 * chord))
        for i in (-1, 1):
            x, y, low = i * span * 0.17, back * 0.34 - 0.12, z - 0.9 * body
            nacelle = [(x, y + 0.06, low), (x, y, low), (x, y - 0.06, low)]
            parts.append(tube(nacelle, [0.3 * body, 0.5 * body, 0.42 * body], sides=10))
    elif variant == "propeller":
        wide = (0.5 + 0.5 * taper) * chord
        parts.append(
            _wings(-0.08, z + 0.95 * body, span, 0.9 * chord, wide, 0.15 * back, rise * span / 2)
        )
        parts.append(_fin(0, stern, high, 0.8 * fin, 0.7 * chord, 0.4 * chord))
        parts.append(ellipsoid(0.25 * body, 0.5 * body, y=-0.5, z=z - 0.25 * body))
        parts.append(box(0.22 * body, 0.05 * body, 3.6 * body, y=-0.5, z=z - 1.8 * body))
        for i in (-1, 1):
            hub = (i * 1.6 * body, -0.12, 0.5 * body)
            parts.append(rod((i * 0.6 * body, -0.12, z - 0.6 * body), hub, 0.1 * body))
            parts.append(wheel(0.5 * body, 0.3 * body, i * 1.6 * body, -0.12))
    else:  # "fighter": delta wings, twin fins, a canopy
        parts.append(
            _wings(0.06, z, 0.75 * span, 2.2 * chord, taper * chord, 0.2 * span + 0.3 * back)
        )
        for i in (-1, 1):
            low = z + 0.2 * body
            parts.append(_fin(i * 1.1 * body, 0.33, low, 0.8 * fin, 0.8 * chord, 0.4 * chord))
        parts.append(ellipsoid(0.55 * body, 0.9 * body, y=-0.22, z=z + 0.5 * body, squash=2.6))
    return scaled(length, parts)


def bicycle(
    variant: Literal["diamond", "step-through"],
    radius: Annotated[float, 0.27, 0.36],
    base: Annotated[float, 0.96, 1.12],
    tyre: Annotated[float, 0.014, 0.028],
    pipe: Annotated[float, 0.014, 0.024],
    saddle: Annotated[float, 0.82, 1.02],
    bar: Annotated[float, 0.92, 1.1],
    rake: Annotated[float, 0.12, 0.26],
    grip: Annotated[float, 0.42, 0.66],
) -> list[Array]:
    """Two spoked wheels, a frame, a saddle and a handlebar.

    All in metres: `radius` of the wheels, `base` between their hubs, `tyre` and `pipe` (radii),
    heights of `saddle` and handle`bar`, `rake` of the fork, width of the `grip`.
    """
    fore, aft = -base / 2, base / 2
    front_hub, rear_hub = (0.0, fore, radius), (0.0, aft, radius)
    crank = (0.0, aft - 0.43, radius - 0.04)
    seat = (0.0, crank[1] + 0.14, saddle - 0.12)
    head, crown = (0.0, fore + rake, bar - 0.12), (0.0, fore + 0.7 * rake, bar - 0.3)
    half, sit, steer = grip / 2, seat[1], fore + rake
    parts = []
    for y in (fore, aft):
        rim = radius - tyre
        parts.append(hoop(rim, tyre, 0, y, radius))
        spoke = rod((0, 0, -rim), (0, 0, rim), 0.006)
        parts += [move(rotate(spoke, i / 8, "x"), 0, y, radius) for i in range(4)]
        parts.append(rod((-0.05, y, radius), (0.05, y, radius), 0.025))
    top = seat if variant == "diamond" else (0.0, sit - 0.06, (crank[2] + seat[2]) / 2)
    parts += [
        rod(top, head if variant == "diamond" else crown, pipe),
        rod(crank, crown, pipe),
        rod(crank, seat, pipe),
        rod(seat, rear_hub, 0.6 * pipe),
        rod(crank, rear_hub, 0.6 * pipe),
        rod(head, front_hub, 0.8 * pipe),
        rod(seat, (0, sit + 0.03, saddle), 0.8 * pipe),
        rod(head, (0, steer + 0.02, bar), 0.7 * pipe),
        frustum((0.04, sit - 0.1, sit + 0.12), (0.14, sit - 0.12, sit + 0.15), saddle - 0.02, 0.06),
    ]
    for i in (-1, 1):  # pedals
        parts.append(
            rod((i * 0.05, *crank[1:]), (i * 0.1, crank[1] - i * 0.12, crank[2] - i * 0.1), 0.014)
        )
    if variant == "diamond":
        parts.append(rod((-half, steer, bar), (half, steer, bar), 0.016))
    else:  # "step-through": a swept handlebar, a basket, a rack
        swept = [(0.8 * half, steer, bar), (half, steer + 0.2, bar + 0.05)]
        line = [(-x, y, z) for x, y, z in reversed(swept)] + swept
        parts.append(tube(line, 0.016, across="z"))
        brim, floor = (0.34, fore - 0.22, fore + 0.08), (0.26, fore - 0.18, fore + 0.06)
        parts.append(frustum(floor, brim, bar - 0.3, 0.24))
        parts.append(box(0.12, 0.34, 0.015, y=aft, z=2 * radius + 0.03))
    return parts


def car(
    variant: Literal["saloon", "hatchback", "pickup", "van"],
    length: Annotated[float, 3.6, 5.2],
    width: Annotated[float, 1.6, 1.95],
    height: Annotated[float, 1.35, 1.8],
    waist: Annotated[float, 0.48, 0.6],
    bonnet: Annotated[float, 0.16, 0.3],
    rake: Annotated[float, 0.3, 0.75],
    tuck: Annotated[float, 0.7, 0.9],
    tyre: Annotated[float, 0.28, 0.38],
    clear: Annotated[float, 0.16, 0.28],
) -> list[Array]:
    """A body with a cabin on four wheels.

    In metres, but for `waist` (height of the body without the cabin) in heights, `bonnet` in
    lengths and `tuck` (width of the roof) in widths.
    """
    nose, rear = -length / 2, length / 2
    belt, hood = clear + waist * (height - clear), nose + bonnet * length
    sill = [(nose, clear), (rear, clear)]
    parts = []
    if variant == "van":  # one box with a short, steep nose
        roof, bulk = 1.2 * height, side([*sill, (rear, belt), (nose, belt)], width)
        cabin = frustum(
            (width, nose, rear), (tuck * width, hood - 0.3 * rake, rear), belt, roof - belt
        )
        parts += [bulk, cabin]
    else:
        lip = 0.7 * belt + 0.3 * clear
        parts.append(side([*sill, (rear, belt), (hood, belt), (nose + 0.06, lip)], width))
        back, slope = {
            "saloon": (rear - 0.17 * length, 1.1 * rake),
            "hatchback": (rear - 0.02 * length, 0.5 * rake),
            "pickup": (nose + 0.62 * length, 0.2 * rake),
        }[variant]
        roof_line = (tuck * width, hood + rake, back - slope)
        parts.append(frustum((width, hood, back), roof_line, belt, height - belt))
        if variant == "pickup":
            middle, bed = (back + rear) / 2, rear - back
            parts += [box(0.06, bed, 0.25, i * (width / 2 - 0.03), middle, belt) for i in (-1, 1)]
            parts.append(box(width, 0.06, 0.25, y=rear - 0.03, z=belt))
    for i in (-1, 1):
        parts += [wheel(tyre, 0.22, i * (width / 2 - 0.09), j * 0.31 * length) for j in (-1, 1)]
        parts.append(box(0.18, 0.1, 0.13, i * (width / 2 + 0.1), hood + 0.2, belt))  # a mirror
    parts += [box(0.96 * width, 0.12, 0.18, y=y, z=clear + 0.08) for y in (nose, rear)]
    return parts
