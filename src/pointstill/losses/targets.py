"""What a student is compared with: labels, and the logits of its teacher and of its own past."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import TrainingError

UNLABELLED = -1
"""The label of a shape that has none: it is learned from the teacher alone."""


@dataclass(frozen=True)
class Targets:
    """The targets of one batch; but for `members`, none of them carries a gradient.

    Logits are of any floating type (records hold float16) and may be -inf where a class has
    probability 0.
    """

    labels: Tensor  # (B,) int64; `UNLABELLED` where there is none
    teacher: Tensor | None = None  # (B, C) logits
    past: Tensor | None = None
    """(B, C) logits of the student's past, on the same views; a sample of NaN has no past."""
    progress: float | None = None
    """Part of the run that is over, in [0, 1], for a loss with a schedule; None: without it."""
    members: Tensor | None = None
    """(B, K, C) logits of each member of the student, the mean of which is what the loss is given;
    the one target that carries a gradient, for past=members."""
    second: Tensor | None = None  # (B,) int64, labels of the shapes that are mixed in
    share: Tensor | None = None
    """(B,) how much of each view is of the `second` label, 0 to 1/2; 0 where none is mixed in."""
    weights: Tensor | None = None
    """(C,) of the label's term of each class, where classes are weighed (`label_loss`)."""


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


def unlabelled(targets: Targets) -> Tensor:
    """Which samples (B,) have no label: of a mix, where either has none.

    >>> no = UNLABELLED
    >>> labels, second, share = torch.tensor([[0, no, 0], [1, 1, no]]).unbind() + (torch.ones(3),)
    >>> unlabelled(Targets(labels, second=second, share=share / 2))
    tensor([False,  True,  True])
    """
    without = targets.labels == UNLABELLED
    if targets.second is None or targets.share is None:
        return without
    return without | ((targets.second == UNLABELLED) & (targets.share > 0))


def target_classes(targets: Targets) -> Tensor:
    """The class (B,) that a loss sets apart: the label, or the teacher's answer where none is.

    Of a mix it is the label that has the larger share.

    >>> teacher = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> target_classes(Targets(torch.tensor([0, UNLABELLED]), teacher))
    tensor([0, 1])
    """
    best = required(targets.teacher, "teacher").argmax(dim=-1)
    return torch.where(targets.labels == UNLABELLED, best, targets.labels)


def standardised(logits: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
    """Student, its members, teacher and past with logits of mean 0 and spread 1 in each sample.

    Sun, Ren, Li, Wang, Cao, arXiv 2403.01731 (2024), equation 8: a student need not match the size
    of its teacher's logits, only their relations. The spread is that of the C classes (over C, not
    over C - 1).

    """
    teacher, past, members = (
        z_score(each) if each is not None else None
        for each in (targets.teacher, targets.past, targets.members)
    )
    return z_score(logits), replace(targets, teacher=teacher, past=past, members=members)


def z_score(logits: Tensor) -> Tensor:
    """Logits (..., C) less their mean, over their standard deviation; half precision is raised.

    >>> z_score(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    spread, mean = torch.std_mean(logits, dim=-1, correction=0, keepdim=True)
    return (logits - mean) / spread.clamp(min=SMALLEST_SPREAD)


SMALLEST_SPREAD = 1e-7
