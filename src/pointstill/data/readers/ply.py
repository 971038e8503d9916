"""PLY: clouds, and meshes where there are faces."""

import re
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Table, Wanted
from .announced import bad_line, check_count, printable
from .surface import fans, strips, surface

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
NO_FACES = ("vertex", "range_grid")
"""Elements whose lists are not corners of faces: a grid says which point a scanner saw where."""
INTEGERS = [name for name, kind in TYPES.items() if kind[0] != "f"]
CORNERS = ("vertex_indices", "vertex_index")
"""What most writers call the list of a face's corners."""
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
Bytes = NDArray[np.uint8]
HEADER = 1 << 20
"""Most bytes of a header."""


@dataclass(frozen=True)
class Property:
    """What each row of an element has: a number, or where it has a length, a list."""

    kind: np.dtype[Any]
    length: np.dtype[Any] | None = None


@dataclass(frozen=True)
class Element:
    """A table that the header announces."""

    name: str
    count: int
    properties: dict[str, Property]


@dataclass(frozen=True)
class Lists:
    """A property that is a list in each row."""

    values: NDArray[Any]
    """(total,), list behind list."""
    sizes: NDArray[Any]
    """(rows,)."""


Columns = dict[str, NDArray[Any] | Lists]
"""Of one element: name -> (rows,)."""


def read_ply(path: Path, wanted: Wanted) -> Table:
    """Points (n, 3) and properties of the vertices of a cloud, or points drawn from a mesh."""
    elements = read_elements(path)
    if "vertex" not in elements:
        raise DataError("has no vertices")
    columns = elements["vertex"].items()
    scalars = {name: each for name, each in columns if not isinstance(each, Lists)}
    values = list(scalars.values())
    table = wanted.table({n: values[at] for n, at in wanted.among(list(scalars)).items()})
    if not has_faces(elements):
        return table
    return {"xyz": surface(path, table["xyz"], _triangles(elements))}


def has_faces(elements: dict[str, Columns]) -> bool:
    """Whether it is a mesh, with at least one face."""
    return any(len(each.sizes) for each in _faces(elements).values())


def _faces(elements: dict[str, Columns]) -> dict[str, Lists]:
    """The corners of faces and strips, by the name of their element."""
    found = {}
    for element, columns in elements.items():
        lists = {name: each for name, each in columns.items() if isinstance(each, Lists)}
        named = [name for name in CORNERS if name in lists]
        if not named and element == "face" and any(map(_rows, columns.values())):
            named = [name for name in lists if lists[name].values.dtype.kind in "iu"]
            if len(named) != 1:
                raise DataError(
                    "has faces, but no list that is known to be their corners",
                    fix=f"call it {CORNERS[0]}",
                )
        if named and element not in NO_FACES:
            found[element] = lists[named[0]]
    return found


def _rows(column: NDArray[Any] | Lists) -> int:
    return len(column.sizes if isinstance(column, Lists) else column)


def _triangles(elements: dict[str, Columns]) -> NDArray[np.int64]:
    """Triangles (F, 3) of all faces and strips."""
    triangles = []
    for element, lists in _faces(elements).items():
        corners = lists.values.astype(np.int64)
        if (corners != lists.values).any():
            raise DataError("has faces of vertices that are not whole numbers")
        if element == "tristrips":
            triangles.append(strips(np.insert(corners, np.cumsum(lists.sizes), -1)))
        else:
            triangles.append(fans(corners, lists.sizes))
    return np.concatenate(triangles)


def read_elements(path: Path) -> dict[str, Columns]:
    """Read all that a file announces: element -> name -> its column.

    Nothing is allocated or looped over before the file is known to be long enough for it.

    Raises:
        DataError: it is not PLY, is truncated, or goes on behind what it announces.
    """
    with path.open("rb") as file:
        order, announced, start = _header(file.read(HEADER))
        if order == "=":
            file.seek(start)
            body = _numbers(file)
        else:
            body = np.memmap(file, np.uint8, "c")[start:]
    elements = {}
    for element in announced:
        if order == "=":
            columns, body = _read(_as_numbers(element), body)
            elements[element.name] = _typed(element, columns)
        else:
            elements[element.name], body = _read(element, body)
    if bytes(body[:4096]).strip(b"\0\r\n\t "):
        raise DataError("goes on behind all that its header announces")
    return elements


def _header(head: bytes) -> tuple[str, list[Element], int]:
    """Byte order (= for text), elements, and where the body begins."""
    magic = re.match(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\r|\n)", head)
    if not magic:
        raise DataError("is not a PLY file, as its first line is not ply")
    end = re.search(rb"[\r\n]end_header[ \t]*(?:%b|\n)" % magic[1], head)
    if not end:
        raise DataError("is truncated (its header has no end_header)")
    order = ""
    elements: dict[str, Element] = {}
    properties: dict[str, Property] = {}
    lines = re.split(r"\r\n|\r|\n", head[magic.end() : end.start()].decode("utf-8", "replace"))
    for number, line in enumerate(lines, 2):
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", name, _] if name in ORDERS and not elements:
                order = ORDERS[name]
            case ["element", name, count] if (
                order and name not in elements and count.isdecimal() and len(count) < 19
            ):
                properties = {}
                elements[name] = Element(name, int(count), properties)
            case ["property", kind, name] if elements and kind in TYPES and name not in properties:
                properties[name] = Property(np.dtype(order + TYPES[kind]))
            case ["property", "list", length, kind, name] if (
                elements and kind in TYPES and length in INTEGERS and name not in properties
            ):
                lengths = np.dtype(order + TYPES[length])
                properties[name] = Property(np.dtype(order + TYPES[kind]), lengths)
            case _:
                raise bad_line(number, line)
    return order, list(elements.values()), end.end()


