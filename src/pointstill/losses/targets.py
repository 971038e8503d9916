"""What a student is compared with: labels, and the logits of its teacher and of its own past."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import TrainingError


@dataclass(frozen=True)
class Targets:
    """The targets of one batch; none of them carries a gradient.

    Logits are of any floating type (records hold float16) and may be -inf where a class has
    probability 0.
    """

    labels: Tensor  # (B,) int64
    teacher: Tensor | None = None  # (B, C) logits
    past: Tensor | None = None
    """(B, C) logits of the student's past, on the same views; a sample of NaN has no past."""
    progress: float | None = None
    """Part of the run that is over, in [0, 1], for a loss with a schedule; None: without it."""


def required(logits: Tensor | None, whose: str) -> Tensor:
    """Return the logits, without a gradient.

    Raises:
        TrainingError: there are none.
    """
    if logits is None:
        raise TrainingError(
            f"this loss needs the logits of the {whose} and was given none",
            fix=f"pass Targets(..., {whose}=logits), or choose a loss without {whose}",
        )
    return logits.detach()
