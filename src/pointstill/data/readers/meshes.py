"""OBJ, OFF, STL and GLB: meshes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .announced import check_count
from .surface import surface
from .text import open_text


def read_mesh(path: Path) -> NDArray[Any]:
    """A mesh as its library reads it."""
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    return surface(path, mesh.vertices, mesh.faces)


def read_obj(path: Path) -> NDArray[Any]:
    """A mesh, or vertices alone, which no library keeps: `v x y z` a line, and perhaps a colour."""
    with open_text(path) as file:
        if any(line.lstrip().startswith(("f ", "f\t")) for line in file):
            return read_mesh(path)
    with open_text(path) as file:
        vertices = [line.split()[1:4] for line in file if line.lstrip()[:2] in ("v ", "v\t")]
    if not vertices:
        raise DataError("has neither faces nor vertices")
    return np.array(vertices, np.float64)


def read_off(path: Path) -> NDArray[Any]:
    """A mesh whose counts may stand on the line of the keyword, as in `OFF490 518 0`."""
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    with open_text(path) as file:
        counts = re.search(r"OFF\s*\d+\s+(\d+)", file.read(1000))
    if counts:  # polygons are cut into triangles by now, so more faces than announced are fine
        check_count("faces", int(counts[1]), len(mesh.faces))
    return surface(path, mesh.vertices, mesh.faces)
