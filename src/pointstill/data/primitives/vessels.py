"""Vessels: bottle, bowl, mug, and the plant in its pot."""

from .arithmetic import Array, cosine, rotate, sine
from .grammar import Grammar, scatter
from .solids import cylinder, ellipsoid, lathe, tube


def bottle(
    variant: str, height: float, radius: float, neck: float, collar: float, shoulder: float,
    cap: float, waist: float,
) -> list[Array]:  # fmt: skip
    """A closed body with a narrow neck; all but `height` are fractions of it, or of the radius."""
    wide = radius * height
    thin = neck * wide
    rise = height * (1 - collar)  # where the neck begins
    below = rise - shoulder * height
    if variant == "round shoulder":
        arc = [i / 24 for i in range(1, 7)]
        curve = [(thin + (wide - thin) * cosine(t), below + (rise - below) * sine(t))
                 for t in arc]  # fmt: skip
    elif variant == "sloped":
        below = below * 0.85
        curve = [
            (wide * 0.8, below + (rise - below) * 0.3),
            (wide * 0.45 + thin * 0.3, below + (rise - below) * 0.65),
            (thin, rise),
        ]
    else:
        curve = [(thin, rise)]
    flank = [(wide * 0.9, 0.0), (wide, 0.04 * height), (wide * waist, below * 0.5), (wide, below)]
    if variant == "flask":  # flattened, with hard shoulders
        flank[2] = (wide, below * 0.5)
    squash = 0.3 + 0.4 * waist if variant == "flask" else 1
    parts = [lathe(flank + curve, squash=squash)]
    parts.append(cylinder(thin, height - rise, z=rise))
    lid = 0.06 * height
    if variant == "dispenser":
        parts.append(cylinder(thin * 0.4, 0.5 * collar * height + lid, z=height))
        top = height + 0.5 * collar * height + lid
        parts.append(
            tube([(0, thin, top), (0, -wide * 0.9, top), (0, -wide * cap, top - lid)], thin * 0.35)
        )
    else:
        parts.append(cylinder(thin * cap, lid, z=height - lid * 0.8))
    return parts


BOTTLE = Grammar(
    bottle,
    ("round shoulder", "sloped", "flask", "dispenser"),
    {
        "height": (0.16, 0.34),
        "radius": (0.11, 0.2),
        "neck": (0.26, 0.46),
        "collar": (0.12, 0.27),
        "shoulder": (0.06, 0.16),
        "cap": (1.02, 1.3),
        "waist": (0.82, 1.0),
    },
)


def bowl(
    variant: str, radius: float, depth: float, foot: float, stand: float, wall: float, flare: float,
) -> list[Array]:  # fmt: skip
    """An open vessel, wider than deep; all but `radius` are fractions of it."""
    deep, base, thick = depth * radius, foot * radius, wall * radius
    turns = [i / 32 for i in range(9)]
    if variant == "conical":
        outer = [(base + (radius - base) * i / 4, deep * i / 4) for i in range(5)]
    elif variant == "flared":  # a brim turned outwards
        outer = [(base + (radius * 0.75 - base) * sine(t), deep * (1 - cosine(t))) for t in turns]
        outer.append((radius * (1 + flare), deep * 1.08))
    else:  # "round"
        outer = [(base + (radius - base) * sine(t), deep * (1 - cosine(t))) for t in turns]
    inner = [(max(r - thick, 0.0), z + thick * (1 - z / deep)) for r, z in reversed(outer)]
    parts = [lathe(outer + inner, z=stand * radius, sides=28)]
    parts.append(lathe([(base, 0), (base * 0.95, stand * radius + 0.3 * thick)]))
    return parts


BOWL = Grammar(
    bowl,
    ("round", "conical", "flared"),
    {
        "radius": (0.07, 0.16),
        "depth": (0.45, 0.85),
        "foot": (0.25, 0.5),
        "stand": (0.04, 0.18),
        "wall": (0.03, 0.08),
        "flare": (0.0, 0.15),
    },
)


