"""Points on meshes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from .keyed_draws import uniforms


def sample_mesh(vertices: ArrayLike, faces: ArrayLike, count: int, key: str) -> NDArray[np.float64]:
    """Draw points (count, 3) uniformly by area from a triangle mesh.

    A triangle is chosen by its share of the area, and a point in it as
    (1 - sqrt(u)) a + sqrt(u) (1 - v) b + sqrt(u) v c (Osada et al., 2002, section 4.1). Only
    operations that IEEE 754 rounds exactly are used: the same mesh and key give the same bytes
    everywhere.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices into `vertices`.
        count: number of points.
        key: names the draw.

    Raises:
        DataError: no faces, a vertex that is missing or not finite, or no area at all.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64)
    if not len(faces):
        raise DataError("has no faces, so no surface to draw points from")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise DataError(
            f"has faces of vertices {faces.min()} to {faces.max()}, but {len(vertices)} vertices"
        )
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))  # (F, 3) each
    with np.errstate(over="ignore", invalid="ignore"):
        u, v = b - a, c - a
        cross = [u[:, i - 2] * v[:, i - 1] - u[:, i - 1] * v[:, i - 2] for i in range(3)]
        area = np.cumsum(np.sqrt(cross[0] ** 2 + cross[1] ** 2 + cross[2] ** 2))  # (F,), twice
    if not np.isfinite(area[-1]):
        raise DataError("has vertices that are NaN, infinite or out of all proportion")
    if not area[-1] > 0:
        raise DataError("has faces, but none with an area")
    draws = uniforms(key, 3 * count).reshape(3, count)
    # side="right": a triangle without area is never chosen.
    chosen = np.searchsorted(area, draws[0] * area[-1], side="right")
    root = np.sqrt(draws[1])[:, None]
    across = draws[2][:, None]
    points: NDArray[np.float64] = (
        (1 - root) * a[chosen] + root * (1 - across) * b[chosen] + root * across * c[chosen]
    )
    return points
