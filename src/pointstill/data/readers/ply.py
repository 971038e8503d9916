"""PLY: clouds, and meshes where there are faces."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..columns import Table, from_columns
from .surface import fans, surface


def read_ply(path: Path, features: Iterable[str] = ()) -> Table:
    """Points (n, 3) and features of a cloud, or points drawn from a mesh."""
    from plyfile import PlyData, PlyListProperty

    ply = PlyData.read(path)
    vertex = ply["vertex"]
    scalars = [each.name for each in vertex.properties if not isinstance(each, PlyListProperty)]
    table = from_columns({name: np.asarray(vertex[name]) for name in scalars})
    if "face" not in ply or not len(ply["face"]):
        return table
    faces = ply["face"]
    corners = next(p.name for p in faces.properties if p.name in ("vertex_indices", "vertex_index"))
    return {"xyz": surface(path, table["xyz"], fans(faces[corners]))}
