"""Stretch a shape by another factor along each axis."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .key import uniform
from .point_features import PointFeatures, with_normal


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

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise UsageError(
                f"has low={self.low:.4g} and high={self.high:.4g}",
                where=self.name,
                fix="choose 0 < low <= high",
            )

    def lanes(self, points: int) -> int:
        """Draws a shape: one an axis."""
        return 3

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 3) words -> (B, 3) factors."""
        return self.low + (self.high - self.low) * uniform(bits)

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Stretch (B, N, 3) points."""
        return points * parameters[:, None, :]

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Normals go by the inverse factors, to unit length again; height by the factor of up.

        A normal is perpendicular to its surface, n . t = 0, and stays so: (n / s) . (s t) = n . t.
        """
        factors = parameters[:, None, :]
        features = with_normal(features, lambda normals: F.normalize(normals / factors, dim=2))
        if "height" in features:
            features = features | {"height": features["height"] * factors[..., up : up + 1]}
        return features
