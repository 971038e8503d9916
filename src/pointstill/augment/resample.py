"""Draw N points of each cloud, at random and without repetition while the cloud lasts."""

import numpy as np
import torch
from torch import Tensor

from ..points.onnx_nodes import divided
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
    if sizes.device.type == "cpu":
        return _cloud_by_cloud(key, sizes, count)
    return _all_at_once(key, sizes, count)


def _cloud_by_cloud(key: Key, sizes: Tensor, count: int) -> Tensor:
    """For a CPU: with the index below its draw, NumPy's fast sort of numbers is stable."""
    words, block, _ = key.blocks((sizes + 3) // 4)
    lanes = block[:, None] * 4 + torch.arange(4)
    keys = ((words >> 8 << 32) + lanes).flatten().numpy()
    drawn = np.empty((len(sizes), count), np.int64)
    start = 0
    for row, size in zip(drawn, sizes.tolist(), strict=True):
        mine = keys[start : start + size]  # without the rest of the last block
        mine.sort()
        for begin in range(0, count, size):  # again and again, if the cloud has fewer
            row[begin : begin + size] = mine[: count - begin]
        start += -(-size // 4) * 4
    drawn &= 0xFFFFFFFF
    return torch.from_numpy(drawn)


def _all_at_once(key: Key, sizes: Tensor, count: int) -> Tensor:
    """For a GPU: one stable sort of the whole batch."""
    words, block, place = key.blocks((sizes + 3) // 4)
    lane = block[:, None] * 4 + torch.arange(4, device=sizes.device)
    used = lane < sizes[place][:, None]
    order = torch.argsort(((place[:, None] << 24) + (words >> 8))[used], stable=True)
    start = torch.cumsum(sizes, 0) - sizes
    wanted = torch.arange(count, device=sizes.device) % sizes[:, None]
    return lane[used][order[start[:, None] + wanted]]


def stride(sizes: Tensor, count: int) -> Tensor:
    """The draw of evaluation and deployment: evenly spaced places, no randomness.

    Returns:
        (B, count) int64: `i * size // count`, so that a cloud of `count` points is taken as it is.
    """
    return divided(torch.arange(count, device=sizes.device) * sizes[:, None], count)
