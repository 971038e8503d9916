"""Normalised distillation: Yang, Zeng, Li, Zhang, Yuan, Li, arXiv 2303.13005 (2023), equation 8.

    loss = CE - alpha p_y log q_y - non_target T^2 sum_c p^_c log q^_c

p_y and q_y are what teacher and student give the label's class at temperature 1, p^ and q^ are
their distributions over the other classes alone, at temperature T. Where a shape has no label, the
teacher's answer takes its place.
"""

from torch import Tensor

from .dkd import two_sided
from .kd import log_soft, taught
from .options import NKDOptions
from .targets import Targets, required, target_classes


def distance(logits: Tensor, targets: Targets, options: NKDOptions) -> Tensor:
    """Return `- alpha p_y log q_y - non_target T^2 sum_c p^_c log q^_c` of every sample, (B,)."""
    classes, teacher = target_classes(targets), required(targets.teacher, "teacher")
    log_q = log_soft(logits, 1.0).gather(1, classes[:, None])[:, 0]
    p = log_soft(teacher, 1.0).exp().gather(1, classes[:, None])[:, 0]
    _, others = two_sided(log_soft(teacher, options.temperature), classes)
    _, own = two_sided(log_soft(logits, options.temperature), classes)
    unlike = -(others.exp() * own).sum(dim=-1)
    return -options.alpha * p * log_q + options.non_target * options.temperature**2 * unlike


def parts(logits: Tensor, targets: Targets, options: NKDOptions) -> dict[str, Tensor]:
    """Return the loss, a mean over the batch, and for the log `ce`, `nkd` and those of `kd`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """

    def nkd(student: Tensor, targets: Targets) -> Tensor:
        return distance(student, targets, options)

    return taught("nkd", nkd, 1.0, logits, targets, options)
