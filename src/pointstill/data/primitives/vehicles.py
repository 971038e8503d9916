"""Vehicles: aeroplane, bicycle, car; they look towards -y."""

from .arithmetic import Array, rotate
from .grammar import Grammar
from .solids import (
    box,
    ellipsoid,
    frustum,
    hoop,
    move,
    rod,
    section_loft,
    side,
    tube,
    wheel,
)


def _wing(
    span: float, root: float, tip: float, sweep: float, y: float, z: float, rise: float
) -> Array:
    """Both wings in one: chords `root` and `tip`, the tips `sweep` behind and `rise` above."""
    sections = []
    for x, chord, back, up in (
        (-span / 2, tip, sweep, rise),
        (0.0, root, 0.0, 0.0),
        (span / 2, tip, sweep, rise),
    ):
        middle, thick = y + back, 0.06 * chord
        sections.append(
            [
                (x, middle + chord / 2, z + up),
                (x, middle, z + up + thick),
                (x, middle - chord / 2, z + up),
                (x, middle, z + up - thick),
            ]
        )
    return section_loft(sections)


def _fin(
    height: float, root: float, tip: float, sweep: float, x: float, y: float, z: float
) -> Array:
    """An upright fin from z = `z`."""
    sections = []
    for up, chord, back in ((0.0, root, 0.0), (height, tip, sweep)):
        middle, thick = y + back, 0.05 * chord
        sections.append(
            [
                (x + thick, middle, z + up),
                (x, middle + chord / 2, z + up),
                (x - thick, middle, z + up),
                (x, middle - chord / 2, z + up),
            ]
        )
    return section_loft(sections)


def aeroplane(
    variant: str, length: float, girth: float, span: float, chord: float, taper: float,
    sweep: float, tail: float, fin: float, rise: float,
) -> list[Array]:  # fmt: skip
    """A fuselage with wings and a tail; all but `length` are fractions of it."""
    body = girth * length
    z = body * 2.2
    nose, rear = -length / 2, length / 2
    places = [
        (rear, 0.15),
        (rear * 0.6, 0.6),
        (rear * 0.2, 1.0),
        (nose * 0.6, 1.0),
        (nose * 0.88, 0.7),
        (nose, 0.15),
    ]
    path = [(0.0, y, z + body * (0.5 * (1 - w) if y > 0 else 0)) for y, w in places]
    parts = [tube(path, [body * w for _, w in places], across="x", sides=14)]
    wide, root = span * length, chord * length
    back = sweep * wide / 2
    high = z + body * 0.5
    stern = rear - 0.09 * length
    parts.append(_wing(tail * wide, root * 0.55, root * 0.35, back * tail, stern, high, 0))
    if variant == "airliner":
        parts.append(
            _wing(wide, root, root * taper, back, -0.02 * length, z - 0.4 * body, rise * wide)
        )
        parts.append(
            _fin(
                fin * length,
                root * 0.7,
                root * 0.4,
                fin * length * 0.6,
                0,
                stern - 0.03 * length,
                high,
            )
        )
        for i in (-1, 1):
            x, y = i * wide * 0.17, back * 0.34 - 0.12 * length
            low = z - 0.9 * body
            parts.append(
                tube(
                    [(x, y + 0.06 * length, low), (x, y, low), (x, y - 0.06 * length, low)],
                    [0.3 * body, 0.5 * body, 0.42 * body],
                    sides=10,
                )
            )
    elif variant == "propeller":
        parts.append(
            _wing(
                wide,
                root * 0.9,
                root * 0.75,
                back * 0.15,
                -0.08 * length,
                z + body * 0.95,
                rise * wide * 0.5,
            )
        )
        parts.append(
            _fin(fin * length * 0.8, root * 0.7, root * 0.4, fin * length * 0.3, 0, stern, high)
        )
        parts.append(ellipsoid(0.25 * body, 0.5 * body, 0, nose, z - 0.25 * body))
        blade = move(box(0.22 * body, 0.05 * body, 3.6 * body, z=-1.8 * body), 0, nose, z)
        parts.append(blade)
        parts += [
            rod(
                (i * 0.6 * body, -0.12 * length, z - 0.6 * body),
                (i * 1.6 * body, -0.12 * length, 0.4 * body),
                0.1 * body,
            )
            for i in (-1, 1)
        ]
        parts += [wheel(0.5 * body, 0.3 * body, i * 1.6 * body, -0.12 * length) for i in (-1, 1)]
    else:  # "fighter": a delta wing and twin fins
        parts.append(
            _wing(wide * 0.75, root * 2.2, root * 0.6, wide * 0.2 + back * 0.3, 0.06 * length, z, 0)
        )
        parts += [
            _fin(
                fin * length * 0.8,
                root * 0.8,
                root * 0.4,
                fin * length * 0.5,
                i * 1.1 * body,
                stern - 0.08 * length,
                z + 0.2 * body,
            )
            for i in (-1, 1)
        ]
        parts.append(ellipsoid(0.55 * body, 0.9 * body, 0, nose * 0.45, z + 0.5 * body, 2.6))
    return parts


