"""Text: columns of numbers between blanks, commas or semicolons."""

import csv
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted, lacking

Array = NDArray[Any]
COMMENTS = ("#", "%", "//")
MOST_LETTERS = 1 << 16
"""Of the first line of numbers, and of one of names: thousands of columns."""
MOST_REMARKS = 4096
"""Comments before the numbers that are looked at for names."""
TIMES = {"time", "timestamp", "stamp"}
"""What a first column is called that is no x, in small letters."""
EPOCH, METRES = 1e8, 1e7
"""Times since 1970 are larger, in any unit; coordinates on Earth, in metres, are smaller."""
BLOCK = 1 << 24
"""Bytes of a file that are looked at at a time."""


def read_text(path: Path, wanted: Wanted, names: Sequence[str] | None = None) -> Table:
    """Columns of numbers between blanks, commas or semicolons; the first three are x, y, z.

    Before them may stand comments (`#`, `%` or `//`), a line with the number of points, and a line
    of column names, which then says where x, y and z are; so does a comment of as many names as
    there are columns. Values may be quoted. Decimal commas are read where blanks, semicolons or
    quotes part the columns. A unit may follow a name, as in `x [m]`.

    Args:
        path: the file.
        wanted: what is read, of columns with names or of those that it has numbers for.
        names: of the columns, for a file that does not name them.

    Raises:
        DataError: what is no number, or where it is not sure which columns are meant.

    Warns:
        UserWarning: a first line `0,1,2`, which is taken for names; a first column of whole numbers
            among columns without names.
    """
    layout = text_layout(path, wanted.axes)
    named = layout.names or (names if names and len(names) == layout.width else None)
    places = wanted.among(named) if named else wanted.numbered(layout.width)
    if wanted.features is None:  # words are no channel
        some = _first_point(path, layout)
        told = _is_decimal if layout.decimal_commas else _is_number
        places = {name: at for name, at in places.items() if name in XYZ or told(some[at])}
    values = numbers(path, layout, places.values()).T
    table = wanted.table(dict(zip(places, values, strict=True)))
    if layout.row_names:
        first = numbers(path, layout, [0])[:, 0] if layout.row_names == "numbers" else None
        if first is not None and not _counts(first):
            raise DataError(f"names {layout.width - 1} columns, but has {layout.width}", fix=_NAME)
    elif not named and not {"x", "y", "z"} <= wanted.columns.keys():
        _check_first_column(path, layout, table["xyz"])
    return table


def open_text(path: Path) -> Any:
    """A text file, in UTF-16 or UTF-32 where a byte order mark says so."""
    # Comments may be in any encoding; a number that is not ASCII fails as a number.
    return path.open(encoding=_wide(path) or "utf-8-sig", errors="replace")


def _wide(path: Path) -> str | None:
    """The encoding of a file whose letters are of 2 or 4 bytes, such as Excel's Unicode text."""
    with path.open("rb") as file:
        start = file.read(4)
    if start in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else None


_NAME = "name every column, among them x, y and z"


@dataclass(frozen=True)
class TextLayout:
    """What the first lines of a text file say."""

    skip: int
    """Lines before the numbers."""
    delimiter: str | None
    width: int
    """Columns of a line."""
    quoted: bool
    """Whether values stand in quotes."""
    decimal_commas: bool
    comment: str = "#"
    names: list[str] | None = None
    """Of the columns, in small letters, those of the axes among them; None: it names none."""
    row_names: str | None = None
    """Of a first column that the line of names has no name for: `numbers`, or other `words`."""
    count: int | None = None
    """Points that are announced."""

    def split(self, line: str) -> list[str]:
        """The fields of a line, without blanks, quotes and a comment."""
        line = line.partition(self.comment)[0].strip()
        fields = _split(line, self.delimiter)
        return fields[:-1] if self.delimiter and len(fields) > 1 and not fields[-1] else fields


def _first_point(path: Path, layout: TextLayout) -> list[str]:
    """The fields of the first line of numbers."""
    with open_text(path) as file:
        lines = (layout.split(line) for line in islice(file, layout.skip, None))
        return next((fields for fields in lines if len(fields) == layout.width), [])


XYZ = frozenset("xyz")


