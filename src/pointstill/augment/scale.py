"""Stretch a shape by another factor along each axis."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .key import uniform


@dataclass(frozen=True)
class Scale:
    """Factors U(low, high) per axis; the defaults are PointMLP's and OpenPoints'."""

    low: float = 2 / 3
    """Smallest factor."""
    high: float = 3 / 2
    """Largest factor."""

    name: ClassVar[str] = "scale"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("scale_x", "scale_y", "scale_z")

    def lanes(self, points: int) -> int:
        """Draws a shape: one an axis."""
        return 3

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 3) words -> (B, 3) factors."""
        return self.low + (self.high - self.low) * uniform(bits)

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Stretch (B, N, 3) points."""
        return points * parameters[:, None, :]
