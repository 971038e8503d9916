"""Move a shape as a whole."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import UsageError
from .key import uniform
from .point_features import PointFeatures


@dataclass(frozen=True)
class Shift:
    """A step U(-by, by) along each axis."""

    by: float = 0.2
    """Largest step per axis, in unit-sphere radii."""

    name: ClassVar[str] = "shift"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("shift_x", "shift_y", "shift_z")

    def __post_init__(self) -> None:
        if not 0 <= self.by < math.inf:
            raise UsageError(f"has by={self.by}", where=self.name, fix="choose 0 or more")

    def lanes(self, points: int) -> int:
        """Draws a shape: one an axis."""
        return 3

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 3) words -> (B, 3) steps."""
        return (uniform(bits) * 2 - 1) * self.by

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Move (B, N, 3) points."""
        return points + parameters[:, None, :]

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Leave the features as they are."""
        return features
