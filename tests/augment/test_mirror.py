"""Mirror against a loop."""

from collections import Counter

import pytest
import torch
from scipy import stats

from pointstill.augment.mirror import Mirror


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_signs_are_the_highest_bits_and_leave_up(up):
    bits = torch.tensor([[0, 2**31 - 1, 2**31], [2**32 - 1, 2**31, 5]])
    expected = [[1, 1, -1], [-1, -1, 1]]
    for row in expected:
        row["xyz".index(up)] = 1
    signs = Mirror(up).sample(bits)
    assert signs.dtype == torch.float32
    assert signs.tolist() == expected


def test_the_four_mirrorings_are_as_likely(words):
    seen = Counter(map(tuple, Mirror("y").sample(words(4000, 3)).tolist()))
    assert set(seen) == {(x, 1, z) for x in (1, -1) for z in (1, -1)}
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


def test_apply_equals_the_loop(points, words):
    signs = Mirror("z").sample(words(5, 3))
    result = Mirror("z").apply(points, signs)
    for b in range(5):
        for n in range(11):
            for axis in range(3):
                assert result[b, n, axis] == points[b, n, axis] * signs[b, axis]
    assert torch.equal(result[..., 2], points[..., 2])


def test_positive_signs_change_nothing(points):
    assert torch.equal(Mirror("z").apply(points, torch.ones(5, 3)), points)