AEROPLANE = Grammar(
    aeroplane,
    ("airliner", "propeller", "fighter"),
    {
        "length": (9.0, 40.0),
        "girth": (0.045, 0.075),
        "span": (0.75, 1.15),
        "chord": (0.14, 0.22),
        "taper": (0.25, 0.7),
        "sweep": (0.1, 0.5),
        "tail": (0.28, 0.42),
        "fin": (0.12, 0.2),
        "rise": (0.0, 0.06),
    },
)


def bicycle(
    variant: str, radius: float, base: float, tyre: float, pipe: float, saddle: float, bar: float,
    rake: float, grip: float,
) -> list[Array]:  # fmt: skip
    """Two spoked wheels, a frame, a saddle and a handlebar."""
    fore, aft = -base / 2, base / 2
    hub_f, hub_r = (0.0, fore, radius), (0.0, aft, radius)
    crank = (0.0, aft - 0.43, radius - 0.04)
    seat = (0.0, crank[1] + 0.14, saddle - 0.12)
    head = (0.0, fore + rake, bar - 0.12)
    crown = (0.0, fore + rake * 0.7, bar - 0.3)
    parts = [hoop(radius - tyre, tyre, 0, y, radius) for y in (fore, aft)]
    for y in (fore, aft):
        spokes = [rod((0, 0, -radius + tyre), (0, 0, radius - tyre), 0.006) for _ in range(4)]
        parts += [move(rotate(s, i / 8, "x"), 0, y, radius) for i, s in enumerate(spokes)]
        parts.append(rod((-0.05, y, radius), (0.05, y, radius), 0.025))
    if variant == "diamond":
        bars = [(seat, head), (crank, crown), (crank, seat)]
    else:  # "step-through": both bars low
        low = (0.0, seat[1] - 0.06, (crank[2] + seat[2]) / 2)
        bars = [(low, crown), (crank, crown), (crank, seat)]
    parts += [rod(a, b, pipe) for a, b in bars]
    parts += [rod(a, hub_r, pipe * 0.6) for a in (seat, crank)]
    parts += [rod(head, hub_f, pipe * 0.8), rod(seat, (0, seat[1] + 0.03, saddle), pipe * 0.8)]
    parts.append(rod(head, (0, head[1] + 0.02, bar), pipe * 0.7))
    parts.append(
        frustum(
            (0.05, seat[1] - 0.14, seat[1] + 0.14),
            (0.13, seat[1], seat[1] + 0.16),
            saddle - 0.02,
            saddle + 0.04,
        )
    )
    half = grip / 2
    if variant == "diamond":
        parts.append(rod((-half, head[1], bar), (half, head[1], bar), 0.016))
    else:  # swept back, with a basket
        line = [
            (-half, head[1] + 0.2, bar + 0.05),
            (-half * 0.8, head[1], bar),
            (half * 0.8, head[1], bar),
            (half, head[1] + 0.2, bar + 0.05),
        ]
        parts.append(tube(line, 0.016, across="z"))
        parts.append(
            frustum(
                (0.26, fore - 0.18, fore + 0.06),
                (0.34, fore - 0.22, fore + 0.08),
                bar - 0.3,
                bar - 0.06,
            )
        )
        parts.append(box(0.12, 0.34, 0.015, 0, aft, 2 * radius + 0.03))
    parts += [
        rod(
            (i * 0.05, crank[1], crank[2]),
            (i * 0.1, crank[1] - i * 0.12, crank[2] - i * 0.1),
            0.014,
        )
        for i in (-1, 1)
    ]
    return parts


