"""Points that belong to nothing: false returns, dust, a neighbour's edge."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from ..key import uniform
from .chance import KeepsFeatures, check_range, touched


@dataclass(frozen=True)
class Strays(KeepsFeatures):
    """Move a share U(0, most) of the points somewhere else, at any distance up to `far` radii.

    Directions are uniform and distances from the centre log-uniform from `near`, most of them
    within the shape.
    """

    most: float = 0.05
    """Largest share of strays."""
    near: float = 0.25
    """Least distance from the centre, in unit-sphere radii."""
    far: float = 1.5
    """Largest distance from the centre, in unit-sphere radii; normalization leaves farther ones
    out."""
    chance: float = 0.5
    """Probability that a view has any."""

    name: ClassVar[str] = "strays"

    def __post_init__(self) -> None:
        check_range(self.name, "most", self.most, 1)
        for option, value, most in (("far", self.far, 1e6), ("near", self.near, self.far)):
            if not 0 < value <= most:  # its logarithm is drawn
                raise UsageError(
                    f"has {option}={value}", where=self.name, fix=f"choose above 0 to {most:g}"
                )
        check_range(self.name, "chance", self.chance, 1)

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, the share, and four a point."""
        return 2 + 4 * points

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, None]:
        """Move the strays."""
        share = self.most * uniform(bits[:, 1]) * touched(bits[:, 0], self.chance)
        u = uniform(bits[:, 2:]).reshape(len(bits), -1, 4)
        height, angle = 2 * u[..., 1] - 1, 2 * math.pi * u[..., 2]
        level = torch.sqrt(1 - height.square())
        direction = torch.stack((level * angle.cos(), level * angle.sin(), height), dim=2)
        distance = self.near * (self.far / self.near) ** u[..., 3:]
        stray = u[..., :1] < share[:, None, None]
        return torch.where(stray, distance * direction, points), None