def _read(element: Element, body: Bytes) -> tuple[Columns, Bytes]:
    """The columns of an element, and what is left of the bytes."""
    least = sum((each.length or each.kind).itemsize for each in element.properties.values())
    if not least or not element.count:
        return {name: _joined(each, [], []) for name, each in element.properties.items()}, body
    check_count(f"{printable(element.name)} rows", element.count, len(body) // least)
    return _equal_rows(element, body) or _unequal_rows(element, body)


def _equal_rows(element: Element, body: Bytes) -> tuple[Columns, Bytes] | None:
    """The same, where all rows have lists as long as those of the first one."""
    fields: list[Any] = []
    place = 0
    for number, each in enumerate(element.properties.values()):
        size = 1
        if each.length:
            lengths = body[place : place + each.length.itemsize]
            if len(lengths) < each.length.itemsize:
                return None
            size = lengths.view(each.length)[0].item()
            if not 0 <= size * each.kind.itemsize <= len(body):
                return None
            fields.append((f"length {number}", each.length))
            place += each.length.itemsize
        fields.append((f"{number}", each.kind, (int(size),)))
        place += int(size) * each.kind.itemsize
    end = element.count * place
    if end > len(body):
        return None
    rows = body[:end].view(np.dtype(fields))
    columns: Columns = {}
    for number, (name, each) in enumerate(element.properties.items()):
        column = rows[f"{number}"]
        if each.length:
            sizes = rows[f"length {number}"]
            if (sizes != column.shape[1]).any():
                return None
            columns[name] = Lists(column.reshape(-1), sizes)
        else:
            columns[name] = column[:, 0]
    return columns, body[end:]


def _unequal_rows(element: Element, body: Bytes) -> tuple[Columns, Bytes]:
    """The same, row by row."""
    content, place = body.tobytes(), 0
    steps: list[tuple[Struct | None, int, list[int], list[bytes]]] = []
    for each in element.properties.values():
        length = each.length and Struct(each.length.str[0].replace("|", "=") + each.length.char)
        steps.append((length, each.kind.itemsize, [], []))
    for row in range(element.count):
        for length, width, sizes, parts in steps:
            size = 1
            if length:
                if place + length.size > len(content):
                    check_count(f"{printable(element.name)} rows", element.count, row)
                (size,) = length.unpack_from(content, place)
                if not size >= 0 or size % 1:
                    raise DataError(
                        f"has a list of {size} values in its {printable(element.name)} rows"
                    )
                place += length.size
            if not place + size * width <= len(content):
                check_count(f"{printable(element.name)} rows", element.count, row)
            end = place + int(size) * width
            sizes.append(int(size))
            parts.append(content[place:end])
            place = end
    columns = {
        name: _joined(each, sizes, parts)
        for (name, each), (_, _, sizes, parts) in zip(
            element.properties.items(), steps, strict=True
        )
    }
    return columns, body[place:]


def _joined(each: Property, sizes: list[int], parts: list[bytes]) -> NDArray[Any] | Lists:
    values = np.frombuffer(b"".join(parts), each.kind)
    return Lists(values, np.array(sizes, np.int64)) if each.length else values


def _numbers(file: BinaryIO) -> Bytes:
    """The numbers of a text, wherever its lines end, as bytes of float64."""
    blocks = [np.empty(0)]
    while lines := file.readlines(1 << 20):
        block = b"".join(lines)
        try:
            blocks.append(_block(block))
        except ValueError:  # C libraries have words of their own for what is not a number
            block = re.sub(rb"(?i)-?(nan\(\w*\)|1\.#\w+)", b"nan", block)
            try:
                blocks.append(_block(block))
            except ValueError as error:
                word = str(error).partition(":")[2].strip(" b'")[:40]
                raise DataError(f"has {word!r} where a number should be") from error
    return np.concatenate(blocks).view(np.uint8)


def _block(text: bytes) -> NDArray[np.float64]:
    if b"_" in text:  # 1_000 is a number to Python alone
        raise DataError("has what is not a number behind its header")
    return np.array(text.split(), np.float64)


def _as_numbers(element: Element) -> Element:
    """The same, with a float64 for each number."""
    number = np.dtype(np.float64)
    properties = {
        name: Property(number, each.length and number) for name, each in element.properties.items()
    }
    return Element(element.name, element.count, properties)


def _typed(element: Element, columns: Columns) -> Columns:
    """Numbers of a text in the types that are announced."""
    typed: Columns = {}
    for name, each in element.properties.items():
        column = columns[name]
        values = column.values if isinstance(column, Lists) else column
        with np.errstate(invalid="ignore", over="ignore"):
            found = values.astype(each.kind)
        if each.kind.kind != "f" and (found != values).any():
            raise DataError(f"has a value of {printable(name)} that is no {each.kind.name}")
        if isinstance(column, Lists):
            typed[name] = Lists(found, column.sizes.astype(np.int64))
        else:
            typed[name] = found
    return typed
