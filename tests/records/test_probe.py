"""The moment sums of a tile, against a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointstill.records import probe
from pointstill.records.verify import TOLERANCE


def moments(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 2, 7, 253, 256])
def test_equals_a_loop(rows):
    values = moments(rows)
    wanted = np.zeros((9, 4))
    for row in range(rows):
        wanted[0] += values[row] / rows
        for k in range(8):
            wanted[1 + k] += -values[row] if row // 2**k % 2 else values[row]
    found = probe.moment_sums(values)
    assert (found.shape, found.dtype) == ((9, 4), np.float32)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@given(st.integers(1, 256), st.data(), st.integers(0, 3), st.sampled_from([-1.0, 1.0]))
def test_a_change_in_one_view_is_as_large_in_the_sketch(rows, data, column, sign):
    row, values = data.draw(st.integers(0, rows - 1)), moments(rows)
    changed = values.copy()
    changed[row, column] += sign * 3e-5
    shift = np.abs(probe.moment_sums(changed) - probe.moment_sums(values))
    assert shift[1:, column] == pytest.approx(3e-5, abs=5e-6)
    assert shift.max() > TOLERANCE


@given(st.integers(2, 256), st.data())
def test_two_views_that_change_places_are_seen(rows, data):
    one, two = data.draw(st.lists(st.integers(0, rows - 1), min_size=2, max_size=2, unique=True))
    values = moments(rows)
    changed = values.copy()
    changed[[one, two]] = values[[two, one]]
    assert np.abs(probe.moment_sums(changed) - probe.moment_sums(values)).max() > TOLERANCE


def test_a_change_of_all_views_is_seen_and_float_error_is_not():
    values = moments(256)
    assert (
        np.abs(probe.moment_sums(values + np.float32(3e-5)) - probe.moment_sums(values)).max()
        > TOLERANCE
    )
    noise = np.random.default_rng(1).normal(0, 1.5e-7, values.shape).astype(np.float32)
    assert np.abs(probe.moment_sums(values + noise) - probe.moment_sums(values)).max() < TOLERANCE


def test_a_probe_is_a_hash_and_a_sketch():
    sums = probe.moment_sums(moments(5))
    joined = probe.join(bytes(range(32)), sums)
    assert (joined.shape, joined.dtype) == ((probe.LENGTH,), np.uint8)
    proof, back = probe.split(joined)
    assert proof == bytes(range(32))
    np.testing.assert_array_equal(back, sums)
