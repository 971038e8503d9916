"""Shift against a loop."""

import numpy as np
import pytest
import torch

from pointstill.augment.shift import Shift


def test_sample_spreads_words_over_both_sides():
    bits = torch.tensor([[0, 2**31, 2**32 - 1], [255, 256, 2**30]])
    steps = Shift(by=0.4).sample(bits)
    expected = [[(2 * (word >> 8) / 2**24 - 1) * 0.4 for word in row] for row in bits.tolist()]
    assert steps.dtype == torch.float32
    np.testing.assert_allclose(steps, expected, rtol=1e-6)
    assert steps[0, 1] == 0


def test_the_default_is_a_fifth_of_the_radius(words):
    steps = Shift().sample(words(4000, 3))
    assert steps.abs().max() <= 0.2
    assert steps.abs().max() > 0.199
    assert steps.mean(dim=0).tolist() == pytest.approx([0] * 3, abs=0.01)


def test_apply_equals_the_loop(points, words):
    steps = Shift().sample(words(5, 3))
    result = Shift().apply(points, steps)
    for b in range(5):
        for n in range(11):
            for axis in range(3):
                assert result[b, n, axis] == points[b, n, axis] + steps[b, axis]


def test_steps_of_zero_change_nothing(points):
    assert torch.equal(Shift().apply(points, torch.zeros(5, 3)), points)
