"""Solids and their surfaces.

Every solid is a *loft*: a stack of rings of corners, (rings, corners, 3), joined by quads. A ring
runs counter-clockwise when seen from the end of the stack, so that normals point outwards; the
first and last rings are single points, which closes the ends. A box is a loft of squares, a bottle
of circles along its axis, a handle of circles along an arc, a wing of sections along its span.

Lengths are metres, angles turns; x runs to the right, y to the back, z up.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arithmetic import Array, circle, cosine, cross, dot, sine, unit

Point = tuple[float, float, float]
Pairs = Sequence[tuple[float, float]]


def loft(sections: Sequence[Sequence[Point]] | Array) -> Array:
    """Join sections of equally many corners, closed in the middle of the first and last."""
    rings = np.array(sections, np.float64)
    ends = rings[[0, -1]]
    low, high = ends.min(axis=1), ends.max(axis=1)
    return _closed(rings, *((low + high) / 2))


def _closed(rings: Array, first: ArrayLike, last: ArrayLike) -> Array:
    """Close a stack of rings (K, S, 3) with the points `first` and `last`, (3,)."""
    solid = np.empty((len(rings) + 2, *rings.shape[1:]))
    solid[0], solid[1:-1], solid[-1] = first, rings, last
    return solid


def box(
    width: float, depth: float, height: float, x: float = 0, y: float = 0, z: float = 0
) -> Array:
    """A box that stands on (x, y, z), the centre of its base."""
    face = (width, y - depth / 2, y + depth / 2)
    return frustum(face, face, z, height, x)


def frustum(
    base: tuple[float, float, float],
    top: tuple[float, float, float],
    z: float,
    height: float,
    x: float = 0,
) -> Array:
    """A box with another top, its base at z; `base` and `top`: (width, y in front, y behind)."""
    sections = []
    for (width, near, far), up in ((base, z), (top, z + height)):
        left, right = x - width / 2, x + width / 2
        sections.append([(left, near, up), (right, near, up), (right, far, up), (left, far, up)])
    return loft(sections)


def lathe(
    profile: Pairs, x: float = 0, y: float = 0, z: float = 0, sides: int = 20, squash: float = 1
) -> Array:
    """Turn a profile of (radius, height) about the vertical through (x, y, z).

    The profile runs up the outside (and, for a vessel, down the inside). `squash` scales depth.
    """
    line = np.array(profile, np.float64)
    ring = circle(sides)
    rings = np.empty((len(line), sides, 3))
    rings[..., 0] = x + line[:, :1] * ring[:, 0]
    rings[..., 1] = y + line[:, :1] * ring[:, 1] * squash
    rings[..., 2] = z + line[:, 1:]
    return _closed(rings, (x, y, z + profile[0][1]), (x, y, z + profile[-1][1]))


def cylinder(
    radius: float, height: float, x: float = 0, y: float = 0, z: float = 0, top: float | None = None
) -> Array:
    """An upright cylinder on (x, y, z), or a cone frustum when the `top` radius differs."""
    return lathe([(radius, 0), (radius if top is None else top, height)], x, y, z)


def ellipsoid(
    radius: float, height: float, x: float = 0, y: float = 0, z: float = 0, squash: float = 1
) -> Array:
    """An upright ellipsoid of semi-axes radius, squash * radius and height / 2; lowest at z."""
    arc = [i / 16 for i in range(9)]
    profile = [(radius * sine(turns), height / 2 * (1 - cosine(turns))) for turns in arc]
    return lathe(profile, x, y, z, 16, squash)


def tube(
    path: Sequence[Point] | Array,
    radius: float | Sequence[float],
    flat: float = 1,
    across: str = "x",
    sides: int = 8,
) -> Array:
    """Sweep a circle of `radius` (one, or one a point) along a path of points.

    `across` names an axis that the path never follows: the section keeps its full radius along it,
    and `flat` times as much the other way, which makes a blade.
    """
    line = np.array(path, np.float64)
    ahead = np.concatenate([line[1:], line[-1:]]) - np.concatenate([line[:1], line[:-1]])
    ahead = unit(ahead)
    axis = np.zeros(3)
    axis["xyz".index(across)] = 1
    thin = unit(cross(np.broadcast_to(axis, ahead.shape), ahead))
    wide = cross(ahead, thin)  # thin x wide = ahead: counter-clockwise seen from the end
    size = np.broadcast_to(np.asarray(radius, np.float64), len(line))[:, None, None]
    c, s = circle(sides)[:, 0, None], circle(sides)[:, 1, None]
    rings = line[:, None] + size * (c * flat * thin[:, None] + s * wide[:, None])
    return _closed(rings, line[0], line[-1])


def rod(start: Point, end: Point, radius: float) -> Array:
    """A straight round bar between two points."""
    lengths = [abs(b - a) for a, b in zip(start, end, strict=True)]
    return tube([start, end], radius, across="xyz"[lengths.index(min(lengths))])


def hoop(radius: float, thickness: float, x: float, y: float, z: float, sides: int = 24) -> Array:
    """A ring of tube radius `thickness` that stands in the y-z plane around (x, y, z)."""
    ring = circle(sides)
    inward = circle(8)
    out = np.empty((sides + 1, 8, 3))  # the first ring again as the last: the loft bites its tail
    turn = np.concatenate([ring, ring[:1]])
    reach = radius - thickness * inward[:, 0]
    out[..., 0] = x + thickness * inward[:, 1]
    out[..., 1] = y + turn[:, :1] * reach
    out[..., 2] = z + turn[:, 1:] * reach
    return out


def wheel(radius: float, width: float, x: float, y: float) -> Array:
    """A solid wheel on the ground at (x, y), its axle along x."""
    return tube(
        [(x - width / 2, y, radius), (x + width / 2, y, radius)], radius, across="y", sides=16
    )


def side(outline: Pairs, width: float, x: float = 0) -> Array:
    """Extrude an outline of (y, z), counter-clockwise seen from the right, along x."""
    return _extruded(outline, 0, x - width / 2, x + width / 2)


def front(outline: Pairs, depth: float, y: float = 0) -> Array:
    """Extrude an outline of (x, z), counter-clockwise seen from the front, along y."""
    return _extruded(outline, 1, y + depth / 2, y - depth / 2)


def _extruded(outline: Pairs, axis: int, first: float, last: float) -> Array:
    """The outline at two places along an axis, 0 to 2, joined."""
    rings = np.empty((2, len(outline), 3))
    rings[..., [other for other in range(3) if other != axis]] = np.array(outline, np.float64)
    rings[:, :, axis] = [[first], [last]]
    return loft(rings)


def move(solid: Array, x: float = 0, y: float = 0, z: float = 0) -> Array:
    """Shift a solid."""
    return np.asarray(solid + np.array([x, y, z]))


@lru_cache
def _faces(rings: int, corners: int) -> NDArray[np.int64]:
    """Corner numbers of the triangles of a loft, (2 (rings - 1) corners, 3)."""
    grid = np.arange(rings * corners).reshape(rings, corners)
    here, beside = grid, np.roll(grid, -1, axis=1)
    a, b, c, d = here[:-1], beside[:-1], beside[1:], here[1:]
    return np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)


def triangles(solids: Sequence[Array]) -> Array:
    """All triangles of some solids, (T, 3 corners, 3), corners counter-clockwise from outside."""
    return np.concatenate([s.reshape(-1, 3)[_faces(*s.shape[:2])] for s in solids])


def sample_surface(mesh: Array, uniforms: Array) -> tuple[Array, Array]:
    """Draw points on triangles, evenly by area.

    Args:
        mesh: (T, 3, 3) triangles.
        uniforms: (3, n) draws from [0, 1).

    Returns:
        Points (n, 3) and the outward unit normals there (n, 3).
    """
    a = mesh[:, 0]
    along, up = mesh[:, 1] - a, mesh[:, 2] - a
    normal = cross(along, up)
    area = np.sqrt(dot(normal, normal))
    reach = np.cumsum(area)  # a running sum has one order only
    count = uniforms.shape[1]
    place = (np.arange(count) + uniforms[0]) / count * reach[-1]
    hit = np.minimum(np.searchsorted(reach, place, side="right"), len(mesh) - 1)
    u, v = uniforms[1], uniforms[2]
    beyond = u + v > 1  # the far half of the parallelogram, folded back
    u, v = np.where(beyond, 1 - u, u)[:, None], np.where(beyond, 1 - v, v)[:, None]
    places = a.take(hit, 0) + u * along.take(hit, 0) + v * up.take(hit, 0)
    return places, unit(normal).take(hit, 0)
