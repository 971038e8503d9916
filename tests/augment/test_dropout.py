"""Dropout: which points are lost, how many, and what stands in their place."""

import pytest
import torch
from scipy import stats

from pointstill.augment.dropout import Dropout


def test_sample_equals_the_loop(words):
    bits = words(6, 1 + 30)
    lost = Dropout(most=0.6).sample(bits)
    assert lost.shape == (6, 30)
    assert lost.dtype == torch.bool
    for b in range(6):
        u = [(word >> 8) / 2**24 for word in bits[b].tolist()]
        assert lost[b].tolist() == [each < 0.6 * u[0] for each in u[1:]]


def test_the_lost_fraction_is_uniform_up_to_most(words):
    lost = Dropout(most=0.5).sample(words(2000, 1 + 1000)).double().mean(dim=1)
    assert lost.max() < 0.5 + 0.08
    assert lost.mean() == pytest.approx(0.25, abs=0.02)
    assert stats.kstest(lost, "uniform", (0, 0.5)).statistic < 0.05


def test_apply_equals_the_loop(points, words):
    lost = Dropout(most=1.0).sample(words(5, 12))
    result = Dropout(most=1.0).apply(points, lost)
    assert lost.any()
    for b in range(5):
        for n in range(11):
            expected = points[b, 0] if lost[b, n] else points[b, n]
            assert torch.equal(result[b, n], expected)


def test_a_lost_first_point_stays(points):
    result = Dropout().apply(points, torch.ones(5, 11, dtype=torch.bool))
    assert torch.equal(result, points[:, :1].expand(5, 11, 3))


def test_nothing_lost_changes_nothing(points, words):
    assert torch.equal(Dropout().apply(points, torch.zeros(5, 11, dtype=torch.bool)), points)
    assert not Dropout(most=0.0).sample(words(5, 12)).any()


def test_lanes_are_the_fraction_and_one_a_point():
    assert Dropout().lanes(11) == 12