def text_layout(path: Path, axes: Set[str] = XYZ) -> TextLayout:
    """Look at the first lines of a text file.

    Args:
        path: the file.
        axes: the names that tell a line of names; none where numbers of columns are given.
    """
    count: int | None = None
    comment, names, remark, remarks = "#", None, list[str](), 0
    with open_text(path) as file:
        lines = enumerate(file, 1)
        for number, line in lines:
            text = line.partition("#")[0].strip()
            marker = next((each for each in COMMENTS if line.lstrip().startswith(each)), None)
            if marker or not text:
                remarks += 1
                found = _names_in(line[:MOST_LETTERS]) if remarks <= MOST_REMARKS else []
                if _names(axes, found) or (found[:1] and found[0] in TIMES and axes):
                    remark = found
                comment = marker or comment
                continue
            if len(text) > MOST_LETTERS:
                raise DataError(f"has {len(text)} letters in line {number}, too many for a point")
            layout = _layout_of(text)
            fields = layout.split(text)
            if count is None and len(fields) == 1 and re.fullmatch("[0-9]{1,18}", text):
                count = int(text)
            elif names is None and (numbered := _numbered(fields)):
                following = next((line for _, line in lines if line.strip()), "")[:MOST_LETTERS]
                if not following:
                    raise DataError("has no points")
                point = fields[0] == "0" and all(map(_is_whole, layout.split(following)))
                if fields[0] == "0":
                    meant = "a point" if point else "the names of columns, as pandas writes them"
                    warnings.warn(
                        f"{path}: the first line, {text[:40]}, is taken for {meant}: name the "
                        "columns x,y,z",
                        stacklevel=2,
                    )
                if point:
                    return _checked(path, layout, number, comment, None, remark, count, axes)
                start = number + 1
                rest = _layout_of(following.partition("#")[0].strip())
                return _checked(path, rest, start, comment, numbered, [], count, axes)
            elif _names(axes, _named(text, layout)) or not (
                layout.decimal_commas or any(map(_is_number, fields))
            ):
                names = _named(text, layout)
                if gone := sorted(axes - set(names)):
                    if axes != XYZ:
                        raise lacking("column", gone[0], names)
                    raise DataError(
                        f"cannot be read in line {number} ({fields[0][:40]!r} is not a number)",
                        fix="write numbers, or name the columns, among them x, y and z, or say "
                        "which they are, as in --columns x=east,y=north,z=up",
                    )
            else:
                return _checked(path, layout, number, comment, names, remark, count, axes)
    raise DataError("has no points")


def _layout_of(text: str) -> TextLayout:
    """How the numbers of a line are parted."""
    bare = re.sub(r'"[^"]*"', '""', text)
    words = bare.split()
    delimiter = ";" if ";" in bare else "," if "," in bare else None
    if delimiter == "," and len(words) >= 3:
        inner = [word.rstrip(",") for word in words]
        ends = {word.endswith(",") for word in words[:-1]}
        if all(map(_is_decimal, inner)) and "," in "".join(inner) and len(ends) == 1:
            delimiter = ", " if ends == {True} else None
    layout = TextLayout(0, delimiter, 0, '"' in text, False)
    fields = layout.split(text)
    commas = all(map(_is_decimal, fields)) and any("," in field for field in fields)
    if delimiter == ", " and not commas:
        layout = replace(layout, delimiter=",")
    return replace(layout, width=len(fields), decimal_commas=commas)


def _checked(
    path: Path,
    layout: TextLayout,
    start: int,
    comment: str,
    names: list[str] | None,
    remark: list[str],
    count: int | None,
    axes: Set[str],
) -> TextLayout:
    """A layout with the names that fit it; the numbers start in some line."""
    width, row_names = layout.width, None
    fits = len(remark) == width == len(set(remark))
    if names is None and fits and remark[0] in TIMES and not axes <= set(remark):
        raise DataError(
            f"has a first column of times, as a comment says ({' '.join(remark)[:60]})", fix=_NAME
        )
    if names is None and fits:
        names = remark
    elif names is None and axes and "x" in remark[1:] and "xyz" in "".join(remark):
        warnings.warn(
            f"{path}: a comment names x, y and z, but not as many columns as there are ({width}), "
            f"so that the first three are taken: {_NAME}",
            stacklevel=2,
        )
    elif names and len(names) == width - 1:
        with open_text(path) as file:
            first = layout.split(next(islice(file, start - 1, None)))[0]
        row_names = "numbers" if _is_number(first) else "words"
        names = ["", *names]
    elif names and len(names) != width:
        raise DataError(
            f"names {len(names)} columns, but has {width} in line {start}",
            fix=f"{_NAME}, and write decimal points",
        )
    return replace(
        layout,
        skip=start - 1,
        comment=comment,
        names=names,
        row_names=row_names,
        count=count,
    )


def _names(axes: Set[str], found: Iterable[str]) -> bool:
    """Whether words are the names of columns."""
    return bool(axes) and axes <= set(found)


