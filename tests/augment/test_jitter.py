"""Jitter: Box-Muller against a loop, moments, the cut, and never a NaN."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pointstill.augment.jitter import Jitter


def test_sample_equals_the_loop(words):
    bits = words(3, 4 * 7)
    steps = Jitter(sigma=0.5, clip=0.7).sample(bits)
    assert steps.shape == (3, 7, 3)
    assert steps.dtype == torch.float32
    for b in range(3):
        for n in range(7):
            u = [(word >> 8) / 2**24 for word in bits[b, 4 * n : 4 * n + 4].tolist()]
            radius = [math.sqrt(-2 * math.log(each + 2**-25)) for each in u[:2]]
            angle = [2 * math.pi * each for each in u[2:]]
            normal = [
                radius[0] * math.cos(angle[0]),
                radius[1] * math.cos(angle[1]),
                radius[0] * math.sin(angle[0]),
            ]
            expected = [min(max(0.5 * each, -0.7), 0.7) for each in normal]
            assert steps[b, n].tolist() == pytest.approx(expected, abs=1e-5)


def test_steps_are_normal_and_independent(words):
    steps = Jitter(sigma=2.0, clip=1e9).sample(words(20, 4 * 1000)).reshape(-1, 3).double() / 2
    for axis in range(3):
        assert stats.kstest(steps[:, axis], "norm").pvalue > 1e-4
    products = np.corrcoef(steps.T), np.corrcoef(steps.abs().T)
    for apart in products:  # 0 and 2 share a radius, not an angle
        assert np.abs(apart - np.eye(3)).max() < 5 / math.sqrt(len(steps))


def test_the_defaults_are_a_hundredth_cut_at_a_twentieth(words):
    steps = Jitter().sample(words(50, 4 * 1000))
    assert steps.std().item() == pytest.approx(0.01, rel=0.01)
    assert steps.mean().item() == pytest.approx(0, abs=5 * 0.01 / math.sqrt(steps.numel()))
    assert steps.abs().max() <= 0.05


def test_steps_are_cut(words):
    steps = Jitter(sigma=1.0, clip=0.5).sample(words(5, 4 * 100))
    assert steps.abs().max() == 0.5
    assert (steps.abs() == 0.5).double().mean() == pytest.approx(2 * stats.norm.sf(0.5), abs=0.06)


@pytest.mark.parametrize("first", [0, 1, 255, 256, 2**32 - 257, 2**32 - 1])
def test_the_ends_of_the_range_give_finite_steps(first):
    ends = torch.tensor([0, 2**30, 2**31, 2**32 - 1])
    bits = torch.cartesian_prod(torch.tensor([first]), ends, ends, ends).reshape(1, -1)
    steps = Jitter(sigma=1.0, clip=1e9).sample(bits)
    assert steps.isfinite().all()
    assert steps.abs().max() <= math.sqrt(-2 * math.log(2**-25)) + 1e-5


def test_apply_equals_the_loop(points, words):
    steps = Jitter().sample(words(5, 44))
    result = Jitter().apply(points, steps)
    for b in range(5):
        for n in range(11):
            for axis in range(3):
                assert result[b, n, axis] == points[b, n, axis] + steps[b, n, axis]


def test_no_sigma_changes_nothing(points, words):
    assert torch.equal(
        Jitter(sigma=0.0).apply(points, Jitter(sigma=0.0).sample(words(5, 44))), points
    )


def test_lanes_are_one_block_a_point():
    assert Jitter().lanes(11) == 44
