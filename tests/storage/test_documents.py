"""Documents from outside are bounded, and have the shape that is expected."""

from dataclasses import dataclass
from time import process_time

import pytest

from pointstill.storage.documents import MOST_CHARACTERS, check, parse_json, parse_yaml


def bomb(lines: int, each: int = 9) -> str:
    text = "a0: &a0 [lol, lol]\n"
    for line in range(1, lines):
        text += f"a{line}: &a{line} [{', '.join([f'*a{line - 1}'] * each)}]\n"
    return text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(9), "more than 1,000,000 values"),
        (bomb(30, 2), "more than 1,000,000 values"),
        ("a: &a\n" + "  <<: *a\n", "holds itself"),
        ("&a [*a]", "holds itself"),
        ("&a {b: *a}", "holds itself"),
        ("[" * 2000, "within each other"),
        ("{a: " * 2000, "within each other"),
        ("- " * 5000 + "a", "within each other"),
        ("? " * 3000, "within each other"),
        ("a: 1\na: 2", "'a' stands there twice"),
        ("a: 1\n'a': 2", "'a' stands there twice"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: [1, 2", "expected ',' or ']'"),
        ("a: *b", "undefined alias"),
        ("--- 1\n--- 2", "expected a single document"),
        ("? [1]\n: 2", "unhashable"),
        ("\x00", "special characters are not allowed"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("a" * (MOST_CHARACTERS + 1), "at most 16,777,216 are read"),
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: !!int x", "invalid literal"),
        ("a: !!binary [1]", "expected a scalar node"),
        ("a: !!int ''", "what its tag says"),
        ("a: !!timestamp x", "what its tag says"),
        ("a: 1" + "0" * 5000, "digits"),
    ],
)
def test_yaml_that_is_refused_in_a_line(text: str | bytes, reason: str) -> None:
    start = process_time()
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        parse_yaml(text)
    assert reason in str(error.value)
    assert process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# a comment alone", None),
        ("a: &a {b: 1}\nc: *a", {"a": {"b": 1}, "c": {"b": 1}}),
        (
            "a: &a {b: 1, c: 1}\nd:\n  <<: *a\n  c: 2",
            {"a": {"b": 1, "c": 1}, "d": {"b": 1, "c": 2}},
        ),
        ("﻿a: 1".encode(), {"a": 1}),
        ("[" * 39 + "]" * 39, [[]]),
        ("1: a\n2: b", {1: "a", 2: "b"}),
    ],
)
def test_yaml_that_is_read(text: str | bytes, value: object) -> None:
    found = parse_yaml(text)
    while isinstance(found, list) and found and found[0]:
        found = found[0]
    assert found == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "within each other"),
        ('{"a":' * 100_000, "within each other"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        ("{", "Expecting"),
        ("", "Expecting"),
        (b"\xff", "not UTF-8"),
        ("1" * 10_000, "digits"),
        (" " * (MOST_CHARACTERS + 1), "are read"),
    ],
)
def test_json_that_is_refused_in_a_line(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        parse_json(text)
    assert reason in str(error.value)


def test_json_that_is_read() -> None:
    assert parse_json(b'{"a": [1, null, "b"]}') == {"a": [1, None, "b"]}


@dataclass
class Example:
    views: int
    names: list[str]
    seed: int = 0


def test_a_shape() -> None:
    assert check({"views": 2, "names": ["a"]}, Example) == Example(2, ["a"])
    for wrong, reason in (
        ({"views": 2}, "missing required field `names`"),
        ({"views": True, "names": []}, "`int`, got `bool`"),
        ({"views": "2", "names": []}, "`int`, got `str`"),
        ({"views": 2, "names": [1]}, "`$.names[0]`"),
        ([], "got `array`"),
        (None, "got `null`"),
    ):
        with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
            check(wrong, Example)
        assert reason in str(error.value)
