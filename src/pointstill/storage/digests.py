"""A file that carries its own SHA-256, so that both come into place by one rename.

A seal, `of WHAT sha256 DIGITS`, stands somewhere in the file. The digits are the digest of the
whole file with zeros in their place; WHAT names the thing that the file is a part of (a run, a
store, a cache), so that a sound file of another one is told from a damaged one. Where it stands:

YAML, text     a comment: `# of WHAT sha256 DIGITS`
JSON           an entry of its own
safetensors    an entry of `__metadata__`; of ONNX, of `metadata_props`
other bytes    a line after them: `with_trailer`, `without_trailer`
JSON lines     the digest of each line and of the one before it, as its last entry: `sealed_lines`

Who rewrites a file and its seal is not found out: this is against accidents, not against forgers.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .documents import parse_json

WORD, FIELD = b" sha256 ", "sha256"
ZEROS = "0" * 64
_SEAL = re.compile(rb"of ([!-~]*) sha256 ([0-9a-f]{64})")
_LINE = re.compile(r'"sha256": "([0-9a-f]{64})"}$')
_LONGEST = 256  # of what a seal names


def digest(*parts: bytes | bytearray | memoryview | str) -> str:
    """The SHA-256 of some parts one after the other, in hexadecimal digits."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
    return whole.hexdigest()


def blank_seal(what: str) -> str:
    """A seal to be put into a file, which `seal` fills in.

    Args:
        what: names the thing that the file is a part of: printable ASCII without blanks.
    """
    return f"of {what} sha256 {ZEROS}"


def seal(content: bytes) -> bytes:
    """Fill in the blank seal that a file has.

    >>> file = seal(b"a: 1\\n# " + blank_seal("run").encode())
    >>> check_seal(file)
    'run'
    >>> check_seal(file.replace(b"1", b"2"))
    Traceback (most recent call last):
        ...
    ValueError: differs from the SHA-256 that it carries

    Raises:
        ValueError: it has none, or several.
    """
    found = _find(content)
    if found is None or found[2] != ZEROS:
        raise ValueError("has no seal to fill in")
    start = found[1]
    return b"".join([content[:start], digest(content).encode(), content[start + 64 :]])


def check_seal(content: bytes) -> str | None:
    """See that a file is as it was sealed, to the bit.

    Returns:
        The thing that it is a part of; None for a file without a seal, which proves nothing.

    Raises:
        ValueError: it is not; what is wrong, to be said of the file.
    """
    found = _find(content)
    if found is None:
        return None
    what, start, digits = found
    view = memoryview(content)
    if digest(view[:start], ZEROS, view[start + 64 :]) != digits:
        raise ValueError("differs from the SHA-256 that it carries")
    return what


def with_trailer(content: bytes, what: str) -> bytes:
    """Bytes with a sealed line after them."""
    return seal(content + f"\n{blank_seal(what)}\n".encode())


def without_trailer(content: bytes) -> tuple[bytes, str | None]:
    """What `with_trailer` was given: the bytes, and None for what has no such line.

    Raises:
        ValueError: they are not as they were sealed.
    """
    what = check_seal(content)
    if what is None:
        return content, None
    return content[: -len(f"\n{blank_seal(what)}\n")], what


def sealed_line(entries: Mapping[str, Any], before: str) -> tuple[str, str]:
    """A line of JSON that carries a digest of itself and of what stands before it.

    Args:
        entries: of the line.
        before: the digest of the line before; of the first, what the file is a part of.

    Returns:
        The line, without its end, and its digest.
    """
    blank = json.dumps({**entries, FIELD: ZEROS})
    digits = digest(before, "\n", blank)
    return f'{blank[:-66]}{digits}"}}', digits


def sealed_lines(lines: Iterable[Mapping[str, Any]], what: str) -> str:
    """A file of JSON lines, each with its digest: one that is changed, gone or moved is found."""
    text = ""
    for entries in lines:
        line, what = sealed_line(entries, what)
        text += line + "\n"
    return text


def open_lines(text: str, what: str) -> tuple[list[dict[str, Any]], bool]:
    """What `sealed_lines` was given, and whether it was.

    Lines at the end may be gone without a trace: whoever opens the file has to know how many.

    Raises:
        ValueError: a line is no JSON object, or differs from its digest.
    """
    lines = text.splitlines()
    entries = [parse_json(line) for line in lines]
    if not all(isinstance(each, dict) for each in entries):
        raise ValueError("a line is no JSON object")
    if not any(FIELD in each for each in entries):
        return entries, False
    for number, line in enumerate(lines, 1):
        found = _LINE.search(line)
        blank = f'{line[:-66]}{ZEROS}"}}'
        if not found or digest(what, "\n", blank) != found[1]:
            raise ValueError(f"line {number} differs from the SHA-256 that it carries")
        what = found[1]
    return [{k: v for k, v in each.items() if k != FIELD} for each in entries], True


def _find(content: bytes) -> tuple[str, int, str] | None:
    """What a seal names, where its digits begin, and what they are.

    Raises:
        ValueError: there are several.
    """
    seals, at = [], content.find(WORD)
    while at >= 0:
        begin = max(0, at - _LONGEST)
        if found := list(_SEAL.finditer(content, begin, at + len(WORD) + 64)):
            seals.append(found[-1])
        at = content.find(WORD, at + 1)
    if len(seals) > 1:
        raise ValueError("carries more than one SHA-256 of itself")
    return (seals[0][1].decode(), seals[0].start(2), seals[0][2].decode()) if seals else None
