"""Correlation with the teacher: Huang, You, Wang, Qian, Xu, arXiv 2205.10536 (2022), section 3.

    loss = CE + inter T^2 mean_i (1 - r(q_i, p_i)) + intra T^2 mean_c (1 - r(q_c, p_c))

r is Pearson's correlation, of the probabilities at temperature T: of sample i over the classes, and
of class c over the batch. A strong teacher is then followed in what it prefers, not in how much.
"""

import torch
from torch import Tensor

from .kd import log_soft, taught
from .options import DISTOptions
from .targets import Targets, required

SMALLEST_NORM = 1e-8


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of the rows (n, m) of two matrices, (n,); 0 of a constant row.

    >>> a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    >>> correlation(a, torch.tensor([[2.0, 4.0, 6.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]))
    tensor([ 1.0000, -1.0000,  0.0000])
    """
    a, b = (each - each.mean(dim=-1, keepdim=True) for each in (a, b))
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    found: Tensor = (a * b).sum(dim=-1) / (norms + SMALLEST_NORM)
    return found


def distance(logits: Tensor, teacher: Tensor, options: DISTOptions) -> Tensor:
    """Return `T^2 (inter (1 - r of samples) + intra (1 - r of classes))`, a scalar of the batch."""
    q, p = (log_soft(each, options.temperature).exp() for each in (logits, teacher))
    inter, intra = (1 - correlation(q, p).mean(), 1 - correlation(q.T, p.T).mean())
    return options.temperature**2 * (options.inter * inter + options.intra * intra)


def parts(logits: Tensor, targets: Targets, options: DISTOptions) -> dict[str, Tensor]:
    """Return the loss, a mean over the batch, and for the log `ce`, `dist` and those of `kd`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """

    def dist(student: Tensor, targets: Targets) -> Tensor:
        return distance(student, required(targets.teacher, "teacher"), options)

    return taught("dist", dist, 1.0, logits, targets, options)
