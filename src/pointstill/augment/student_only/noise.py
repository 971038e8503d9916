"""Noise of a sensor that is worse than the one that the shapes were scanned with."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..key import uniform
from .chance import KeepsFeatures, check_range, touched


@dataclass(frozen=True)
class Noise(KeepsFeatures):
    """Laplace noise on every coordinate, of a scale U(0, most) for each view.

    Its tails are heavier than a normal's: of 1,000 points some are always far off.
    """

    most: float = 0.03
    """Largest scale (the mean step), in unit-sphere radii."""
    chance: float = 0.5
    """Probability that a view has any."""

    name: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        check_range(self.name, "most", self.most, 10)
        check_range(self.name, "chance", self.chance, 1)

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, the scale, and three a point."""
        return 2 + 3 * points

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, None]:
        """Shake the points."""
        scale = self.most * uniform(bits[:, 1]) * touched(bits[:, 0], self.chance)
        u = uniform(bits[:, 2:]).reshape(points.shape) - 0.5  # in [-0.5, 0.5)
        step = -u.sign() * torch.log1p(-2 * u.abs() + 2.0**-24)  # never the log of zero
        return points + scale[:, None, None] * step, None
