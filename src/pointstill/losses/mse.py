"""Squared distance of logits: Kim, Oh, Kim, Cho, Yun, arXiv 2105.08919 (2021), section 3.

    loss = CE + alpha mean_c ((z_c - mean z) - (t_c - mean t))^2

z and t are the logits of student and teacher. They are centred, as a softmax does not see a
constant that is added to all; so half of the distance is the limit of `T^2 KL(p || q)` for a large
T (Hinton, Vinyals, Dean 2015, section 2.1).
"""

from torch import Tensor

from .cross_entropy import precise
from .kd import taught
from .options import MSEOptions
from .targets import Targets, required


def distance(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over the classes of the squared difference of centred logits, (B,).

    >>> import torch
    >>> distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[7.0, 8.0]]))  # (.5 + .5)^2, twice
    tensor([1.])
    """
    apart = precise(logits) - precise(teacher)
    return (apart - apart.mean(dim=-1, keepdim=True)).square().mean(dim=-1)


def parts(logits: Tensor, targets: Targets, options: MSEOptions) -> dict[str, Tensor]:
    """Return the loss, a mean over the batch, and for the log `ce`, `mse` and those of `kd`.

    Raises:
        TrainingError: the targets hold no teacher logits.
    """

    def mse(student: Tensor, targets: Targets) -> Tensor:
        return distance(student, required(targets.teacher, "teacher"))

    return taught("mse", mse, options.alpha, logits, targets, options)
