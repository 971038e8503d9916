"""OBJ: polygons, or vertices alone."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .announced import bad_line
from .surface import fans, surface
from .text import open_text

SURFACES = ("bzp", "bsp", "surf", "call", "csh")
"""Statements that give a surface which is not polygons, or stands in another file."""


def read_obj(path: Path) -> NDArray[Any]:
    """Points drawn from the faces; the vertices themselves where there are no faces.

    Objects, groups and materials are one mesh, and no other file is opened. Points and lines, which
    have no surface, are left out; what stands behind x, y, z (a weight, a colour) is not used.
    """
    vertices, corners, sizes = array("d"), array("q"), array("q")
    with open_text(path) as file:
        for number, line in _statements(file):
            words = line.split()
            keyword = words[0] if words else ""
            try:
                if keyword == "v":
                    _, x, y, z, *_ = words
                    vertices.extend((float(x), float(y), float(z)))
                elif keyword in ("f", "fo"):  # an old name
                    if "/" in line:
                        words = [word.partition("/")[0] for word in words]
                    face = [int(word) for word in words[1:]]
                    if min(face) < 1:  # counted from the last vertex before the face
                        after = len(vertices) // 3 + 1
                        face = [corner if corner >= 0 else after + corner for corner in face]
                        if min(face) < 1:
                            raise ValueError
                    corners.extend(face)
                    sizes.append(len(face))
                elif keyword in SURFACES:
                    raise DataError(
                        f"has {keyword!r} in line {number}, which is not read",
                        fix="export it as polygons, in one file",
                    )
                else:
                    continue
                if "_" in line:  # 1_000 is a number to Python alone
                    raise ValueError
            except (ValueError, OverflowError) as error:
                raise bad_line(number, line) from error
    points = np.array(vertices).reshape(-1, 3)
    if sizes:
        if max(corners) > len(points):
            raise DataError(f"has a face of vertex {max(corners)}, but {len(points)} vertices")
        return surface(path, points, fans(np.array(corners) - 1, sizes, turned=True))
    if not len(points):
        raise DataError("has neither faces nor vertices")
    return points


def _statements(file: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Lines and their numbers, without comments, and whole where a backslash cuts them."""
    number = 0
    for line in file:
        number += 1
        first = number
        if "#" in line:
            line = line.partition("#")[0]
        if "\\" in line:
            parts = [line]
            while parts[-1].rstrip("\n").endswith("\\"):
                number += 1
                parts.append(next(file, "").partition("#")[0])
            line = "".join(part.rstrip("\n").removesuffix("\\") + " " for part in parts)
        yield first, line
