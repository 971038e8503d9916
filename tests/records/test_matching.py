"""Differences between what was recorded and what is at hand, by hand."""

from pathlib import Path

import pytest

from pointstill.errors import RecordsError
from pointstill.records.matching import check_same, differences

MADE = {
    "classes": ["a", "b"],
    "data": {"fingerprint": "12ab", "split": "train"},
    "augment": {"seed": 0, "operations": [{"name": "scale", "version": 1}]},
    "points": 1024,
}


def test_the_same_is_the_same():
    assert differences(MADE, MADE) == []
    assert differences({}, {}) == []
    assert differences({"a": 1, "b": 2.0}, {"b": 2, "a": 1.0}) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"points": 512}, ["points: 1024 in the records, now 512"]),
        ({"classes": ["b", "a"]}, ["classes: ['a', 'b'] in the records, now ['b', 'a']"]),
        (
            {"data": {"fingerprint": "34cd", "split": "test"}},
            [
                "data.fingerprint: 12ab in the records, now 34cd",
                "data.split: train in the records, now test",
            ],
        ),
        (
            {"augment": {"seed": 0, "operations": [{"name": "scale", "version": 2}]}},
            [
                "augment.operations: [{'name': 'scale', 'version': 1}] in the records, "
                "now [{'name': 'scale', 'version': 2}]"
            ],
        ),
        ({"data": {"fingerprint": "12ab"}}, ["data.split: train in the records, now nothing"]),
        ({"data": "12ab"}, None),
        ({"seed": 3}, ["seed: nothing in the records, now 3"]),
    ],
)
def test_every_leaf_that_differs_is_named(now, said):
    found = differences(MADE, MADE | now)
    if said is None:
        assert len(found) == 1
    else:
        assert found == said


def test_what_is_long_is_cut_in_the_middle():
    (found,) = differences({"sha": "a" * 64}, {"sha": "b" * 64})
    assert found == f"sha: {'a' * 24}...{'a' * 24} in the records, now {'b' * 24}...{'b' * 24}"


def test_refusing_names_the_differences_and_the_fix():
    with pytest.raises(RecordsError) as caught:
        check_same(Path("r.zarr"), MADE, {"points": 512, "classes": ["c"]}, "record again")
    assert str(caught.value) == (
        "r.zarr was made from something else (classes: ['a', 'b'] in the records, now ['c']; "
        "points: 1024 in the records, now 512): record again"
    )


def test_only_what_is_asked_now_counts():
    check_same(Path("r.zarr"), MADE, {"points": 1024}, "record again")
    with pytest.raises(RecordsError, match="batch: None in the records, now 4"):
        check_same(Path("r.zarr"), MADE, {"batch": 4}, "record again")
