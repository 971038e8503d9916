"""Features that are not there: a sensor without them, a topic that is late."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..key import uniform
from ..point_features import PointFeatures
from .chance import check_range, touched


@dataclass(frozen=True)
class Mute:
    """Lose one of the features beside xyz: NaN, which a student takes for the median.

    Named twice, `mute,mute`, views may lose two.
    """

    chance: float = 0.25
    """Probability that a view loses one."""

    name: ClassVar[str] = "mute"

    def __post_init__(self) -> None:
        check_range(self.name, "chance", self.chance, 1)

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, and which."""
        return 2

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, None]:
        """Points stay where they are."""
        return points, None

    def alter_features(self, features: PointFeatures, bits: Tensor) -> PointFeatures:
        """Lose one, each as likely as another."""
        which = (uniform(bits[:, 1]) * len(features)).long().clamp(max=len(features) - 1)
        which = torch.where(touched(bits[:, 0], self.chance), which, -1)[:, None, None]
        return {
            name: torch.where(which == place, torch.nan, values)
            for place, (name, values) in enumerate(features.items())
        }
