"""YAML and JSON that come from outside: bounded, and of the shape that is expected."""

import json
from collections import Counter
from typing import Any, TypeVar

import msgspec
import yaml

from ..errors import one_line

MOST_CHARACTERS = 16 << 20
"""Of one document: a listing of 100,000 files has some 10 million."""
MOST_NESTED = 40
"""Brackets within brackets: nothing of ours has more than six."""
MOST_NODES = 1_000_000
"""Values in one YAML document, each alias counted as all that it stands for."""

Shape = TypeVar("Shape")


def parse_yaml(text: str | bytes) -> Any:
    """Read a YAML document of plain data.

    An alias may name what stands elsewhere, as long as the whole, written out, stays small: eight
    lines of aliases to aliases would otherwise be gigabytes.

    Raises:
        ValueError: it is none, holds a key twice, nests too deeply, is too large or is a circle;
            in one line.
    """
    text = _decoded(text)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _weigh(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(one_line(error, 160)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError("a value is not what its tag says, such as !!int") from error


def parse_json(text: str | bytes) -> Any:
    """Read a JSON document.

    Raises:
        ValueError: it is none, holds a key twice, nests too deeply or is too large; in one line.
    """
    text = _decoded(text)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError(_NESTED) from error


def check(value: Any, shape: type[Shape]) -> Shape:
    """See that plain data have a shape, and give them in it.

    Args:
        value: what `parse_yaml` or `parse_json` gave.
        shape: a dataclass, a TypedDict or any other type: the schema.

    Raises:
        ValueError: they have not; names the entry, what it should be and what it is.

    >>> check({"views": 20}, dict[str, int])
    {'views': 20}
    >>> check({"views": "20"}, dict[str, int])
    Traceback (most recent call last):
        ...
    ValueError: Expected `int`, got `str` - at `$[...]`
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ValueError(one_line(error, 160)) from error


_NESTED = f"more than {MOST_NESTED} brackets or indents within each other"


def _decoded(text: str | bytes) -> str:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text):,} characters, and at most {MOST_CHARACTERS:,} are read")
    try:
        return text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return found


class _Loader(yaml.SafeLoader):
    """A safe loader that stops before it nests too deeply."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise yaml.YAMLError(_NESTED)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _weigh(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Count the values below a node, with all that its aliases stand for."""
    if id(node) in known:
        weight = known[id(node)]
        if weight is None:
            raise ValueError("a value that holds itself")
        return weight
    known[id(node)] = None
    weight = 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise ValueError(f"the key {key.value[:40]!r} stands there twice")
                seen.add((key.tag, key.value))
            weight += _weigh(key, known) + _weigh(value, known)
    elif isinstance(node, yaml.SequenceNode):
        weight += sum(_weigh(each, known) for each in node.value)
    if weight > MOST_NODES:
        raise ValueError(f"more than {MOST_NODES:,} values, once its aliases are written out")
    known[id(node)] = weight
    return weight
