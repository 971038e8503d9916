"""Knowledge distillation: Hinton, Vinyals, Dean, arXiv 1503.02531 (2015), section 2.

    loss = CE + alpha T^2 KL(p || q),    p = softmax(teacher / T),  q = softmax(student / T)

The factor T^2 keeps the size of the gradient, which shrinks by 1 / T^2, the same at every T.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .cross_entropy import label_loss, max_logit, precise
from .options import KDOptions, TaughtOptions
from .targets import Targets, required, standardised


def log_soft(logits: Tensor, temperature: float) -> Tensor:
    """Return `log softmax(logits / T)`, (B, C), in float32 or better."""
    return F.log_softmax(precise(logits) / temperature, dim=-1)


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """Return `KL(p || q) = sum_c p_c (log p_c - log q_c)` of every sample.

    Args:
        p: (B, C) probabilities; a class with 0 adds 0.
        log_q: (B, C) log-probabilities, finite.

    Returns:
        (B,): a sum over the classes, never a mean over them, which would shrink it C-fold.
    """
    return (torch.xlogy(p, p) - p * log_q).sum(dim=-1)


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return `KL(p || q)` of every sample at temperature T, **without** the factor T^2.

    Args:
        logits: (B, C) of the student; they take the gradient.
        teacher: (B, C) logits, or log-probabilities, which differ by a constant per sample.
        temperature: T > 0, divides both.

    Returns:
        (B,) in nats.

    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[2 * 1.0986123, 0.0]])
    >>> divergence(student, teacher, 2.0)  # p = (3/4, 1/4): 3/4 ln 3/2 + 1/4 ln 1/2
    tensor([0.1308])
    """
    return kl(log_soft(teacher.detach(), temperature).exp(), log_soft(logits, temperature))


def agreement(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return the fraction of samples for which student and teacher name the same class."""
    return (logits.argmax(dim=-1) == teacher.argmax(dim=-1)).float().mean()


def parts(logits: Tensor, targets: Targets, options: KDOptions) -> dict[str, Tensor]:
    """Return the loss `CE + alpha T^2 KL(p || q)`, a mean over the batch, and parts for the log.

    The parts, without gradient: `ce`; `kd` = T^2 KL(p || q), before its weight alpha;
    `agreement` with the teacher; `max_logit`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """

    def kd(student: Tensor, targets: Targets) -> Tensor:
        teacher = required(targets.teacher, "teacher")
        return options.temperature**2 * divergence(student, teacher, options.temperature)

    return taught("kd", kd, options.alpha, logits, targets, options)


def taught(
    name: str,
    distance: Callable[[Tensor, Targets], Tensor],
    weight: float,
    logits: Tensor,
    targets: Targets,
    options: TaughtOptions,
) -> dict[str, Tensor]:
    """Return the loss `labels CE + weight distance`, a mean over the batch, and parts for the log.

    Args:
        name: of the distance, in the log.
        distance: from the teacher, of logits (B, C), standardised if the options say so; (B,), or
            a scalar where it is one of the batch.
        weight: of the distance.
        logits: (B, C) of the student.
        targets: labels and teacher.
        options: the weight of the labels, smoothing, and whether to standardise.

    Returns:
        `loss`, and without gradient `ce` and the distance, before their weights, `agreement` with
        the teacher and `max_logit`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """
    teacher = required(targets.teacher, "teacher")
    ce = label_loss(logits, targets, options.smoothing).mean()
    seen = standardised(logits, targets) if options.standardise else (logits, targets)
    apart = distance(*seen).mean()
    return {
        "loss": options.labels * ce + weight * apart,
        "ce": ce.detach(),
        name: apart.detach(),
        "agreement": agreement(logits, teacher),
        "max_logit": max_logit(logits),
    }
