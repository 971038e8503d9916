"""Decoupled distillation: Zhao, Cui, Song, Qiu, Liang, arXiv 2203.08679 (2022), equation 7.

    loss = CE + T^2 (alpha KL(b_t || b_s) + non_target KL(p^ || q^))

b is what teacher and student give the label's class and all others together, p^ and q^ are their
distributions over the others alone, all at temperature T. With `non_target` = alpha (1 - p_y) this
is KD. Where a shape has no label, the teacher's answer takes its place.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .kd import kl, log_soft, taught
from .options import DKDOptions
from .targets import Targets, required, target_classes


def two_sided(log_p: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Cut log-probabilities (B, C) in two: of class and rest (B, 2), and in the rest (B, C - 1).

    >>> log_p = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> of_class, in_rest = two_sided(log_p, torch.tensor([0]))
    >>> of_class.exp(), in_rest.exp()
    (tensor([[0.5000, 0.5000]]), tensor([[0.6000, 0.4000]]))
    """
    beside = torch.ones_like(log_p, dtype=torch.bool).scatter_(1, classes[:, None], False)
    rest = log_p[beside].view(len(log_p), -1)
    mass = rest.logsumexp(dim=-1, keepdim=True)
    return torch.cat([log_p.gather(1, classes[:, None]), mass], dim=1), F.log_softmax(rest, dim=-1)


def distance(logits: Tensor, targets: Targets, options: DKDOptions) -> Tensor:
    """Return `T^2 (alpha KL(b_t || b_s) + non_target KL(p^ || q^))` of every sample, (B,)."""
    classes, temperature = target_classes(targets), options.temperature
    teacher = two_sided(log_soft(required(targets.teacher, "teacher"), temperature), classes)
    student = two_sided(log_soft(logits, temperature), classes)
    target, others = (kl(each.exp(), own) for each, own in zip(teacher, student, strict=True))
    return temperature**2 * (options.alpha * target + options.non_target * others)


def parts(logits: Tensor, targets: Targets, options: DKDOptions) -> dict[str, Tensor]:
    """Return the loss, a mean over the batch, and for the log `ce`, `dkd` and those of `kd`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """

    def dkd(student: Tensor, targets: Targets) -> Tensor:
        return distance(student, targets, options)

    return taught("dkd", dkd, options.ramp_at(targets.progress), logits, targets, options)
