"""Ragged clouds, and words of random bits."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pointstill.augment import Clouds

SIZES = (40, 8, 333, 57, 64, 9, 120)


@pytest.fixture(scope="session")
def philox() -> Callable[..., tuple[int, ...]]:
    """Philox4x32 of one counter, in Python's unbounded integers (Salmon et al., SC'11, 3.3)."""

    def scalar(counter: tuple[int, ...], key: tuple[int, ...], rounds: int = 10):
        for i in range(rounds):
            keys = [(key[j] + i * (0x9E3779B9, 0xBB67AE85)[j]) % 2**32 for j in range(2)]
            high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
            high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
            counter = (high1 ^ counter[1] ^ keys[0], low1, high0 ^ counter[3] ^ keys[1], low0)
        return counter

    return scalar


@pytest.fixture
def ragged() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Make clouds of the given sizes end to end: points (total, 3) float32, offsets (S + 1,)."""

    def make(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(seed)
        spread, centre = draw.uniform(0.1, 3, (len(sizes), 3)), draw.normal(size=(len(sizes), 3))
        parts = [
            centre[i] + spread[i] * draw.normal(size=(size, 3)) for i, size in enumerate(sizes)
        ]
        return np.concatenate(parts).astype(np.float32), np.cumsum([0, *sizes])

    return make


@pytest.fixture
def clouds(ragged) -> Clouds:
    """Seven clouds of 8 to 333 points."""
    return Clouds(*ragged())


@pytest.fixture
def words() -> Callable[..., Tensor]:
    """Make (rows, lanes) words of 32 random bits, from NumPy's generator."""

    def make(rows: int, lanes: int, seed: int = 0) -> Tensor:
        draw = np.random.default_rng(seed)
        return torch.from_numpy(draw.integers(0, 2**32, (rows, lanes)))

    return make


@pytest.fixture
def points() -> Tensor:
    """(5, 11, 3) points."""
    return torch.from_numpy(np.random.default_rng(7).normal(size=(5, 11, 3)).astype(np.float32))
