"""PCD, of the Point Cloud Library."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted
from .announced import check_count, check_unpacked
from .text import TextLayout, numbers

Columns = dict[str, NDArray[Any]]
MOST_HEADER = 1 << 16
"""Bytes before the points."""
MOST_VALUES = 1 << 16
"""Of one field: descriptors have some thousands."""


class Header(NamedTuple):
    """What a PCD file says of itself."""

    kind: np.dtype[Any]
    """Of a point: a record of fields, in small letters; those of padding have names of digits."""
    points: int
    data: str
    lines: int
    start: int
    """Byte where the points start."""


def read_pcd(path: Path, wanted: Wanted) -> Table:
    """The points of a PCD file and its fields; `rgb` holds a colour in the bits of one number.

    Read as PCL does: blanks and their number are free, lines but FIELDS and DATA may be missing,
    fields of several numbers and of padding are passed over.

    Raises:
        DataError: a header that is none, or one that announces more, or fewer, points than there
            are.
    """
    header = _header(path)
    names = [name for name in header.kind.names or () if _single(header.kind, name)]
    four = [name for name in names if header.kind[name].itemsize == 4]
    packed = next((name for name in ("rgb", "rgba") if name in four), None)
    if packed:
        names = [name for name in names if name not in (packed, *SHIFTS)] + [*SHIFTS]
    places = {ours: names[place] for ours, place in wanted.among(names).items()}
    parts = SHIFTS.keys() & {*places.values()} if packed else set[str]()
    columns = _READ[header.data](
        path, header, {*places.values()} | ({packed} if packed and parts else set())
    )
    for name in parts:
        bits = columns[str(packed)].copy().view(np.uint32)  # also where it is declared as a float
        columns[name] = (bits >> SHIFTS[name] & 255).astype(np.uint8)
    return wanted.table({ours: columns[name] for ours, name in places.items()})


SHIFTS = {"red": 16, "green": 8, "blue": 0}
"""Bits below each part of a colour in `rgb` or `rgba`."""


def _header(path: Path) -> Header:
    lines: dict[str, list[str]] = {}
    count = 0
    with path.open("rb") as file:
        while "DATA" not in lines:
            line = file.readline(MOST_HEADER)
            if not line.endswith(b"\n") or file.tell() > MOST_HEADER:
                raise DataError("has no line DATA in its header: it is cut off, or no PCD")
            words = line.decode("latin1").partition("#")[0].split()
            count += 1
            if words:
                lines.setdefault(words[0].upper(), words[1:])
        start = file.tell()
    width, height = (_whole(lines, word, ["1"])[0] for word in ("WIDTH", "HEIGHT"))
    (points,) = _whole(lines, "POINTS", [str(width * height)])[:1]
    if not {"WIDTH", "POINTS"} & lines.keys():
        raise DataError("announces no number of points")
    if "WIDTH" in lines and points != width * height:
        raise DataError(f"announces {points} points, but is {width} wide and {height} high")
    data = " ".join(lines["DATA"]).lower()
    if data not in _READ:
        raise DataError(f"has DATA {data[:40]!a}", fix=f"write it as one of {', '.join(_READ)}")
    return Header(_kind(lines), points, data, count, start)


def _kind(lines: dict[str, list[str]]) -> np.dtype[Any]:
    """The kind of a point."""
    names = [name.lower() for name in lines.get("FIELDS") or lines.get("COLUMNS") or []]
    sizes = _whole(lines, "SIZE", ["4"] * len(names))
    counts = _whole(lines, "COUNT", ["1"] * len(names))
    kinds = lines.get("TYPE", ["F"] * len(names))
    if not names or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise DataError(
            f"has {len(names)} FIELDS with {len(sizes)} SIZE, {len(kinds)} TYPE and {len(counts)} "
            "COUNT"
        )
    fields = []
    for place, (name, kind, size, count) in enumerate(
        zip(names, kinds, sizes, counts, strict=True)
    ):
        if f"{kind}{size}".lower() not in _KINDS or not 1 <= count <= MOST_VALUES:
            raise DataError(f"has a field {name[:40]!a} of TYPE {kind[:9]!a} {size}, COUNT {count}")
        if name != "_" and names.count(name) > 1:
            raise DataError(f"has several fields called {name[:40]!a}")
        fields.append((str(place) if name == "_" else name, f"<{kind}{size}".lower(), (count,)))
    return np.dtype(fields)


_KINDS = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def _whole(lines: dict[str, list[str]], word: str, default: list[str]) -> list[int]:
    """The whole numbers of a line of the header."""
    values = lines.get(word, default)
    if not all(each.isascii() and each.isdigit() and len(each) < 19 for each in values):
        raise DataError(f"has no whole numbers for {word} in its header")
    if default and not values:
        raise DataError(f"has no numbers for {word} in its header")
    return [int(each) for each in values]


def _ascii(path: Path, header: Header, wanted: set[str]) -> Columns:
    places, width = {}, 0
    for name in header.kind.names or ():
        if name in wanted:
            places[name] = width
        width += header.kind[name].shape[0]
    if not places:
        return {}
    layout = TextLayout(header.lines, None, width, False, False, count=header.points)
    values = numbers(path, layout, places.values())
    columns = {}
    for name, each in zip(places, values.T, strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            columns[name] = each.astype(header.kind[name].base)
        if columns[name].dtype.kind != "f" and (columns[name] != each).any():
            raise DataError(f"has numbers in {name} that do not fit its TYPE and SIZE")
    return columns


def _binary(path: Path, header: Header, wanted: set[str]) -> Columns:
    announced = header.points * header.kind.itemsize
    there = path.stat().st_size - header.start
    check_count("bytes of points", announced, there)
    if there - announced >= header.kind.itemsize:
        raise DataError(f"announces {header.points} points, but has bytes for more")
    rows = np.fromfile(path, header.kind, header.points, offset=header.start)
    names = header.kind.names or ()
    return {name: rows[name][:, 0] for name in names if name in wanted}


def _packed(path: Path, header: Header, wanted: set[str]) -> Columns:
    """Field after field, each of all points, packed by LZF."""
    import lzf

    with path.open("rb") as file:
        file.seek(header.start)
        size, unpacked = struct.unpack("<II", file.read(8))
        packed = file.read(min(size, path.stat().st_size))
    check_count("bytes of packed points", size, len(packed))
    announced = header.points * header.kind.itemsize
    if unpacked != announced:
        raise DataError(f"has {unpacked} bytes of points, where its header announces {announced}")
    check_unpacked(unpacked, size)
    content = lzf.decompress(packed, unpacked) if unpacked else b""
    if content is None or len(content) != unpacked:
        raise DataError("has packed points that cannot be unpacked")
    columns, start = {}, 0
    for name in header.kind.names or ():
        each = header.kind[name]
        if name in wanted:
            columns[name] = np.frombuffer(content, each.base, header.points, start)
        start += each.itemsize * header.points
    return columns


def _single(kind: np.dtype[Any], name: str) -> bool:
    """Whether a field is one number, and no padding."""
    return not name.isdigit() and kind[name].shape == (1,)


_READ: dict[str, Callable[[Path, Header, set[str]], Columns]] = {
    "ascii": _ascii,
    "binary": _binary,
    "binary_compressed": _packed,
}
