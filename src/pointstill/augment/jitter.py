"""Shake each point a little: the noise of a sensor."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .key import uniform
from .point_features import PointFeatures


@dataclass(frozen=True)
class Jitter:
    """Normal noise on every coordinate, cut off at `clip`; replayed from the key."""

    sigma: float = 0.01
    """Standard deviation, in unit-sphere radii."""
    clip: float = 0.05
    """Largest step per axis, in unit-sphere radii."""

    name: ClassVar[str] = "jitter"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, value in (("sigma", self.sigma), ("clip", self.clip)):
            if not 0 <= value < math.inf:
                raise UsageError(f"has {name}={value}", where=self.name, fix="choose 0 or more")

    def lanes(self, points: int) -> int:
        """Draws a shape: one block of four words a point."""
        return 4 * points

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 4 N) words -> (B, N, 3) steps, by the Box-Muller transform."""
        u = uniform(bits).reshape(len(bits), -1, 4)
        radius = torch.sqrt(-2 * torch.log(u[..., :2] + 2.0**-25))  # never the log of zero
        angle = 2 * math.pi * u[..., 2:]
        normal = torch.cat((radius * angle.cos(), radius[..., :1] * angle[..., :1].sin()), dim=-1)
        return (self.sigma * normal).clamp(-self.clip, self.clip)

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Shake (B, N, 3) points."""
        return points + parameters

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Leave the features as they are."""
        return features
