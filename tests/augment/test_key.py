"""Keys: every draw named once, whatever stands beside it in the batch."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pointstill.augment.key import Key, uniform


def key(shapes, *, seed=1, split="train", view=2, operation="scale#0") -> Key:
    return Key(seed, split, view, torch.tensor(shapes), operation)


def word_of(philox, lane, shape, *, seed=1, split="train", view=2, operation="scale#0") -> int:
    """One word, the long way."""
    stream = int.from_bytes(hashlib.sha256(f"{split}/{operation}".encode()).digest()[:4], "little")
    halves = (seed % 2**32, seed // 2**32 % 2**32)
    return philox((lane // 4, shape, view, stream), halves)[lane % 4]


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    lanes=st.integers(1, 9),
    seed=st.integers(0, 2**64 - 1),
    view=st.integers(0, 2**32 - 1),
    split=st.sampled_from(["train", "test"]),
    operation=st.sampled_from(["scale#0", "scale#1", "jitter#0"]),
)
def test_bits_are_named_by_seed_split_operation_view_shape_and_lane(
    philox, shapes, lanes, seed, view, split, operation
):
    names = {"seed": seed, "split": split, "view": view, "operation": operation}
    bits = key(shapes, **names).bits(lanes)
    assert bits.shape == (len(shapes), lanes)
    assert bits.dtype == torch.int64
    assert bits.tolist() == [
        [word_of(philox, lane, shape, **names) for lane in range(lanes)] for shape in shapes
    ]


def test_another_name_is_another_stream():
    names = [
        {},
        {"seed": 0},
        {"seed": 1 + 2**32},
        {"split": "test"},
        {"view": 3},
        {"operation": "scale#1"},
        {"operation": "shift#0"},
        {"operation": "resample#0"},
    ]
    streams = [set(key([0, 1, 2], **name).bits(64).flatten().tolist()) for name in names]
    for left, right in combinations(streams, 2):
        assert not left & right  # 192 words of 2^32 each meet once in 10^5 tries
    rows = key([0, 1, 2]).bits(64)
    assert len(rows.unique()) == rows.numel()


def test_bits_do_not_depend_on_the_batch():
    together = key([7, 0, 3, 5]).bits(10)
    for place, shape in enumerate([7, 0, 3, 5]):
        assert torch.equal(key([shape]).bits(10)[0], together[place])
    assert torch.equal(key([5, 7]).bits(10), together[[3, 0]])


def test_fewer_lanes_are_the_first_of_more():
    many = key([4, 9]).bits(23)
    for lanes in range(1, 23):
        assert torch.equal(key([4, 9]).bits(lanes), many[:, :lanes])


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=6), data=st.data())
def test_blocks_are_bits_row_by_row(counts, data):
    shapes = data.draw(st.lists(st.integers(0, 99), min_size=len(counts), max_size=len(counts)))
    words, block, place = key(shapes).blocks(torch.tensor(counts))
    expected = [key([shape]).bits(4 * n)[0] for shape, n in zip(shapes, counts, strict=True)]
    assert words.flatten().tolist() == torch.cat(expected).tolist()
    assert place.tolist() == [row for row, n in enumerate(counts) for _ in range(n)]
    assert block.tolist() == [i for n in counts for i in range(n)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_uniform_is_the_top_24_bits_exactly(bits):
    numbers = uniform(torch.tensor(bits))
    assert numbers.dtype == torch.float32
    assert numbers.double().tolist() == [(word >> 8) / 2**24 for word in bits]


def test_uniform_never_reaches_one():
    assert uniform(torch.tensor([0, 2**32 - 1])).tolist() == [0, 1 - 2.0**-24]


def test_uniforms_are_uniform_and_their_lanes_independent():
    numbers = uniform(key(range(5000)).bits(4)).double().numpy()
    assert numbers.mean() == pytest.approx(1 / 2, abs=5 * np.sqrt(1 / 12 / numbers.size))
    assert numbers.var() == pytest.approx(1 / 12, abs=5 * np.sqrt(1 / 180 / numbers.size))
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-4
    apart = np.corrcoef(np.concatenate((numbers, np.roll(numbers, 1, axis=0)), axis=1).T)
    assert np.abs(apart - np.eye(8)).max() < 5 / np.sqrt(len(numbers))
