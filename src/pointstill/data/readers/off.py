"""OFF: polygons, as in ModelNet, or vertices alone."""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .announced import bad_line, check_count
from .surface import fans, surface
from .text import open_text


def read_off(path: Path) -> NDArray[Any]:
    """Points drawn from the faces; the vertices themselves where there are no faces.

    The counts may stand on the line of the keyword, as in `OFF490 518 0`, and comments anywhere.
    What stands behind x, y, z (normals, colours, texture) and behind a face is not used.
    """
    vertices, corners, sizes = array("d"), array("q"), array("q")
    with open_text(path) as file:
        rows = _rows(file)
        announced, faces = _counts(rows)
        for _, (number, words) in zip(range(announced), rows, strict=False):
            try:
                x, y, z, *_ = map(float, words[:3])
            except ValueError as error:
                raise bad_line(number, " ".join(words)) from error
            vertices.extend((x, y, z))
        check_count("vertices", announced, len(vertices) // 3)
        for _, (number, words) in zip(range(faces), rows, strict=False):
            try:
                size, *face = map(int, words[: 1 + max(0, int(words[0]))])
                if len(face) != size:
                    raise ValueError
                corners.extend(face)
            except (ValueError, OverflowError) as error:
                raise bad_line(number, " ".join(words)) from error
            sizes.append(size)
        check_count("faces", faces, len(sizes))
        for number, words in rows:
            raise DataError(
                f"announces {announced} vertices and {faces} faces, but goes on in line {number} "
                f"({' '.join(words)[:40]!r})"
            )
    points = np.array(vertices).reshape(-1, 3)
    if not sizes:
        return points
    return surface(path, points, fans(corners, sizes, turned=True))


def _rows(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The words of each line that has any, and its number; comments have none."""
    for number, line in enumerate(file, 1):
        if words := line.partition("#")[0].split():
            yield number, words


def _counts(rows: Iterator[tuple[int, list[str]]]) -> tuple[int, int]:
    """How many vertices and faces are announced."""
    number, words = next(rows, (1, [""]))
    keyword = re.match(r"(ST)?C?N?(4?n?)OFF", words[0])
    if not keyword:
        raise DataError("is not an OFF file, as its first word is not OFF")
    if "BINARY" in words[1:2]:
        raise DataError("is OFF BINARY, which is not read", fix="save it as text")
    if keyword[2]:
        raise DataError(
            f"is {keyword[0]}, of other than three coordinates, which is not read",
            fix="save it as OFF",
        )
    counts = [words[0][keyword.end() :], *words[1:]] if words[0] != keyword[0] else words[1:]
    if not counts:
        number, counts = next(rows, (number, []))
    if len(counts) < 2 or not all(count.isdecimal() and len(count) < 19 for count in counts[:2]):
        raise DataError(f"announces no counts of vertices and faces in line {number}")
    return int(counts[0]), int(counts[1])
