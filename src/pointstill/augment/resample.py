"""Draw N points of each cloud, at random and without repetition while the cloud lasts."""

import torch
from torch import Tensor

from .key import Key

VERSION = 1


def sample(key: Key, sizes: Tensor, count: int) -> Tensor:
    """Which points of each cloud a view shows.

    Each cloud's points are ordered by a random draw (stable sort); the first `count` are taken,
    from the start again when the cloud has fewer. A smaller count shows a subset of a larger.

    Args:
        key: names the draws.
        sizes: (B,) points of each cloud.
        count: points to draw.

    Returns:
        (B, count) int64, indices into each cloud.
    """
    words, place, lane = key.ragged_bits(sizes)
    order = torch.argsort((place << 24) | (words >> 8), stable=True)
    start = torch.cumsum(sizes, 0) - sizes
    wanted = torch.arange(count, device=sizes.device) % sizes[:, None]
    return lane[order[start[:, None] + wanted]]


def stride(sizes: Tensor, count: int) -> Tensor:
    """The draw of evaluation and deployment: evenly spaced places, no randomness.

    Returns:
        (B, count) int64: `i * size // count`, so that a cloud of `count` points is taken as it is.
    """
    return torch.arange(count, device=sizes.device) * sizes[:, None] // count
