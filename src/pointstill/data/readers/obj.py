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
        number = 0
        for line in file:
            number += 1
            if "#" in line or "\\" in line:
                line, more = _statement(line, file)
                number += more
            words = line.split()
            keyword = words[0] if words else ""
            try:
                if keyword == "v":
                    vertices.extend(map(float, words[1:4]))
                    if len(words) < 4:
                        raise ValueError
                elif keyword in ("f", "fo"):  # an old name
                    if "/" in line:
                        words = [word.partition("/")[0] for word in words]
                    if "-" in line:  # counted from the last vertex before the face
                        after = len(vertices) // 3 + 1
                        words[1:] = [_counted(word, after) for word in words[1:]]
                    corners.extend(map(int, words[1:]))
                    sizes.append(len(words) - 1)
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
    if not sizes:
        if not len(points):
            raise DataError("has neither faces nor vertices")
        return points
    triangles = fans(corners, sizes, turned=True) - 1
    if len(triangles) and not 0 <= triangles.min() <= triangles.max() < len(points):
        worst = triangles.min() if triangles.min() < 0 else triangles.max()
        raise DataError(f"has a face of vertex {worst + 1}, but vertices 1 to {len(points)}")
    return surface(path, points, triangles)


def _statement(line: str, file: Iterator[str]) -> tuple[str, int]:
    """A line without its comment, and whole where a backslash cuts it; and the lines added."""
    parts = [line.partition("#")[0]]
    while parts[-1].rstrip("\n").endswith("\\"):
        parts.append(next(file, "").partition("#")[0])
    return " ".join(part.rstrip("\n").removesuffix("\\") for part in parts), len(parts) - 1


def _counted(word: str, after: int) -> str:
    """A corner counted from the first vertex, where it was from the last."""
    return str(after + int(word)) if word.startswith("-") else word
