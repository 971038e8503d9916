"""PLY: clouds, and meshes where there are faces."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .surface import fans, surface


def read_ply(path: Path) -> NDArray[Any]:
    """Points (n, 3) of a cloud, or drawn from a mesh."""
    from plyfile import PlyData

    ply = PlyData.read(path)
    vertex = ply["vertex"]
    points = np.stack([np.asarray(vertex[axis]) for axis in "xyz"], axis=1)
    if "face" not in ply or not len(ply["face"]):
        return points
    faces = ply["face"]
    corners = next(p.name for p in faces.properties if p.name in ("vertex_indices", "vertex_index"))
    return surface(path, points, fans(faces[corners]))
