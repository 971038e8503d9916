"""Groups of points, and what an answer loses without each."""

import numpy as np
import pytest
from scipy.special import log_softmax

from pointstill.deployment.serving.parts import grouped, importance, log_odds


def test_groups_are_those_nearest_to_points_far_from_one_another():
    points = np.random.default_rng(0).normal(size=(300, 3))
    picks = [0]
    while len(picks) < 64:
        gaps = [min(np.linalg.norm(point - points[pick]) for pick in picks) for point in points]
        picks.append(int(np.argmax(gaps)))
    expected = [
        np.argmin([np.linalg.norm(point - points[pick]) for pick in picks]) for point in points
    ]
    np.testing.assert_array_equal(grouped(points), expected)


def test_points_in_the_same_place_make_no_groups_of_nothing():
    points = np.repeat(np.eye(3), 20, axis=0)
    group = grouped(points)
    np.testing.assert_array_equal(np.unique(group), [0, 1, 2])
    assert len({int(each) for each in group[:20]}) == 1


def test_log_odds():
    logits = np.array([1.0, -2.0, 0.5])
    shares = np.exp(log_softmax(logits))
    for index, share in enumerate(shares):
        assert log_odds(logits, index) == pytest.approx(np.log(share / (1 - share)))
    assert log_odds(np.array([3.0]), 0) == 0


def test_importance_is_what_is_lost():
    group = np.repeat(np.arange(4), 10)
    worth = np.array([3.0, 0.0, -1.0, 0.5])

    def classify(kept):
        there = np.unique(group[kept])
        return np.array([worth[there].sum(), 0.0], np.float32)

    np.testing.assert_allclose(importance(classify, group), worth, atol=1e-6)


def test_too_few_points_left():
    group = np.array([0] * 10 + [1] * 3)
    calls = []

    def classify(kept):
        calls.append(kept.sum())
        return np.array([1.0, 0.0], np.float32)

    assert importance(classify, group) == [0.0, 0.0]
    assert calls == [13, 10]  # without the first group three would be left
