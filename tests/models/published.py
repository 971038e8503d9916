"""Reference outputs of published classifiers, under weights made by a formula."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


def fill(index: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The weights of entry `index` of a state dict: an integer hash, the same on any machine."""
    n, mask = int(np.prod(shape, dtype=np.int64)), np.uint64(0xFFFFFFFF)
    h = np.arange(n, dtype=np.uint64) * np.uint64(2654435761)
    h = (h + np.uint64(40503 * index + 12345)) & mask
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        h ^= h >> np.uint64(15)
        h = (h * np.uint64(factor)) & mask
    h ^= h >> np.uint64(16)
    u = h.astype(np.float64) / 2.0**31 - 1.0  # in [-1, 1)
    if kind == "count":
        return np.zeros(shape, np.int64)
    fan_in = max(1, n // (shape or (1,))[0])
    values = {
        "weight": u * np.sqrt(4.5 / fan_in),
        "gain": 1 + 0.1 * u,
        "var": 1 + 0.1 * np.abs(u),
        "token": 0.5 * u,
        "shift": 0.05 * u,
    }[kind]
    return values.reshape(shape).astype(np.float32)


@dataclass(frozen=True)
class Reference:
    """What the original code gives for two clouds."""

    notes: dict[str, Any]
    outputs: dict[str, np.ndarray]
    points: torch.Tensor  # (2, 1024, 3)

    def state(self) -> dict[str, torch.Tensor]:
        """The formula's weights under the published names."""
        state: dict[str, torch.Tensor] = {}
        for index, key, shape, _, kind, *alias in self.notes["state_dict"]:
            state[key] = (
                state[alias[0]] if alias else torch.from_numpy(fill(index, tuple(shape), kind))
            )
        return state

    def tolerance(self, name: str) -> float:
        """Allowed difference in float32: ten times that of the original to its float64."""
        return 10 * float(self.notes["max_abs_diff_32_vs_64"][name])
