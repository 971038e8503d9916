"""Losses, one file a paper. To add one: a file with `parts`, and its line in `LOSSES`.

A loss takes the student's logits (B, C), the `Targets` and the `LossOptions`, and returns its
parts: `loss`, a scalar with a gradient, and scalars without one for the log. Every figure is a mean
over the batch of sums over the classes. Half-precision logits are raised to float32.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ..recipe import LossOptions
from . import cross_entropy, kd, nwsd
from .targets import Targets

__all__ = ["LOSSES", "Loss", "Targets"]


class Loss(NamedTuple):
    """A loss, and the logits beside the student's that it cannot do without."""

    function: Callable[[Tensor, Targets, LossOptions], dict[str, Tensor]]
    needs_teacher: bool
    needs_past: bool


LOSSES: dict[str, Loss] = {
    "ce": Loss(cross_entropy.parts, needs_teacher=False, needs_past=False),
    "kd": Loss(kd.parts, needs_teacher=True, needs_past=False),
    "nwsd": Loss(nwsd.parts, needs_teacher=True, needs_past=True),
}
