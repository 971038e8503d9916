"""Scale against a loop."""

import numpy as np
import pytest
import torch

from pointstill.augment.scale import Scale


def test_sample_spreads_words_over_the_range():
    bits = torch.tensor([[0, 2**31, 2**32 - 1], [255, 256, 2**30]])
    factors = Scale(low=0.5, high=2.5).sample(bits)
    expected = [[0.5 + 2 * (word >> 8) / 2**24 for word in row] for row in bits.tolist()]
    assert factors.dtype == torch.float32
    np.testing.assert_allclose(factors, expected, rtol=1e-6)


def test_the_defaults_are_two_thirds_to_three_halves(words):
    factors = Scale().sample(words(4000, 3))
    assert factors.min() >= 2 / 3 - 1e-6
    assert factors.max() <= 3 / 2
    mean = (2 / 3 + 3 / 2) / 2
    assert factors.mean(dim=0).tolist() == pytest.approx([mean] * 3, abs=0.02)


def test_apply_equals_the_loop(points, words):
    factors = Scale().sample(words(5, 3))
    result = Scale().apply(points, factors)
    for b in range(5):
        for n in range(11):
            for axis in range(3):
                assert result[b, n, axis] == points[b, n, axis] * factors[b, axis]


def test_factors_of_one_change_nothing(points):
    assert torch.equal(Scale().apply(points, torch.ones(5, 3)), points)
