"""Few points: an object far away, a cheap sensor."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from ..key import uniform
from ..point_features import taken
from .chance import KeepsFeatures, check_range, touched


@dataclass(frozen=True)
class Sparse(KeepsFeatures):
    """Keep n of the N points, log-uniform from `least` to N; copies stand in for the others.

    Point i of the view is then the kept one i n // N, as where a cloud of n points is deployed.
    """

    least: int = 16
    """Fewest points that are kept."""
    chance: float = 0.5
    """Probability that a view loses any."""

    name: ClassVar[str] = "sparse"

    def __post_init__(self) -> None:
        if not (isinstance(self.least, int) and self.least >= 1):
            raise UsageError(f"has least={self.least}", where=self.name, fix="choose 1 or more")
        check_range(self.name, "chance", self.chance, 1)

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, and how many are kept."""
        return 2

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the first n, which are at random places of the shape."""
        n = points.shape[1]
        least = min(self.least, n)
        kept = (least * torch.exp(uniform(bits[:, 1]) * math.log(n / least))).long().clamp(least, n)
        kept = torch.where(touched(bits[:, 0], self.chance), kept, n)
        whose = torch.arange(n, device=points.device) * kept[:, None] // n
        return taken(points, whose), whose
