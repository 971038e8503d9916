"""Intervals by drawing groups anew, against SciPy's bootstrap and against simulated groups."""

import numpy as np
import pytest
from scipy import stats

from pointstill.evaluation.group_bootstrap import DRAWS, percentile_interval, resampled_means
from pointstill.evaluation.scoring import uncertainty


def people(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Right answers of people with 4 to 30 scans each, who differ much in how hard they are."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(4, 31, count)
    hard = np.repeat(draw.beta(2, 1, count), sizes)
    names = np.repeat([f"person {number}" for number in range(count)], sizes)
    order = draw.permutation(len(names))
    return (draw.random(len(names)) < hard)[order], names[order].tolist()


@pytest.mark.parametrize("values", ["right", "difference"])
def test_like_scipys_bootstrap(values):
    right, names = people(12)
    figures = right.astype(float)
    if values == "difference":
        figures -= np.roll(figures, 7)
    groups = sorted(set(names))
    total = np.array([figures[np.array(names) == name].sum() for name in groups])
    size = np.array([names.count(name) for name in groups])

    def mean(total, size, axis=-1):
        return total.sum(axis=axis) / size.sum(axis=axis)

    expected = stats.bootstrap(
        (total, size),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    means = resampled_means(figures, names)
    assert means is not None
    assert len(means) == DRAWS
    # 2,000 draws tell an end to about a twentieth of the standard error.
    near = pytest.approx(tuple(expected.confidence_interval), abs=0.15 * expected.standard_error)
    assert tuple(percentile_interval(means)) == near
    assert means.std() == pytest.approx(expected.standard_error, rel=0.06)


def test_groups_of_one_are_shapes():
    right = np.arange(200) % 5 > 0
    low, high = uncertainty(right, [str(number) for number in range(200)])[1] or (0, 0)
    wilson = uncertainty(right, None)[1]
    assert [low, high] == pytest.approx(wilson, abs=0.01)


def test_groups_that_differ_widen_the_interval():
    right, names = people(12)
    error, interval = uncertainty(right, names)
    alone_error, alone = uncertainty(right, None)
    assert interval
    assert alone
    assert interval[1] - interval[0] > 1.5 * (alone[1] - alone[0])
    assert error
    assert alone_error
    assert error > 1.5 * alone_error
    assert interval[0] < right.mean() < interval[1]


@pytest.mark.parametrize(("count", "told"), [(4, False), (5, True)])
def test_few_groups_tell_nothing(count, told):
    right, names = people(count)
    assert (resampled_means(right, names) is not None) == told
    error, interval = uncertainty(right, names)
    assert (error is not None) == (interval is not None) == told


def test_the_same_draws_every_time():
    right, names = people(9)
    first, again = resampled_means(right, names), resampled_means(right, names)
    np.testing.assert_array_equal(first, again)
    # Of two models the same people are drawn, so that what they share is in no difference.
    other = resampled_means(~right, names)
    assert first is not None
    assert other is not None
    np.testing.assert_allclose(first + other, 1)
