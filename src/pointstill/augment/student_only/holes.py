"""Parts of a shape that are not there: hidden, dark, or cut off by the edge of a sensor's view."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from ..key import uniform
from ..point_features import taken
from .chance import KeepsFeatures, check_range, touched


@dataclass(frozen=True)
class Holes(KeepsFeatures):
    """Lose all points within up to `count` balls about points of the shape, of radius U(0, most).

    Copies of the points that are left stand in for the others, so that N stays. A hole that would
    leave less than a quarter of the points is not made.
    """

    most: float = 0.5
    """Largest radius of a hole, in unit-sphere radii."""
    count: int = 3
    """Balls at most."""
    chance: float = 0.5
    """Probability that a view has any."""

    name: ClassVar[str] = "holes"

    def __post_init__(self) -> None:
        check_range(self.name, "most", self.most, 2)
        if not (isinstance(self.count, int) and 0 <= self.count <= 100):
            raise UsageError(
                f"has count={self.count}",
                where=self.name,
                fix="choose a whole number from 0 to 100",
            )
        check_range(self.name, "chance", self.chance, 1)

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, and of each ball its centre, its radius and whether it is."""
        return 1 + 3 * self.count

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Lose the points of the holes."""
        batch, n, _ = points.shape
        u = uniform(bits[:, 1:]).reshape(batch, self.count, 3)
        there = (u[..., 2] < 0.5) & touched(bits[:, :1], self.chance)
        lost = torch.zeros(batch, n, dtype=torch.bool, device=points.device)
        for ball in range(self.count):
            middle = (u[:, ball, 0] * n).long().clamp(max=n - 1)
            away = points - points[torch.arange(batch, device=points.device), middle][:, None]
            radius = self.most * u[:, ball, 1, None] * there[:, ball, None]
            deeper = lost | (away.square().sum(dim=2) < radius.square())
            enough = (~deeper).sum(dim=1, keepdim=True) * 4 >= n
            lost = torch.where(enough, deeper, lost)
        order = lost.int().argsort(dim=1, stable=True)  # what is left comes first
        left = (~lost).sum(dim=1, keepdim=True)
        whose = order.gather(1, torch.arange(n, device=points.device) % left)
        return taken(points, whose), whose
