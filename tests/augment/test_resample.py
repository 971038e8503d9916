"""Drawing points, against a loop that sorts each cloud's draws."""

from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pointstill.augment import resample
from pointstill.augment.key import Key


def key(shapes, view=0) -> Key:
    return Key(3, "train", view, torch.tensor(shapes), "resample#0")


def draw(shapes, sizes, count, view=0) -> list[list[int]]:
    what = key(shapes, view), torch.tensor(sizes), count
    indices = resample.sample(*what)
    assert indices.shape == (len(shapes), count)
    assert indices.dtype == torch.int64
    # A GPU sorts in its own way, and draws the same.
    assert torch.equal(resample._all_at_once(*what), indices)
    return indices.tolist()


def oracle(shape: int, size: int, count: int) -> list[int]:
    """Python's sort is stable."""
    words = key([shape]).bits(size)[0].tolist()
    order = sorted(range(size), key=lambda i: words[i] >> 8)
    return [order[i % size] for i in range(count)]


Sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(sizes=Sizes, count=st.integers(1, 90), data=st.data())
def test_equals_the_loop(sizes, count, data):
    shapes = data.draw(st.lists(st.integers(0, 9999), min_size=len(sizes), max_size=len(sizes)))
    expected = [oracle(shape, size, count) for shape, size in zip(shapes, sizes, strict=True)]
    assert draw(shapes, sizes, count) == expected


def test_equal_draws_keep_their_order(monkeypatch):
    def few(self, block, shape):  # two different draws alone: ties everywhere
        # Apart in the lowest bit that counts; the eight below it must not.
        return tuple(word >> 31 << 8 | word & 0xFF for word in real(self, block, shape))

    real = Key._words
    monkeypatch.setattr(Key, "_words", few)
    shapes, sizes = [5, 1, 8], [30, 12, 21]
    for row, shape, size in zip(draw(shapes, sizes, 30), shapes, sizes, strict=True):
        high = [word >> 8 for word in key([shape]).bits(size)[0].tolist()]
        order = [i for i in range(size) if not high[i]] + [i for i in range(size) if high[i]]
        assert row == [order[i % size] for i in range(30)]


def test_no_point_twice_while_the_cloud_lasts():
    for row in draw([0, 1, 2], [50, 100, 60], 50):
        assert len(set(row)) == 50


def test_a_small_cloud_is_shown_again_from_the_start():
    (row,) = draw([6], [8], 21)
    assert sorted(row[:8]) == list(range(8))
    assert row[8:16] == row[:8]
    assert row[16:] == row[:5]


@pytest.mark.parametrize("few", [1, 7, 8, 30])
def test_fewer_points_are_the_first_of_more(few):
    shapes, sizes = [4, 2, 9], [100, 8, 31]
    assert draw(shapes, sizes, few) == [row[:few] for row in draw(shapes, sizes, 64)]


def test_a_ragged_batch_equals_single_ones():
    shapes, sizes = [3, 0, 11, 7], [17, 5, 40, 8]
    together = draw(shapes, sizes, 12)
    for place in range(4):
        assert draw(shapes[place : place + 1], sizes[place : place + 1], 12) == [together[place]]
    assert draw(shapes[::-1], sizes[::-1], 12) == together[::-1]


def test_views_and_shapes_are_drawn_apart():
    rows = [*draw(range(20), [30] * 20, 30), *draw(range(20), [30] * 20, 30, view=1)]
    assert len(set(map(tuple, rows))) == 40


def test_every_ordered_subset_is_as_likely():
    rows = draw(range(8000), [5] * 8000, 2)
    seen = Counter(map(tuple, rows))
    observed = [seen[pair] for pair in permutations(range(5), 2)]
    assert sum(observed) == 8000
    assert stats.chisquare(observed).pvalue > 1e-4


@settings(max_examples=60, deadline=None)
@given(sizes=Sizes, count=st.integers(1, 90))
def test_stride_is_evenly_spaced(sizes, count):
    rows = resample.stride(torch.tensor(sizes), count).tolist()
    assert rows == [[i * size // count for i in range(count)] for size in sizes]
    for row, size in zip(rows, sizes, strict=True):
        assert row == sorted(row)
        seen = Counter(row)
        if count >= size:
            assert set(seen) == set(range(size))
        assert max(seen.values()) <= -(-count // size)


def test_stride_takes_a_cloud_of_as_many_points_as_it_is():
    assert resample.stride(torch.tensor([16]), 16).tolist() == [list(range(16))]
