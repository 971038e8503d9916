"""Cross-entropy with the labels, optionally smoothed (Szegedy et al. 2016, section 7)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .options import LabelOptions
from .targets import UNLABELLED, Targets


def precise(logits: Tensor) -> Tensor:
    """Raise half-precision logits to float32, where a softmax keeps the unlikely classes."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def smoothed(labels: Tensor, like: Tensor, smoothing: float) -> Tensor:
    """Return the labels as probabilities, `(1 - smoothing) y + smoothing / C`.

    Args:
        labels: (B,) int64.
        like: (B, C), gives the number of classes and the type.
        smoothing: probability spread evenly over all C classes, the labelled one included.

    Returns:
        (B, C); 0 for all classes where there is no label.

    >>> smoothed(torch.tensor([1]), torch.empty(1, 4), 0.2)  # 0.8 + 0.2 / 4, and 0.2 / 4
    tensor([[0.0500, 0.8500, 0.0500, 0.0500]])
    """
    classes, labelled = like.shape[-1], labels != UNLABELLED
    hard = F.one_hot(labels.clamp(min=0), classes).to(like)
    return ((1 - smoothing) * hard + smoothing / classes) * labelled[:, None]


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return `-sum_c y_c log q1_c` of every sample, with the smoothed label y.

    Args:
        logits: (B, C), any floating type; half precision is raised to float32.
        labels: (B,) int64.
        smoothing: as in `smoothed`.

    Returns:
        (B,): a sum over the classes, 0 where there is no label. The mean over the batch is the
        caller's.

    >>> logits = torch.tensor([[0.0, 0.0], [1.0986, 0.0]])  # q1 = (1/2, 1/2) and (3/4, 1/4)
    >>> cross_entropy(logits, torch.tensor([0, 1]))  # ln 2, ln 4
    tensor([0.6931, 1.3863])
    """
    return F.cross_entropy(
        precise(logits),
        labels,
        reduction="none",
        label_smoothing=smoothing,
        ignore_index=UNLABELLED,
    )


def label_term(logits: Tensor, targets: Targets, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of every sample, times the weight of its class if there is one.

    Args:
        logits: (B, C), as in `cross_entropy`.
        targets: their labels and weights.
        smoothing: as in `smoothed`.

    Returns:
        (B,): 0 where there is no label.

    >>> targets = Targets(torch.tensor([0, 0, UNLABELLED]), weights=torch.tensor([1.0, 2.0, 1.0]))
    >>> label_term(torch.zeros(3, 2), targets)  # ln 2, 2 ln 2
    tensor([0.6931, 1.3863, 0.0000])
    """
    ce = cross_entropy(logits, targets.labels, smoothing)
    return ce if targets.weights is None else targets.weights * ce


def parts(logits: Tensor, targets: Targets, options: LabelOptions) -> dict[str, Tensor]:
    """Return the loss CE, and for the log `ce` and `max_logit` (largest absolute logit)."""
    loss = label_term(logits, targets, options.smoothing).mean()
    return {"loss": loss, "ce": loss.detach(), "max_logit": max_logit(logits)}


def max_logit(logits: Tensor) -> Tensor:
    """Return the largest absolute logit of the batch, a scalar that betrays a runaway loss."""
    return precise(logits.detach()).abs().max()
