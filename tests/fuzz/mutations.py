"""Damage, drawn from a seeded generator: bytes, blocks, numbers, headers, phrases, other files."""

import json
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Draw = np.random.Generator
Pool = Sequence[bytes]
"""Contents of other seeds."""

NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
NUMBERS = (
    *(b"99999999999", b"2147483648", b"4294967295", b"9223372036854775807", b"-1", b"-2147483648"),
    *(b"0", b"1", b"3", b"1.5", b"-0.0", b"1e400", b"-1e308", b"3e38", b"1e-320", b"nan", b"inf"),
    *(b"-1.#IND", b"0,5", b"1.234,5", b"1_000", b"0x10", b"1d3", b"True", b"null", b'"7"', b""),
    *("４".encode(), b"--1", b"1e", b"1:2"),
)
WHOLE = (0, 1, 2, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
FIELDS: dict[str, tuple[tuple[int, str], ...]] = {
    "npy": ((8, "<H"), (6, "<B")),
    "stl": ((80, "<I"),),
    "glb": ((4, "<I"), (8, "<I"), (12, "<I"), (16, "<I")),
    "las": (
        *((24, "<B"), (25, "<B"), (94, "<H"), (96, "<I"), (100, "<I"), (104, "<B"), (105, "<H")),
        *((107, "<I"), (111, "<I"), (131, "<d"), (155, "<d"), (227, "<Q"), (235, "<Q")),
        *((243, "<I"), (247, "<Q"), (255, "<Q")),
    ),
    "h5": ((8, "<B"), (13, "<B"), (24, "<Q"), (40, "<Q"), (56, "<Q"), (64, "<Q"), (80, "<Q")),
    "safetensors": ((0, "<Q"),),
}
"""Where the headers of binary formats hold their numbers: (offset, layout)."""
_TEXT = (b"# x y z", b"x,y,z", b"12", b"0 0", b'"1","2","3"', b"1;2;3", b"1,0 2,0 3,0", b"% 1 2")
_YAML = (
    *(
        b"a: &a [*a]",
        b"<<: *a",
        b"a: !!python/object/apply:os.system ['true']",
        b"? [1, 2]",
        b"---",
    ),
    *(b"teacher: bait:build", b"teacher: os:abort", b"weights: ../bait.bin", b"weights: /dev/zero"),
    *(b"classes: [ball]", b"points: 99999999999", b"frame: x,x,x", b"checked: {shapes: 0}", b"\t"),
    *(b"epochs: 1e9", b"epochs: yes", b"loss: [kd]", b"seed: 2001-01-01", b"ball: ball", b": "),
)
PHRASES: dict[str, tuple[bytes, ...]] = {
    "ply": (
        *(
            b"element face 99999999999",
            b"element vertex 3",
            b"property list uchar int vertex_index",
        ),
        *(b"property list int float q", b"property double x", b"format ascii 1.0", b"end_header"),
        *(b"element material 2", b"comment \xe4\xf6", b"obj_info 1", b"property uchar8 w"),
    ),
    "pcd": (
        *(b"COUNT 99999999999 1 1", b"WIDTH 99999999999", b"POINTS -1", b"DATA binary_compressed"),
        *(b"FIELDS x y z x", b"SIZE 4 4 16", b"TYPE F F U", b"DATA ascii", b"HEIGHT 0", b"# \xe4"),
    ),
    "obj": (
        *(b"mtllib bait.mtl", b"usemtl m", b"f 1 2 99", b"f -1 -2 -3", b"f 1/1/1 2//2 3", b"f 1 2"),
        *(
            b"v 0 0",
            b"v 1 2 3 0.5 0.5 0.5",
            b"call bait.obj",
            b"p 1 2 3",
            b"o o",
            b"f 0 1 2",
            b"vt",
        ),
        *(b"f 1 2 3 \\", b"l 1 2", b"v 1 2 3 4", b"vn 0 0 1", b"g a b", b"curv 0 1 2 3"),
    ),
    "off": (
        b"COFF",
        b"4 0 1 2 3",
        b"5 0 1 2 3 4",
        b"99999999 0 1",
        b"3 0 1 99",
        b"# 3 0 1 2",
        b"OFF",
    ),
    "stl": (
        b"solid",
        b"facet normal 0 0 1",
        b"vertex 1 2",
        b"endsolid",
        b"endloop",
        b"vertex n a n",
    ),
    **dict.fromkeys(("xyz", "txt", "csv", "pts"), _TEXT),
    **dict.fromkeys(("yaml", "jsonl"), _YAML),
}
"""Lines that mean something to a format, put in at the begin of a line."""
LEAVES: tuple[Any, ...] = (
    *(-1, 0, 1, 3, 2**31, 2**63, 1e308, 0.5, None, True, "", "x", "bait.bin", "/dev/zero", [], {}),
    *([0], [-1, 2**40], {"a": 1}, "KHR_draco_mesh_compression", "VEC3", "float32", [[[]]]),
)


def mutated(draw: Draw, content: bytes, suffix: str, pool: Pool) -> tuple[bytes, str]:
    """Change a content once.

    Returns:
        The new content, and the name of what was done.
    """
    ways: list[Callable[[Draw, bytes, str, Pool], bytes]] = [
        *(flip, byte, cut, insert, duplicate, remove, splice, number, nest, whole_number),
    ]
    ways += [digit, blanks, lines] * 2 if suffix in (*PHRASES, "ply", "json") else []
    ways += [header] * 3 if suffix in FIELDS else []
    ways += [phrase] * 3 if suffix in PHRASES else []
    ways += [leaf] * 8 if suffix in ("glb", "safetensors", "json") else []
    ways += [aliases] if suffix == "yaml" else []
    way = ways[draw.integers(len(ways))]
    return way(draw, content, suffix, pool), way.__name__


def flip(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Turn one bit to four."""
    changed = bytearray(content)
    for _ in range(draw.integers(1, 5) if content else 0):
        changed[place(draw, changed)] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def byte(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Another value for a byte."""
    changed = bytearray(content)
    if content:
        changed[place(draw, changed)] = draw.choice(list(b"\x00\x01\x7f\x80\xff\n\t ,;\"'#-/"))
    return bytes(changed)


def cut(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Leave out the end, or the begin."""
    at = place(draw, content)
    return content[at:] if draw.random() < 0.1 else content[:at]


def insert(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Put bytes in: of chance, equal ones, line ends."""
    at, length = place(draw, content), int(draw.integers(1, 65))
    kinds = (
        draw.bytes(length),
        bytes(length),
        b"\n" * length,
        b"\r\n",
        b" " * length,
        b"\xef\xbb\xbf",
    )
    return content[:at] + kinds[draw.integers(len(kinds))] + content[at:]


def duplicate(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Put a block in once more, or many times."""
    start, stop = block(draw, content)
    times = 1 if draw.random() < 0.8 else 100
    return content[:stop] + content[start:stop] * times + content[stop:]


def remove(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Leave a block out."""
    start, stop = block(draw, content)
    return content[:start] + content[stop:]


def splice(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """The begin of this and the end of another; or another altogether."""
    other = pool[draw.integers(len(pool))]
    if draw.random() < 0.3:
        return other
    return content[: place(draw, content)] + other[place(draw, other) :]


def number(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Another number in a text: huge, negative, NaN, with a decimal comma."""
    found = [*NUMBER.finditer(content, 0, 20_000)]
    if not found:
        return flip(draw, content, suffix, pool)
    # Those of a header more often.
    which = found[int(draw.integers(len(found) if draw.random() < 0.5 else min(len(found), 12)))]
    return content[: which.start()] + NUMBERS[draw.integers(len(NUMBERS))] + content[which.end() :]


def digit(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Another digit for a digit."""
    found = [*re.finditer(rb"\d", content)]
    if not found:
        return flip(draw, content, suffix, pool)
    at = found[draw.integers(len(found))].start()
    return content[:at] + b"%d" % draw.integers(10) + content[at + 1 :]


def blanks(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Other blanks, in one place or everywhere: tabs, several, round lines, line ends."""
    old, new = (
        *((b" ", b"\t"), (b" ", b"  "), (b"\n", b" \n"), (b"\n", b"\n "), (b"\n", b"\r\n")),
        *((b"\n", b"\n\n"), (b"\n", b"\r"), (b",", b", "), (b" ", b","), (b"\n", b" # a\n")),
    )[draw.integers(10)]
    if draw.random() < 0.5:
        return content.replace(old, new)
    found = [each.start() for each in re.finditer(re.escape(old), content)]
    if not found:
        return content
    at = found[draw.integers(len(found))]
    return content[:at] + new + content[at + 1 :]


def lines(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Two lines change places."""
    each = content.split(b"\n")
    a, b = draw.integers(len(each), size=2)
    each[a], each[b] = each[b], each[a]
    return b"\n".join(each)


def nest(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Brackets within brackets, closed or not."""
    depth = int(draw.choice([20, 1000, 50_000]))
    opening, closing = ((b"[", b"]"), (b"{", b"}"), (b"(", b")"), (b"- ", b""))[draw.integers(4)]
    at = place(draw, content)
    middle = opening * depth + (closing * depth if draw.random() < 0.5 else b"")
    return content[:at] + middle + content[at:]


def whole_number(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """A whole number of 1 to 8 bytes, anywhere."""
    return _packed(content, place(draw, content), "<" + "BHIQ"[draw.integers(4)], draw)


def header(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """A number of the header."""
    fields = [*FIELDS[suffix]]
    if (
        suffix == "las" and len(content) > 104
    ):  # of LAZ: where its table of chunks is, and the table
        start = struct.unpack_from("<I", content, 96)[0]
        fields += [(start, "<Q"), (start + 8, "<I")]
        if start + 8 <= len(content):
            table = struct.unpack_from("<Q", content, start)[0]
            fields += [(table, "<I"), (table + 4, "<I"), (table + 8, "<I")]
    offset, layout = fields[draw.integers(len(fields))]
    return _packed(content, offset, layout, draw)


def phrase(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """A line that means something to the format, before another or in its place."""
    lines = content.split(b"\n")
    at = int(draw.integers(min(len(lines), 400)))
    lines[at : at + int(draw.integers(2))] = [PHRASES[suffix][draw.integers(len(PHRASES[suffix]))]]
    return b"\n".join(lines)


def leaf(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """A value of the JSON inside, packed again with its true length."""
    try:
        if suffix == "glb":
            start, length = 20, struct.unpack_from("<I", content, 12)[0]
        elif suffix == "safetensors":
            start, length = 8, struct.unpack_from("<Q", content, 0)[0]
        else:
            start, length = 0, len(content)
        tree = json.loads(content[start : start + length])
    except (ValueError, struct.error):
        return flip(draw, content, suffix, pool)
    holders: list[Any] = []
    _collect(tree, holders)
    if not holders:
        return content
    holder = holders[draw.integers(len(holders))]
    keys = [*holder] if isinstance(holder, dict) else [*range(len(holder))]
    key = keys[draw.integers(len(keys))]
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = LEAVES[draw.integers(len(LEAVES))]
    text, rest = json.dumps(tree).encode(), content[start + length :]
    if suffix == "glb":
        text += b" " * (-len(text) % 4)
        total = struct.pack("<I", 20 + len(text) + len(rest))
        return content[:8] + total + struct.pack("<I", len(text)) + content[16:20] + text + rest
    return (struct.pack("<Q", len(text)) if suffix == "safetensors" else b"") + text + rest


def aliases(draw: Draw, content: bytes, suffix: str, pool: Pool) -> bytes:
    """Aliases to aliases: few lines that stand for gigabytes."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, int(draw.integers(3, 10))):
        before = b"*a%d" % (level - 1)
        lines.append(b"a%d: &a%d [%s]" % (level, level, b", ".join([before] * 9)))
    return b"\n".join([*lines, content])


def place(draw: Draw, content: bytes | bytearray) -> int:
    """Somewhere in a content; in its first 200 bytes, where headers are, more often."""
    length = max(1, len(content))
    return int(draw.integers(length if draw.random() < 0.6 else min(length, 200)))


def block(draw: Draw, content: bytes) -> tuple[int, int]:
    """Begin and end of a block, which is of whole lines as often as not."""
    start = place(draw, content)
    stop = min(len(content), start + int(2 ** draw.uniform(0, 9)))
    if draw.random() < 0.5:
        start = content.rfind(b"\n", 0, start) + 1
        stop = content.find(b"\n", stop) + 1 or len(content)
    return start, stop


def _packed(content: bytes, offset: int, layout: str, draw: Draw) -> bytes:
    size = struct.calcsize(layout)
    if not 0 <= offset <= len(content) - size:
        return content[:offset]
    if layout == "<d":
        value: Any = (np.nan, np.inf, 1e308, 0.0, -1.0)[draw.integers(5)]
    else:
        now = struct.unpack_from(layout, content, offset)[0]
        choices = [*WHOLE, now + 1, max(now - 1, 0), now * 2]
        value = choices[draw.integers(len(choices))] & (256**size - 1)
    return content[:offset] + struct.pack(layout, value) + content[offset + size :]


def _collect(tree: Any, holders: list[Any]) -> None:
    if isinstance(tree, dict | list) and tree:
        holders.append(tree)
        for each in tree.values() if isinstance(tree, dict) else tree:
            _collect(each, holders)
