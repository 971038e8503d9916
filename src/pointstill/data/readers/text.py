"""Text: columns of numbers between spaces, commas or semicolons."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .announced import check_count


def read_points(path: Path) -> NDArray[Any]:
    """Columns of numbers between spaces, commas or semicolons; the first three are x, y, z.

    Before them may stand `#` comments, a line with the number of points, and a line of column
    names, which then says where x, y and z are; so does a comment of as many names as there are
    columns.
    """
    layout = text_layout(path)
    names = layout.names
    columns = tuple(names.index(axis) for axis in "xyz") if names else (0, 1, 2)
    return read_text(path, layout, columns)


def read_text(path: Path, layout: "TextLayout", columns: tuple[int, ...]) -> NDArray[Any]:
    """Some columns of numbers (n, columns) of a text file."""
    skip, delimiter = layout.skip, layout.delimiter
    try:
        with open_text(path) as file:
            points = np.loadtxt(
                file, delimiter=delimiter, usecols=columns, skiprows=skip, ndmin=2, comments="#"
            )
    except ValueError as error:
        place = _bad_line(path, skip, delimiter, columns) or f"a line ({error})"
        raise DataError(f"cannot be read in {place}") from error
    if layout.count is not None:
        check_count("points", layout.count, len(points))
    return points


def open_text(path: Path) -> Any:
    """A text file, with or without a byte order mark."""
    # Comments may be in any encoding; a number that is not ASCII fails as a number.
    return path.open(encoding="utf-8-sig", errors="replace")


@dataclass(frozen=True)
class TextLayout:
    """What the first lines of a text file say."""

    skip: int
    """Lines before the numbers."""
    delimiter: str | None
    names: list[str] | None
    """Of the columns, in small letters, x, y and z among them; None: it names none."""
    count: int | None
    """Points that are announced."""


def text_layout(path: Path) -> TextLayout:
    """Look at the first lines of a text file."""
    skip, count = 0, None
    columns: list[str] | None = None
    comment: list[str] = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text, _, remark = line.partition("#")
            text = text.strip().lstrip("/ ")
            if not text:
                names = _names_in(remark)
                comment = names if {"x", "y", "z"} <= set(names) else comment
                continue
            delimiter = ";" if ";" in text else "," if "," in text else None
            fields = text.split(delimiter)
            if count is None and len(fields) == 1 and text.isdecimal():
                count, skip = int(text), number
            elif not any(_is_number(field) for field in fields):
                names = [field.strip(" \"'").lower() for field in fields]
                if not {"x", "y", "z"} <= set(names):
                    raise DataError(
                        f"cannot be read in line {number} ({fields[0][:40]!r} is not a number)",
                        fix="write numbers, or name the columns, among them x, y and z",
                    )
                columns, skip = names, number
            else:
                if columns is None and len(comment) == len(fields) == len(set(comment)):
                    columns = comment
                return TextLayout(skip, delimiter, columns, count)
    raise DataError("has no points")


def _names_in(comment: str) -> list[str]:
    """The words of a comment, without what introduces them, as in `# Fields: x y z`."""
    words = [word.strip("\"'") for word in re.split(r"[\s,;]+", comment.strip("# \t\r\n").lower())]
    introduced = words[0].endswith(":") or words[0] in ("columns", "fields", "format")
    return words[1:] if introduced else words


def _bad_line(path: Path, skip: int, delimiter: str | None, columns: tuple[int, ...]) -> str | None:
    """Find the first line that is not numbers, and say what is wrong with it."""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip()
            if number <= skip or not text:
                continue
            fields = text.split(delimiter)
            if len(fields) <= max(columns):
                return f"line {number} ({len(fields)} columns, {max(columns) + 1} needed)"
            for column in columns:
                if not _is_number(fields[column]):
                    return f"line {number} ({fields[column].strip()[:40]!r} is not a number)"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # 1_000 is a number to Python alone
