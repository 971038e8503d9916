"""Points of a mesh's surface, and what cuts polygons and strips into triangles."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..mesh_sampling import sample_mesh

MESH_POINTS = 2048
"""Points drawn from a mesh, uniformly by area and keyed by the file's name."""


def surface(path: Path, vertices: ArrayLike, triangles: ArrayLike) -> NDArray[Any]:
    """Draw points (MESH_POINTS, 3) of a mesh: vertices (V, 3), triangles (F, 3).

    The draw is named by the file alone, so that moving a folder does not change its clouds.
    """
    return sample_mesh(vertices, triangles, MESH_POINTS, f"mesh:{path.name}")


def fans(corners: ArrayLike, sizes: ArrayLike, *, turned: bool = False) -> NDArray[np.int64]:
    """Cut polygons into fans of triangles (F, 3).

    Args:
        corners: (C,) indices of vertices, polygon behind polygon.
        sizes: (P,) corners of each polygon; one or two have no area, and are left out.
        turned: the second triangle of a quad begins at its third corner, as it always has in some
            formats: the points that are drawn depend on it.
    """
    corners, sizes = np.asarray(corners, np.int64), np.asarray(sizes, np.int64)
    if (sizes == 3).all():
        return corners.reshape(-1, 3)
    counts = np.maximum(sizes - 2, 0)
    polygon = np.repeat(np.arange(len(sizes)), counts)  # (F,), and so are those below
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((step, sizes[polygon]))  # all first triangles of one size, all second ones
    first, step = (np.cumsum(sizes) - sizes)[polygon[order]], step[order]
    fan = np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)
    if turned:
        seconds = (sizes[polygon[order]] == 4) & (step == 1)
        fan[seconds] = np.roll(fan[seconds], -1, axis=1)
    return fan


def strips(corners: NDArray[Any]) -> NDArray[np.int64]:
    """Cut strips (C,) of indices, with -1 between two of them, into triangles (F, 3)."""
    corners = corners.astype(np.int64)
    triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    triangles[1::2] = triangles[1::2, ::-1]
    whole = (triangles != -1).all(axis=1)
    return np.asarray(triangles[whole])
