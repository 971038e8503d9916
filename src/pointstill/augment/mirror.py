"""Mirror a shape, or not, in the planes that stand upright."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .axis import check_axis
from .point_features import PointFeatures, with_normal


@dataclass(frozen=True)
class Mirror:
    """The sign of each horizontal axis flips with probability one half."""

    up: str = "up"
    """The axis that is left alone: x, y or z; up is that of the data."""

    name: ClassVar[str] = "mirror"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("mirror_x", "mirror_y", "mirror_z")

    def __post_init__(self) -> None:
        check_axis(self.name, "up", self.up)

    def lanes(self, points: int) -> int:
        """Draws a shape: one an axis."""
        return 3

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 3) words -> (B, 3) signs, +1 or -1, from the highest bit."""
        signs = 1.0 - 2.0 * (bits >> 31).float()
        signs[:, "xyz".index(self.up)] = 1.0
        return signs

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Mirror (B, N, 3) points."""
        return points * parameters[:, None, :]

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Mirror the normals too: what pointed outwards still does."""
        return with_normal(features, lambda normals: self.apply(normals, parameters))
