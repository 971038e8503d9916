"""Points of a mesh's surface."""

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


def fans(polygons: Any) -> NDArray[np.int64]:
    """Cut polygons into fans of triangles (F, 3)."""
    sizes = np.array([len(polygon) for polygon in polygons])
    fans = []
    for size in np.unique(sizes[sizes >= 3]):
        corners = np.stack([polygons[i] for i in np.flatnonzero(sizes == size)])  # (k, size)
        fans += [corners[:, [0, i, i + 1]] for i in range(1, size - 1)]
    return np.concatenate(fans).astype(np.int64) if fans else np.empty((0, 3), np.int64)
