"""Keyed draws: against NumPy's own generator, and by their properties."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointstill.data.keyed_draws import permutation, shuffled, stratified, uniforms
from pointstill.errors import UsageError


def test_uniforms_are_those_of_numpys_generator_on_the_same_key():
    key = int.from_bytes(hashlib.sha256(b"mesh:chair.off").digest()[:16], "little")
    expected = np.random.Generator(np.random.Philox(key=key)).random(1000)
    np.testing.assert_array_equal(uniforms("mesh:chair.off", 1000), expected)


def test_uniforms_are_pinned():
    # A change here changes every sampled mesh: raise the version of the readers.
    digest = hashlib.sha256(uniforms("pinned", 100).astype("<f8").tobytes()).hexdigest()
    assert digest.startswith("ae17dc9649b7c065")


def test_a_longer_draw_begins_with_the_shorter():
    np.testing.assert_array_equal(uniforms("a", 100)[:10], uniforms("a", 10))
    assert not np.array_equal(uniforms("a", 10), uniforms("b", 10))


def test_permutation_holds_every_index_once():
    order = permutation("key", 1000)
    assert sorted(order) == list(range(1000))
    assert order.dtype == np.int64


def test_shuffled_keeps_the_order_of_those_that_stay():
    names = [f"{i}.ply" for i in range(50)]
    order = shuffled("key", names)
    assert sorted(order) == sorted(names)
    assert order != names
    assert shuffled("key", reversed(names[::2])) == [n for n in order if n in names[::2]]
    assert shuffled("other", names) != order


def test_names_need_not_be_unicode():
    assert len(shuffled("key", ["ok", b"caf\xe9".decode("utf-8", "surrogateescape")])) == 2


labels_of = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@settings(deadline=None)
@given(labels_of, st.data())
def test_smaller_subsets_are_parts_of_larger(labels, data):
    small, large = sorted(data.draw(st.lists(st.integers(0, len(labels)), min_size=2, max_size=2)))
    a, b = stratified(labels, small, "key"), stratified(labels, large, "key")
    assert len(a) == small
    assert len(b) == large
    assert set(a) <= set(b)
    assert list(b) == sorted(set(b))


@settings(deadline=None)
@given(labels_of, st.data())
def test_every_class_is_there_when_the_count_allows(labels, data):
    classes = set(labels)
    count = data.draw(st.integers(len(classes), len(labels)))
    assert set(np.asarray(labels)[stratified(labels, count, "key")]) == classes


def test_shares_are_proportional():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    for count in (10, 55, 100, 333, 999):
        chosen = np.bincount(labels[stratified(labels, count, "key")], minlength=3)
        np.testing.assert_allclose(chosen, np.array([0.6, 0.3, 0.1]) * count, atol=1)


def test_members_are_drawn_by_the_key():
    labels = np.zeros(100, int)
    assert not np.array_equal(stratified(labels, 10, "a"), stratified(labels, 10, "b"))
    assert not np.array_equal(stratified(labels, 10, "a"), np.arange(10))


def test_a_fraction_is_a_rounded_count():
    labels = np.arange(50) % 5
    np.testing.assert_array_equal(stratified(labels, 0.3, "k"), stratified(labels, 15, "k"))
    assert len(stratified(labels, 0.001, "k")) == 1
    assert len(stratified(labels, 0.0, "k")) == 0
    assert len(stratified(labels, 1.0, "k")) == 50


@pytest.mark.parametrize(
    ("sizes", "part", "left"),
    [
        ([25, 1, 2], 0.1, [22, 1, 2]),
        ([25, 1, 2], 0.9, [1, 1, 1]),
        ([1, 1, 1], 0.5, [1, 1, 1]),
        ([100, 50, 10], 0.1, [90, 45, 9]),
    ],
)
def test_what_is_taken_away_leaves_one_of_each_class(sizes, part, left):
    """Shares worked by hand: 0.1 of 28 is 3, and the first of two is half of its class."""
    labels = np.repeat([0, 1, 2], sizes)
    taken = stratified(labels, part, "key", leave_one=True)
    rest = np.delete(labels, taken)
    assert np.bincount(rest, minlength=3).tolist() == left
    assert len(set(taken)) == len(labels) - len(rest)


@settings(deadline=None)
@given(labels_of, st.floats(0, 1))
def test_no_class_loses_its_last_shape(labels, part):
    rest = np.delete(labels, stratified(labels, part, "key", leave_one=True))
    assert set(rest) == set(labels)


@pytest.mark.parametrize("count", [-1, 11, 1.5, -0.1])
def test_impossible_counts_are_refused(count):
    with pytest.raises(UsageError, match="cannot be chosen"):
        stratified(np.zeros(10, int), count, "key")
