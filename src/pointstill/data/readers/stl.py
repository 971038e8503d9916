"""STL: triangles, in binary or in text."""

from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .announced import bad_line, check_count
from .surface import surface
from .text import open_text

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
HEAD = 84
"""Bytes before the triangles: any text, and their number."""


def read_stl(path: Path) -> NDArray[Any]:
    """Points drawn from the triangles of all solids; normals and attributes are not used."""
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    announced = int.from_bytes(head[80:HEAD], "little")
    # Binary files may begin with "solid" too, but only they have zeros in their first triangles.
    if b"\0" in head or size == HEAD + announced * TRIANGLE.itemsize:
        corners = _binary(path, size, announced)
    else:
        corners = _text(path)
    return surface(path, corners, np.arange(len(corners)).reshape(-1, 3))


def _binary(path: Path, size: int, announced: int) -> NDArray[Any]:
    """Corners (3 F, 3); bytes behind the last triangle are fine, but for whole triangles."""
    if size < HEAD:
        raise DataError(f"is truncated (it has {size} bytes, and {HEAD} before its triangles)")
    there, behind = divmod(size - HEAD, TRIANGLE.itemsize)
    check_count("triangles", announced, there)
    if there > announced and not behind:
        raise DataError(f"announces {announced} triangles, but has {there}")
    triangles = np.fromfile(path, TRIANGLE, announced, offset=HEAD)
    return triangles["corners"].reshape(-1, 3)


def _text(path: Path) -> NDArray[Any]:
    """Corners (3 F, 3) of all solids."""
    vertices, facets, within = array("d"), 0, ""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            keyword = words[0].lower() if words else ""
            if keyword == "vertex":
                try:
                    if within != "facet":
                        raise ValueError
                    _, x, y, z = words
                    vertices.extend((float(x), float(y), float(z)))
                except ValueError as error:
                    raise bad_line(number, line) from error
            elif keyword in ("solid", "facet"):
                if within == "facet":
                    raise bad_line(number, line)
                within = keyword
                facets += keyword == "facet"
            elif keyword in ("endsolid", "endfacet"):
                within = "solid" if keyword == "endfacet" else ""
                if len(vertices) != 9 * facets:
                    raise DataError(f"has a facet of other than three corners before line {number}")
    if within:
        raise DataError(f"is truncated (it ends within a {within})")
    return np.array(vertices).reshape(-1, 3)
