"""A loss of one's own: its options, its schedule and its function, in one file."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pointstill.losses.cross_entropy import label_loss
from pointstill.losses.options import LabelOptions, PastOptions, require
from pointstill.losses.targets import Targets, required


@dataclass(frozen=True, kw_only=True)
class OwnOptions(PastOptions, LabelOptions):
    """Labels, and the squared distance from the teacher's logits."""

    needs_teacher: ClassVar[bool] = True

    gamma: float = 0.5
    """Weight of the squared distance."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma >= 0, f"gamma is {self.gamma}", "choose 0 or more")

    def wants_past(self, progress: float) -> bool:
        """In the second half of the run."""
        return progress >= 0.5


def parts(logits: Tensor, targets: Targets, options: OwnOptions) -> dict[str, Tensor]:
    """CE + gamma |student - teacher|^2; the past is only counted."""
    ce = label_loss(logits, targets, options.smoothing).mean()
    squared = (logits - required(targets.teacher, "teacher").float()).square().sum(1).mean()
    pasts = torch.tensor(float(targets.past is not None))
    return {"loss": ce + options.gamma * squared, "squared": squared.detach(), "pasts": pasts}
