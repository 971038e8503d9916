"""What several runs say together: against figures worked by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from studies.outcome import Outcome, difference, mean_and_spread, packed, unpacked


def outcome(right: list[int], groups: list[tuple[str, int]] | None = None) -> Outcome:
    split = {
        "right": packed([bool(each) for each in right]),
        "shapes": len(right),
        "groups": groups,
    }
    return Outcome({"splits": {"test": split}})


def test_bits_come_back() -> None:
    right = np.random.default_rng(0).random(21) < 0.5
    assert unpacked(packed(right.tolist()), 21).tolist() == right.tolist()


def test_mean_and_spread_by_hand() -> None:
    runs = [outcome([1, 1, 1, 0]), outcome([1, 1, 0, 0])]  # 75 and 50 percent
    assert mean_and_spread(runs) == "62.5 ± 17.7"


def test_over_seeds_the_interval_is_students() -> None:
    draw = np.random.default_rng(1)
    one = [outcome(list(draw.random(200) < 0.8)) for _ in range(4)]
    other = [outcome(list(draw.random(200) < 0.7)) for _ in range(4)]
    found = difference(one, other)
    expected = ttest_1samp(found.by_seed, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_over_groups_people_are_drawn_and_not_samples() -> None:
    """Two people, one of whom gains everything: the interval runs from 0 to 100."""
    groups = [("a", 10), ("b", 10)]
    one, other = outcome([1] * 10 + [0] * 10, groups), outcome([0] * 20, groups)
    found = difference([one], [other])
    assert found.mean == pytest.approx(50)
    assert (found.low, found.high) == pytest.approx((0, 100))
    assert not found.clear


def test_a_group_that_is_left_out_counts_nowhere() -> None:
    groups = [("a", 10), ("b", 10), ("c", 10)]
    one, other = outcome([1] * 10 + [0] * 20, groups), outcome([0] * 30, groups)
    assert difference([one], [other]).mean == pytest.approx(100 / 3)
    assert difference([one], [other], without=["a"]).mean == 0


def test_over_groups_seeds_are_drawn_as_well() -> None:
    """All people gain with one seed and none with the other: 0, 50 or 100."""
    groups = [(name, 4) for name in "abcdefgh"]
    one = [outcome([1] * 32, groups), outcome([0] * 32, groups)]
    found = difference(one, [outcome([0] * 32, groups)] * 2)
    assert (found.mean, found.low, found.high) == pytest.approx((50, 0, 100))


def test_groups_of_unequal_size_count_by_their_shapes() -> None:
    """Against a loop that draws people and seeds one by one."""
    draw = np.random.default_rng(2)
    groups = [(f"p{place}", int(size)) for place, size in enumerate(draw.integers(5, 60, 9))]
    total = sum(size for _, size in groups)
    better = np.repeat(draw.uniform(0.3, 0.9, 9), [size for _, size in groups])
    one = [outcome(list(draw.random(total) < better), groups) for _ in range(3)]
    other = [outcome(list(draw.random(total) < 0.5), groups) for _ in range(3)]
    found = difference(one, other)
    ends = np.cumsum([0, *(size for _, size in groups)])
    means = []
    for _ in range(4000):
        seeds, gains = draw.integers(0, 3, 3), []
        people = draw.integers(0, 9, 9)
        for seed in seeds:
            gain = one[seed].right().astype(float) - other[seed].right()
            gains.append(np.concatenate([gain[ends[who] : ends[who + 1]] for who in people]).mean())
        means.append(100 * np.mean(gains))
    expected = np.quantile(means, (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1)
    assert found.mean == pytest.approx(
        np.mean([a.accuracy() for a in one]) - np.mean([b.accuracy() for b in other])
    )


def test_one_seed_without_groups_says_nothing() -> None:
    found = difference([outcome([1, 1])], [outcome([0, 0])])
    assert found.mean == 100
    assert not found.clear