BICYCLE = Grammar(
    bicycle,
    ("diamond", "step-through"),
    {
        "radius": (0.27, 0.36),
        "base": (0.96, 1.12),
        "tyre": (0.014, 0.028),
        "pipe": (0.014, 0.024),
        "saddle": (0.82, 1.02),
        "bar": (0.92, 1.1),
        "rake": (0.12, 0.26),
        "grip": (0.42, 0.66),
    },
)


def car(
    variant: str, length: float, width: float, height: float, waist: float, bonnet: float,
    rake: float, tuck: float, tyre: float, clear: float,
) -> list[Array]:  # fmt: skip
    """A body with a glazed cabin on four wheels; `waist`, `bonnet` are fractions of the whole."""
    nose, rear = -length / 2, length / 2
    belt = clear + waist * (height - clear)
    hood = nose + bonnet * length
    parts = []
    if variant == "van":  # one box with a short, steep nose
        shell = [
            (nose, clear),
            (rear, clear),
            (rear, height * 1.2),
            (hood - 0.1, height * 1.2),
            (nose + 0.12, belt),
        ]
        parts.append(side(shell, width))
    else:
        drop = 0.3 * (belt - clear)
        shell = [
            (nose, clear),
            (rear, clear),
            (rear, belt),
            (hood, belt),
            (nose + 0.06, belt - drop),
        ]
        parts.append(side(shell, width))
        tail = {
            "saloon": rear - 0.17 * length,
            "hatchback": rear - 0.02 * length,
            "pickup": nose + 0.62 * length,
        }
        back = tail[variant]
        slope = {"saloon": rake * 1.1, "hatchback": rake * 0.5, "pickup": rake * 0.2}[variant]
        parts.append(
            frustum((width, hood, back), (width * tuck, hood + rake, back - slope), belt, height)
        )
        if variant == "pickup":  # a bed with side walls
            bed = rear - back
            parts += [
                box(0.06, bed, 0.25, i * (width / 2 - 0.03), back + bed / 2, belt) for i in (-1, 1)
            ]
            parts.append(box(width, 0.06, 0.25, 0, rear - 0.03, belt))
    for i in (-1, 1):
        parts += [wheel(tyre, 0.22, i * (width / 2 - 0.09), j * length * 0.31) for j in (-1, 1)]
        parts.append(box(0.18, 0.1, 0.13, i * (width / 2 + 0.1), hood + 0.2, belt))
    parts += [box(width * 0.96, 0.12, 0.18, 0, y, clear + 0.08) for y in (nose, rear)]
    return parts


CAR = Grammar(
    car,
    ("saloon", "hatchback", "pickup", "van"),
    {
        "length": (3.6, 5.2),
        "width": (1.6, 1.95),
        "height": (1.35, 1.8),
        "waist": (0.48, 0.6),
        "bonnet": (0.16, 0.3),
        "rake": (0.3, 0.75),
        "tuck": (0.7, 0.9),
        "tyre": (0.28, 0.38),
        "clear": (0.16, 0.28),
    },
)
