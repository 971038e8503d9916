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


def test_one_seed_without_groups_says_nothing() -> None:
    found = difference([outcome([1, 1])], [outcome([0, 0])])
    assert found.mean == 100
    assert not found.clear
