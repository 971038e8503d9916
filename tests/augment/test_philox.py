"""Philox4x32-10 against the vectors of Random123, and against the published rounds in integers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pointstill.augment.key import philox4x32

ONES = 0xFFFFFFFF
PI = ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
VECTORS = {
    "zeros": ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (*PI, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
}

Word = st.integers(0, ONES)
Words4 = st.tuples(Word, Word, Word, Word)
Words2 = st.tuples(Word, Word)


def by_numpy(counters, key, rounds=10) -> list[tuple[int, ...]]:
    columns = tuple(np.array(column, np.int64) for column in zip(*counters, strict=True))
    words = philox4x32(columns, key, rounds)
    assert all(word.dtype == np.int64 for word in words)
    return list(zip(*(word.tolist() for word in words), strict=True))


def by_torch(counters, key, rounds=10) -> list[tuple[int, ...]]:
    columns = tuple(torch.tensor(column) for column in zip(*counters, strict=True))
    words = philox4x32(columns, key, rounds)
    assert all(word.dtype == torch.int64 for word in words)
    return list(zip(*(word.tolist() for word in words), strict=True))


@pytest.mark.parametrize("make", [by_numpy, by_torch])
@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_random123(philox, name, make):
    counter, key, expected = VECTORS[name]
    assert make([counter], key) == [expected]
    assert philox(counter, key) == expected


@settings(max_examples=60, deadline=None)
@given(counters=st.lists(Words4, min_size=1, max_size=20), key=Words2)
def test_equals_python_integers(philox, counters, key):
    expected = [philox(counter, key) for counter in counters]
    with np.errstate(all="raise"):
        assert by_numpy(counters, key) == expected
    assert by_torch(counters, key) == expected


@settings(max_examples=20, deadline=None)
@given(counter=Words4, key=Words2, rounds=st.integers(0, 12))
def test_any_number_of_rounds(philox, counter, key, rounds):
    assert by_numpy([counter], key, rounds) == [philox(counter, key, rounds)]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_counters_broadcast(philox, library):
    columns = (np.arange(4)[None], np.array([[5], [ONES]]), np.array(7), np.array(9))
    if library == "torch":
        columns = tuple(torch.from_numpy(np.asarray(column)) for column in columns)
    words = philox4x32(columns, (1, 2))
    for row, shape in enumerate((5, ONES)):
        for block in range(4):
            expected = philox((block, shape, 7, 9), (1, 2))
            assert tuple(int(word[row, block]) for word in words) == expected


def test_the_arguments_are_left_alone():
    columns = tuple(torch.arange(5) for _ in range(4))
    philox4x32(columns, (3, 4))
    assert all(column.tolist() == [0, 1, 2, 3, 4] for column in columns)


def test_counters_give_different_blocks_of_balanced_bits():
    counter = (np.arange(20_000), *(np.zeros(20_000, np.int64) for _ in range(3)))
    words = np.stack(philox4x32(counter, (0, 0)), axis=1)
    assert len(np.unique(words, axis=0)) == 20_000
    ones = (words[..., None] >> np.arange(32) & 1).mean(axis=(0, 1))
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / np.sqrt(words.size)  # 5 standard errors a bit