def mug(
    variant: str, radius: float, height: float, wall: float, taper: float, grip: float, reach: float,
    place: float, thick: float,
) -> list[Array]:  # fmt: skip
    """An open cup with a handle; all but `radius` are fractions of it, or of the height."""
    high, skin = height * radius, wall * radius
    foot = radius * taper
    if variant == "straight":
        outer = [(foot, 0.0), (radius, high)]
    elif variant == "round":
        outer = [
            (foot * 0.75, 0.0),
            (radius * 0.98, high * 0.35),
            (radius, high * 0.6),
            (radius * 0.95, high),
        ]
    else:  # "footed": a waist above the foot
        outer = [
            (foot, 0.0),
            (foot * 0.8, high * 0.12),
            (radius * 0.85, high * 0.35),
            (radius, high),
        ]
    inner = [(r - skin, max(z, 2 * skin)) for r, z in reversed(outer)]
    parts = [lathe(outer + inner)]
    # The handle: an arc from the upper to the lower wall, at the front.
    half = grip * high / 2
    turns = [i / 20 - 0.25 for i in range(11)]
    path = [
        (0.0, -radius * (0.88 + reach * cosine(t)), place * high + half * sine(t)) for t in turns
    ]
    if variant == "footed":  # a D with corners instead
        y = -radius * (0.9 + reach)
        path = [
            (0.0, -radius * 0.8, place * high - half),
            (0.0, y, place * high - half),
            (0.0, y, place * high + half),
            (0.0, -radius * 0.8, place * high + half),
        ]
    parts.append(tube(path, thick * radius))
    return parts


MUG = Grammar(
    mug,
    ("straight", "round", "footed"),
    {
        "radius": (0.035, 0.055),
        "height": (1.8, 2.9),
        "wall": (0.06, 0.12),
        "taper": (0.75, 1.0),
        "grip": (0.5, 0.75),
        "reach": (0.45, 0.85),
        "place": (0.46, 0.56),
        "thick": (0.1, 0.17),
    },
)


def plant(
    variant: str, pot: float, height: float, taper: float, rim: float, spread: float, leaf: float,
    droop: float, phase: float,
) -> list[Array]:  # fmt: skip
    """Something green in a pot; all but `height` are fractions of it."""
    tall, wide = pot * height, pot * height * 0.62
    edge = rim * tall
    parts = [
        lathe(
            [
                (wide * taper, 0),
                (wide, tall - edge),
                (wide * 1.1, tall - edge),
                (wide * 1.1, tall),
                (wide * 0.95, tall),
                (wide * 0.9, tall * 0.85),
            ]
        )
    ]
    crown, grow = spread * height, height - tall
    if variant == "leaves":  # long blades that arch outwards
        for i in range(11):
            u = scatter(phase, i)
            out, up = crown * (0.35 + 0.65 * u), grow * (1.1 - 0.6 * u)
            line = [
                (
                    0.0,
                    -out * t * (0.4 + 0.6 * t),
                    tall * 0.85 + up * (t * (1 + droop) - droop * t * t * 1.5),
                )
                for t in (0.0, 0.25, 0.5, 0.75, 1.0)
            ]
            widths = [leaf * height * w for w in (0.35, 0.9, 1.0, 0.7, 0.1)]
            parts.append(rotate(tube(line, widths, flat=0.12, sides=6), scatter(phase * 5, 7 * i)))
    elif variant == "bush":  # a trunk under clumps
        parts.append(cylinder(0.025 * height, grow * 0.5, z=tall * 0.8))
        for i in range(7):
            u, v = scatter(phase, i), scatter(phase * 3, i)
            size = crown * (0.4 + 0.25 * v)
            ball = ellipsoid(
                size,
                size * 1.7,
                0,
                -crown * 0.55 * u,
                tall + grow * (0.2 + 0.65 * scatter(phase * 7, i)) - size * 0.4,
            )
            parts.append(rotate(ball, i / 7))
    else:  # "cactus": columns with arms
        thick = leaf * height * 1.5 + 0.05 * height
        stem = [
            (thick * 0.9, 0.0),
            (thick, grow * 0.4),
            (thick, grow * 0.85),
            (thick * 0.6, grow * 0.96),
        ]
        parts.append(lathe(stem, z=tall * 0.85, sides=10))
        for i in range(2 + int(phase * 2.99)):
            start = tall + grow * (0.15 + 0.4 * scatter(phase, i))
            out = thick + crown * 0.35
            rise = grow * (0.15 + 0.25 * scatter(phase * 3, i))
            arm = tube(
                [
                    (0, 0, start),
                    (0, -out * 0.8, start),
                    (0, -out, start + 0.2 * rise),
                    (0, -out, start + rise),
                ],
                [thick * 0.6, thick * 0.65, thick * 0.65, thick * 0.4],
            )
            parts.append(rotate(arm, scatter(phase * 5, 3 * i)))
    return parts


PLANT = Grammar(
    plant,
    ("leaves", "bush", "cactus"),
    {
        "pot": (0.2, 0.36),
        "height": (0.3, 1.4),
        "taper": (0.65, 0.95),
        "rim": (0.12, 0.3),
        "spread": (0.22, 0.42),
        "leaf": (0.025, 0.06),
        "droop": (0.1, 0.7),
        "phase": (0.0, 1.0),
    },
)
