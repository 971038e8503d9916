"""Views of nothing in a batch: whoever sees a part of it sees both kinds."""

import pytest
import torch
from torch import Tensor

from pointstill.training.loop import _asked


@pytest.mark.parametrize("count", [2, 5, 8, 32])
def test_each_half_of_a_batch_has_its_share_of_nothing(count: int) -> None:
    """`stillnet-m` gives each of its members one half: `tensor_split`."""
    something = torch.arange(1.0, count + 1)[:, None, None].expand(-1, 4, 3)
    nothing = -something[::2]
    halves: list[Tensor] = []

    def model(points: Tensor) -> Tensor:
        halves.extend(points[:, 0, 0].tensor_split(2))
        return points[:, 0, :2]

    known, unknown = _asked(model, something, nothing)
    assert unknown is not None
    torch.testing.assert_close(known, something[:, 0, :2])
    torch.testing.assert_close(unknown, nothing[:, 0, :2])
    for half in halves:
        assert abs(float((half < 0).sum()) - len(half) / 3) <= 1


def test_without_views_of_nothing_the_batch_is_as_it_was() -> None:
    something = torch.rand(3, 4, 3)
    known, unknown = _asked(lambda points: points[:, 0], something, None)
    assert unknown is None
    assert torch.equal(known, something[:, 0])
