"""Linear layers and BatchNorm on rows of features, (R, channels).

Published networks are written in 1x1 convolutions on (B, C, N) or (B, C, N, k). Here the
convolutions are only where checkpoints keep weight and bias; they are done as matrix products on
rows, and BatchNorm1d stands for BatchNorm2d, whose parameters are the same.
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
"""What holds weight (out, in) or (out, in, 1, ...) and bias (out,) or None."""


def weight_matrix(layer: Layer) -> Tensor:
    """Its weight as (out, in)."""
    return layer.weight.flatten(1)


def linear(rows: Tensor, layer: Layer) -> Tensor:
    """(R, in) -> (R, out)."""
    return F.linear(rows, weight_matrix(layer), layer.bias)


def batchnorm_affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift that BatchNorm is in eval mode, x * scale + shift: two tensors (out,)."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight / (variance + norm.eps).sqrt()
    return scale, norm.bias - mean * scale


def linear_batchnorm(rows: Tensor, layer: Layer, norm: nn.BatchNorm1d) -> Tensor:
    """Layer and BatchNorm: (R, in) -> (R, out).

    In eval mode BatchNorm is folded into the weights, of which there are fewer than results.
    """
    if norm.training:
        out: Tensor = norm(linear(rows, layer))
        return out
    scale, shift = batchnorm_affine(norm)
    bias = shift if layer.bias is None else layer.bias * scale + shift
    return F.linear(rows, weight_matrix(layer) * scale[:, None], bias)


def one_cloud_at_a_time(module: nn.Module, points: Tensor) -> bool:
    """Whether a module had better classify clouds (B, N, 3) one at a time.

    So it is in eval mode on a CPU: what is computed on the edges of one cloud stays nearer to the
    processor, and a prediction is the same to the last bit whatever its batch.
    """
    return not module.training and points.device.type == "cpu" and len(points) > 1


class LinearBatchNorm(nn.Sequential):
    """A layer and its BatchNorm, under the names `0` and `1`: (R, in) -> (R, out)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer, nn.BatchNorm1d(layer.weight.shape[0]))

    @property
    def layer(self) -> Layer:
        """Linear, or a convolution that is."""
        return cast(Layer, self[0])

    @property
    def norm(self) -> nn.BatchNorm1d:
        """Follows the layer."""
        return cast(nn.BatchNorm1d, self[1])

    def forward(self, rows: Tensor) -> Tensor:
        """(R, in) -> (R, out)."""
        return linear_batchnorm(rows, self.layer, self.norm)
