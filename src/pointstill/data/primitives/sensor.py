"""A depth camera: sees the near side of things, partly hidden, and less and worse from afar."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..keyed_draws import uniforms
from .arithmetic import Array, cosine, cross, dot, gaussian, sine, unit

LEAST_POINTS = 128
"""The camera steps nearer until it sees as many."""
STEP = 0.8
"""A pixel's width after a step, in widths before."""
EDGE = 0.1
"""Gap in depth that makes an edge, in radii of the object's bounding sphere."""
FLYING = 0.4
"""Fraction of the pixels on an edge that mix the near surface with the far one beside it."""


@dataclass(frozen=True)
class Shot:
    """One shot of the camera; lengths are in radii of the object's bounding sphere."""

    azimuth: float
    """Where the camera stands, in turns about the object."""
    elevation: float
    """How far above the horizon, in turns."""
    distance: float
    """From the middle of the object."""
    pixel: float
    """Width of a pixel at the object."""
    noise: float
    """Standard deviation of the range."""
    lost: float
    """Fraction of pixels without an answer."""
    hidden: float
    """Fraction of the near side that is hidden by something in front of it."""
    tilt: float
    """Direction of the edge of that thing, in turns."""

    @classmethod
    def sample(cls, key: str) -> "Shot":
        """Draw a shot."""
        u = uniforms(key, 8).tolist()
        far = u[2] * u[2]
        return cls(
            azimuth=u[0],
            elevation=-0.02 + 0.14 * u[1],
            distance=2.5 + 3.5 * u[2],
            pixel=0.03 + 0.05 * far,
            noise=(0.01 + 0.04 * u[3] * u[3]) * (0.4 + far),
            lost=0.25 * u[4],
            hidden=0.25 + 0.5 * u[5] if u[6] < 0.9 else 0.0,
            tilt=u[7],
        )


def look(points: Array, normals: Array, shot: Shot, key: str) -> Array:
    """Keep what a camera sees of a surface: the nearest point of each pixel, along a noisy ray.

    Args:
        points: (n, 3) on the surface, dense: several a pixel.
        normals: (n, 3) outward.
        shot: where the camera stands and how good it is.
        key: names the draws of the noise.

    Returns:
        (m, 3) seen points, in the frame of `points`; m is `LEAST_POINTS` or more, if the surface
        has as many there.
    """
    middle, radius = _sphere(points)
    ahead, right, above = _axes(shot)
    eye = middle - ahead * (shot.distance * radius)

    ray = points - eye
    ray = ray[dot(normals, ray) < 0]  # the near side
    depth = dot(ray, ahead)
    across, up = dot(ray, right) / depth, dot(ray, above) / depth
    # Something in front hides all on one side of a straight edge.
    side = across * cosine(shot.tilt) + up * sine(shot.tilt)
    clear = side >= np.sort(side)[int(shot.hidden * len(side))]
    ray, depth, across, up = ray[clear], depth[clear], across[clear], up[clear]

    pixel = shot.pixel / shot.distance
    seen, beside = _nearest(across, up, depth, pixel)
    while len(seen) < min(LEAST_POINTS / (1 - shot.lost), len(depth)):
        pixel *= STEP
        seen, beside = _nearest(across, up, depth, pixel)

    u = uniforms(key, 7 * len(seen)).reshape(7, -1)
    gap = beside - depth[seen]
    flying = (gap > EDGE * radius) & (u[4] < FLYING)
    reach = depth[seen] + np.where(flying, u[5] * gap, 0)
    reach = reach + shot.noise * radius * gaussian(u[:4])
    cloud = eye + ray[seen] * (reach / depth[seen])[:, None]
    answers = max(LEAST_POINTS, int(len(seen) * (1 - shot.lost)))
    return np.asarray(cloud[np.argsort(u[6], kind="stable")[:answers]])


def _sphere(points: Array) -> tuple[Array, float]:
    """Centre (3,) and radius of the sphere around the bounding box of points (n, 3)."""
    low = np.array([column.min() for column in points.T])
    high = np.array([column.max() for column in points.T])
    half = (high - low) / 2
    return (low + high) / 2, float(np.sqrt(dot(half, half)))


def _axes(shot: Shot) -> tuple[Array, Array, Array]:
    """Return the camera's unit vectors: ahead, right and up."""
    level, east, north = cosine(shot.elevation), cosine(shot.azimuth), sine(shot.azimuth)
    ahead = -np.array([level * east, level * north, sine(shot.elevation)])
    right = unit(cross(ahead, np.array([0.0, 0.0, 1.0])))
    return ahead, right, cross(right, ahead)


def _nearest(
    across: Array, up: Array, depth: Array, pixel: float
) -> tuple[NDArray[np.intp], Array]:
    """Depth buffer.

    Returns:
        Which points (m,) are the nearest of their pixel, and the greatest depth (m,) in the four
        pixels beside it; -inf where these are empty.
    """
    column = ((across - across.min()) / pixel).astype(np.int64) + 1  # a border all around
    row = ((up - up.min()) / pixel).astype(np.int64) + 1
    stride = int(column.max()) + 2
    cell = row * stride + column
    buffer = np.full((int(row.max()) + 2) * stride, np.inf)
    np.minimum.at(buffer, cell, depth)
    seen = np.flatnonzero(depth == buffer[cell])
    behind = np.where(buffer < np.inf, buffer, -np.inf)
    beside = np.stack([behind[cell[seen] + step] for step in (-1, 1, -stride, stride)])
    return seen, beside.max(axis=0)
