"""Lose some of the points: occlusion, dark surfaces, a cheaper sensor."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .key import uniform
from .point_features import PointFeatures


@dataclass(frozen=True)
class Dropout:
    """Lose a fraction U(0, most) of the points (Qi et al., PointNet++, 2017).

    Each lost point is replaced by the view's first point, so that N stays; as copies neither a
    maximum nor a neighbourhood sees more than one. Replayed from the key; stores nothing.
    """

    most: float = 0.5
    """Largest fraction of points lost."""

    name: ClassVar[str] = "dropout"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 1:
            raise UsageError(f"has most={self.most}", where=self.name, fix="choose 0 to 1")

    def lanes(self, points: int) -> int:
        """Draws a shape: the fraction, then one a point."""
        return 1 + points

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 1 + N) words -> (B, N) bool, true where the point is lost."""
        u = uniform(bits)
        return u[:, 1:] < self.most * u[:, :1]

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Replace the lost of (B, N, 3) points."""
        return torch.where(parameters[..., None], points[:, :1], points)

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Copies of a point have its features."""
        return {name: self.apply(values, parameters) for name, values in features.items()}
