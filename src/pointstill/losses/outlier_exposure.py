"""Outlier exposure: views of nothing are to be told from views of something.

    loss + weight (KL(u || q(nothing)) + mean softplus(-e(something)) + mean softplus(e(nothing)))

u is the uniform distribution: no class is likelier than another (Hendrycks, Mazeika, Dietterich,
ICLR 2019). e = log sum exp(logits) - log C is the negative energy, 0 for logits that are all 0; it
is pushed above 0 for what is known and below for what is not (after Liu, Wang, Owens, Li, NeurIPS
2020, with a logistic loss instead of their two margins). It is the score that is thresholded after
training. No softmax depends on it, so that a teacher does not pull against it.
"""

import math

from torch import Tensor
from torch.nn import functional as F

from .cross_entropy import precise


def outlier_exposure(known: Tensor, nothing: Tensor) -> Tensor:
    """Return the term in brackets, a scalar.

    Args:
        known: (B, C) logits of views of something.
        nothing: (b, C) logits of views of nothing.

    >>> import torch
    >>> outlier_exposure(torch.zeros(1, 2), torch.zeros(1, 2))  # 0 + ln 2 + ln 2
    tensor(1.3863)
    """
    known, nothing = precise(known), precise(nothing)
    even = math.log(nothing.shape[1])
    uniform = -even - F.log_softmax(nothing, dim=1).mean()
    inside, outside = known.logsumexp(dim=1) - even, nothing.logsumexp(dim=1) - even
    return uniform + F.softplus(-inside).mean() + F.softplus(outside).mean()


def exposed(loss: Tensor, known: Tensor, nothing: Tensor, weight: float) -> dict[str, Tensor]:
    """Return `loss` with the term added by its weight, and the term for the log, `outliers`."""
    term = outlier_exposure(known, nothing)
    return {"loss": loss + weight * term, "outliers": term.detach()}
