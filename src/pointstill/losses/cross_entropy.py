"""Cross-entropy with the labels, optionally smoothed (Szegedy et al. 2016, section 7)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .options import LabelOptions
from .targets import UNLABELLED, Targets, unlabelled


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


def label_loss(logits: Tensor, targets: Targets, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy with the label of every sample, times the weight of its class.

    Of a mix, it is that of both labels by their shares.

    Args:
        logits: (B, C), any floating type; half precision is raised to float32.
        targets: the labels, and the weights of their classes if there are any.
        smoothing: as in `smoothed`.

    Returns:
        (B,): 0 where there is no label, or one of a mix is not known.

    >>> targets = Targets(torch.tensor([0]), second=torch.tensor([1]), share=torch.tensor([0.25]))
    >>> label_loss(torch.tensor([[1.0986, 0.0]]), targets)  # 3/4 ln 4/3 + 1/4 ln 4
    tensor([0.5623])
    >>> targets = Targets(torch.tensor([0, 1, UNLABELLED]), weights=torch.tensor([1.0, 2.0]))
    >>> label_loss(torch.zeros(3, 2), targets)  # ln 2, 2 ln 2
    tensor([0.6931, 1.3863, 0.0000])
    """

    def of(labels: Tensor) -> Tensor:
        ce = cross_entropy(logits, labels, smoothing)
        return ce if targets.weights is None else targets.weights[labels.clamp(min=0)] * ce

    if targets.second is None or targets.share is None:
        return of(targets.labels)
    mixed = _lerp(of(targets.labels), of(targets.second), targets.share)
    return mixed.masked_fill(unlabelled(targets), 0)


def label_probabilities(targets: Targets, like: Tensor, smoothing: float) -> Tensor:
    """Return what `label_loss` is the cross-entropy with: labels `smoothed`, by weight and share.

    Returns:
        (B, C); 0 for all classes where there is no label, or one of a mix is not known.
    """

    def of(labels: Tensor) -> Tensor:
        y = smoothed(labels, like, smoothing)
        return y if targets.weights is None else targets.weights[labels.clamp(min=0), None] * y

    if targets.second is None or targets.share is None:
        return of(targets.labels)
    mixed = _lerp(of(targets.labels), of(targets.second), targets.share[:, None])
    return mixed.masked_fill(unlabelled(targets)[:, None], 0)


def _lerp(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return (1 - share) * own + share * other


def parts(logits: Tensor, targets: Targets, options: LabelOptions) -> dict[str, Tensor]:
    """Return the loss CE, and for the log `ce` and `max_logit` (largest absolute logit)."""
    loss = label_loss(logits, targets, options.smoothing).mean()
    return {"loss": loss, "ce": loss.detach(), "max_logit": max_logit(logits)}


def max_logit(logits: Tensor) -> Tensor:
    """Return the largest absolute logit of the batch, a scalar that betrays a runaway loss."""
    return precise(logits.detach()).abs().max()