def _split(text: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        found = re.findall(r'"([^"]*)"|(\S+)', text) if '"' in text else None
        return text.split() if found is None else [a or b for a, b in found]
    if delimiter == ", ":
        return re.split(r",\s+", text)
    if '"' in text:
        fields = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
        return [field.strip() for field in fields]
    return [field.strip() for field in text.split(delimiter)]


def _names_in(comment: str) -> list[str]:
    """The words of a comment, without what introduces them, as in `# Fields: x y z`."""
    text = _close_units(comment.strip("#%/ \t\r\n").lower())
    words = [word.strip("\"'") for word in re.split(r"[\s,;]+", text)]
    introduced = words[0].endswith(":") or words[0] in ("columns", "fields", "format")
    return _without_units(words[1:] if introduced else words)


def _named(text: str, layout: TextLayout) -> list[str]:
    """The names in a line of names, in small letters and without units."""
    text = _close_units(text.lower())
    if layout.delimiter is None and "\t" in text:  # names may have blanks
        between = _without_units([name.strip(" \"'") for name in text.split("\t")])
        if {"x", "y", "z"} <= set(between):
            return between
    return _without_units([name.strip(" \"'") for name in layout.split(text)])


def _close_units(text: str) -> str:
    return re.sub(r"(?<![ \t])[ \t]+(?=[\[(])", "", text)  # looked at from their start alone


def _without_units(names: list[str]) -> list[str]:
    """Names such as `x[m]`, or `points:0` and `field.x` for x as some have it, to plain ones."""
    units, plain = {}, []
    for name in names:
        found = re.fullmatch(r"([^\[(]+)[\[(](.*)[\])]", name)
        base, unit = (found[1], found[2]) if found else (name, None)
        if axis := re.fullmatch(r"points[:_]([012])", base):
            base = "xyz"[int(axis[1])]
        elif base.startswith("field."):  # rostopic has the path of each: field.point.x
            base = base.rpartition(".")[2]
        plain.append(base)
        units[base] = unit
    if {"x", "y", "z"} <= set(plain) and not units["x"] == units["y"] == units["z"]:
        said = ", ".join(f"{axis} in {units[axis]}" for axis in "xyz")
        raise DataError(f"has {said}", fix="give all three in one unit")
    return plain


def _numbered(fields: list[str]) -> list[str] | None:
    """The names of columns that are named 0, 1, 2, ..., perhaps behind that of an index."""
    index = 0 if fields[0] == "0" else 1
    if fields[index:] != [str(place) for place in range(len(fields) - index)]:
        return None
    if len(fields) - index < 3 or (index and _is_number(fields[0])):
        return None
    return [""] * index + ["x", "y", "z", *fields[index + 3 :]]


def numbers(path: Path, layout: TextLayout, columns: Iterable[int]) -> NDArray[np.float64]:
    """Some columns of the numbers (n, columns)."""
    columns = tuple(columns)
    _check_widths(path, layout)
    with path.open("rb") as file:
        marked = file.read(3)[:2] in (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb", b"\0\0")
    if layout.count == 0:
        return np.empty((0, len(columns)))
    source: Any = str(path)
    options: dict[str, Any] = {"delimiter": layout.delimiter, "skiprows": layout.skip}
    if layout.decimal_commas:
        source = list(_with_points(path, layout))
        options = {"delimiter": ";"}
    elif marked:
        source = open_text(path)
    try:
        found: NDArray[np.float64] = np.loadtxt(
            source,
            usecols=columns,
            ndmin=2,
            comments=layout.comment,
            quotechar='"' if layout.quoted else None,
            encoding="latin1",  # for speed: see `open_text`
            **options,
        )
    except ValueError as error:
        place = _bad_line(path, layout, columns) or "a line"
        raise DataError(f"cannot be read in {place}") from error
    finally:
        if hasattr(source, "close"):
            source.close()
    if layout.count is not None and layout.count != len(found):
        short = layout.count > len(found)
        raise DataError(
            f"{'is truncated (it ' if short else ''}announces {layout.count} points, but has "
            f"{len(found)}{')' if short else ''}"
        )
    return found


def _with_points(path: Path, layout: TextLayout) -> Iterator[str]:
    """The lines of numbers with points for decimal commas, and semicolons between columns."""
    sure = False
    with open_text(path) as file:
        for number, line in enumerate(islice(file, layout.skip, None), layout.skip + 1):
            fields = layout.split(line)
            if any("." in field or field.count(",") > 1 for field in fields):
                raise DataError(
                    f"has points and commas in the numbers of line {number}", fix=_POINTS
                )
            sure = sure or any(
                "," in field and not re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", field)
                for field in fields
            )
            yield ";".join(fields).replace(",", ".")
    if not sure:
        raise DataError("has commas that may part thousands or decimals", fix=_POINTS)


_POINTS = "write decimal points, and nothing between thousands"


def _check_widths(path: Path, layout: TextLayout) -> None:
    """See that all lines have as many columns.

    Most are counted without a look at each line, as this is done for every file that is read.
    """
    number = layout.skip + 1
    if _wide(path) or layout.decimal_commas:
        with open_text(path) as file:
            _check_lines(islice(file, layout.skip, None), number, layout)
        return
    with path.open("rb") as raw:
        for _ in range(layout.skip):
            raw.readline()
        while block := raw.read(BLOCK):
            block += raw.readline()
            _check_block(block, number, layout)
            number += block.count(b"\n")


def _check_block(block: bytes, number: int, layout: TextLayout) -> None:
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    block = block.rstrip() + b"\n"
    first = block.partition(b"\n")[0].decode("latin1")
    _check_lines([first], number, layout)
    if layout.comment.encode() in block or b'"' in block or not _all_alike(block, first, layout):
        _check_lines(StringIO(block.decode("latin1")), number, layout)


def _all_alike(block: bytes, first: str, layout: TextLayout) -> bool:
    """Whether each line has as many columns as the first one."""
    letters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    if layout.delimiter is None:
        blank = letters <= ord(" ")
        found = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1  # where words begin
        if not blank[0]:
            found = np.concatenate([[0], found])
        each = len(first.split())
    else:
        found = np.flatnonzero(letters == ord(layout.delimiter))
        each = first.count(layout.delimiter)
    if not each or len(found) != each * len(ends):
        return False
    lines = found.reshape(-1, each)
    return bool((lines[:, -1] < ends).all() and (lines[1:, 0] > ends[:-1]).all())


def _check_lines(lines: Iterable[str], number: int, layout: TextLayout) -> None:
    for place, line in enumerate(lines, number):
        fields = layout.split(line)
        if fields and fields != [""] and len(fields) != layout.width:
            raise DataError(
                f"cannot be read in line {place} ({len(fields)} columns, {layout.width} needed)"
            )


def _bad_line(path: Path, layout: TextLayout, columns: Sequence[int]) -> str | None:
    """Find the first line that is not numbers, and say what is wrong with it."""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            fields = layout.split(line)
            if number <= layout.skip or fields in ([], [""]):
                continue
            if len(fields) <= max(columns):
                return f"line {number} ({len(fields)} columns, {max(columns) + 1} needed)"
            for column in columns:
                if not _is_number(fields[column]):
                    return f"line {number} ({fields[column][:40]!r} is not a number)"
    return None


def _check_first_column(path: Path, layout: TextLayout, points: Array) -> None:
    """Find out columns without names that do not begin with x, y and z.

    Raises:
        DataError: an index, or times; or decimal commas between commas.

    Warns:
        UserWarning: what may be an index, or a label.
    """
    x = points[:, 0]
    if len(points) < 2:
        return
    times = x[0] > EPOCH and (np.diff(x) >= 0).all() and (np.abs(points[:, 1:]) < METRES).all()
    if times and layout.width >= 4:
        raise DataError(
            f"has a first column of large numbers that increase ({x[0]:.10g}, {x[1]:.10g}, ...), "
            "as of times, and names no columns",
            fix=f"leave it out, or {_NAME}",
        )
    if not _whole(x):
        return
    if layout.delimiter == "," and layout.width >= 4:
        # No whole number is written -0 or 05: parts of decimals are, and of thousands.
        parts = layout.width >= 6 and layout.width % 2 == 0 and _whole(points)
        found = re.compile(r"(?:^|,)\s*[+-]0\s*,|,\s*0\d" if parts else r",\s*0\d")
        with open_text(path) as file:
            for line in file:
                if found.search(line):
                    raise DataError(
                        "has commas between columns and within numbers",
                        fix="write decimal points and no thousands, or semicolons between columns",
                    )
    counting = _counts(x)
    if layout.width == 3:
        if counting:
            warnings.warn(
                f"{path}: its first column, which is taken for x, counts the lines: {_NAME}",
                stacklevel=2,
            )
        return
    if not counting:
        try:
            fourth = numbers(path, layout, [3])
        except DataError:  # words: these are no z
            return
        if any(_whole(each) for each in (points[:, 1], points[:, 2], fourth)):
            return
    if (np.diff(x) > 0).all():
        raise DataError(
            f"has a first column of whole numbers that increase ({x[0]:g}, {x[1]:g}, ...), as of "
            "an index, and names no columns",
            fix=f"leave it out, or {_NAME}",
        )
    warnings.warn(
        f"{path}: its first column, which is taken for x, holds whole numbers alone, and the next "
        f"three do not: {_NAME}",
        stacklevel=2,
    )


def _counts(values: Array) -> bool:
    return bool(len(values) > 1 and values[0] in (0, 1) and (np.diff(values) == 1).all())


def _whole(values: Array) -> bool:
    return bool((values == np.floor(values)).all())


def _is_decimal(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?", text) is not None


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # 1_000 is a number to Python alone
