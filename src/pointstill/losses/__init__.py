"""Losses, one file a paper. To add one: a file with `parts`, its options, its line in `LOSSES`.

`parts` takes the student's logits (B, C), the `Targets` and the options of the loss, and returns
its parts: `loss`, a scalar with a gradient, and scalars without one for the log. Every figure is a
mean over the batch of sums over the classes. Half-precision logits are raised to float32.

The options are a class in `options`, a file without torch, as the command line makes its flags of
them; a loss of another package is in `LOSSES` before `pointstill.recipe` is first imported. Light:
what needs torch is imported when a loss is first used.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .options import (
    DISTOptions,
    DKDOptions,
    KDOptions,
    LabelOptions,
    LossOptions,
    MSEOptions,
    NKDOptions,
    NWSDOptions,
)

if TYPE_CHECKING:
    from torch import Tensor

    from .targets import Targets

    Parts = Callable[[Tensor, Targets, Any], dict[str, Tensor]]


class Loss(NamedTuple):
    """A loss."""

    options: type[LossOptions]
    module: str
    """Where its `parts` is."""

    @property
    def parts(self) -> "Parts":
        """The function itself."""
        parts: Parts = import_module(self.module).parts
        return parts


LOSSES = {
    "ce": Loss(LabelOptions, "pointstill.losses.cross_entropy"),
    "kd": Loss(KDOptions, "pointstill.losses.kd"),
    "dkd": Loss(DKDOptions, "pointstill.losses.dkd"),
    "nkd": Loss(NKDOptions, "pointstill.losses.nkd"),
    "dist": Loss(DISTOptions, "pointstill.losses.dist"),
    "mse": Loss(MSEOptions, "pointstill.losses.mse"),
    "nwsd": Loss(NWSDOptions, "pointstill.losses.nwsd"),
}
