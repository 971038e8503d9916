"""DGCNN: edge convolutions on dynamic graphs (Wang et al., ACM TOG 2019, arXiv 1801.07829).

Names of parameters are those of github.com/antao97/dgcnn.pytorch, for classification. Only one
convolution runs on an edge, so no matrix product is left there: it is done on points, and the
maximum over the edges taken of its results ("linear, gather, max").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.grouping import edge_batchnorm, knn_groups
from .layers.nearest_neighbours import k_nearest
from .layers.pointwise import (
    LinearBatchNorm,
    batchnorm_affine,
    linear_batchnorm,
    one_cloud_at_a_time,
    weight_matrix,
)

NEIGHBOURS = 20
"""Neighbours of a point, itself included."""
SLOPE = 0.2
"""Of every LeakyReLU."""


def leaky(values: Tensor) -> Tensor:
    """LeakyReLU, in place."""
    return F.leaky_relu_(values, SLOPE)


class EdgeConvolution(LinearBatchNorm):
    """Maximum over a point's nearest neighbours j, in feature space, of a layer on each edge.

    The edge from point i is [x_j - x_i, x_i]; the layer is a convolution, BatchNorm, LeakyReLU.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(nn.Conv2d(2 * channels_in, channels_out, 1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, in) -> (B, N, out)."""
        batch, n, _ = features.shape
        # Distances between centred features are the same, and lose less to rounding.
        centred = features - features.mean(1, keepdim=True)
        groups = knn_groups(k_nearest(centred, centred, min(NEIGHBOURS, n)), n)
        rows = features.flatten(0, 1)
        to_offset, to_centre = weight_matrix(self.layer).chunk(2, 1)
        member, centre = F.linear(rows, to_offset), F.linear(rows, to_offset - to_centre)
        if self.norm.training:  # BatchNorm needs mean and variance of all edges
            out = groups.maximum(leaky(edge_batchnorm(member, centre, groups, self.norm)))
        else:  # the centre's part is the same on all its edges, and LeakyReLU is monotone
            scale, shift = batchnorm_affine(self.norm)
            best = groups.maximum((member * scale).index_select(0, groups.members))
            out = leaky(best - (centre * scale - shift))
        return out.view(batch, n, -1)


class DGCNN(nn.Module):
    """The classifier of the paper for ModelNet40; expects the y axis up, best 1,024 points."""

    ALIASES: ClassVar[dict[str, str]] = {f"bn{i}.": f"conv{i}.1." for i in range(1, 6)}
    """The published checkpoints hold these BatchNorms under both names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = EdgeConvolution(3, 64)
        self.conv2 = EdgeConvolution(64, 64)
        self.conv3 = EdgeConvolution(64, 128)
        self.conv4 = EdgeConvolution(128, 256)
        self.conv5 = LinearBatchNorm(nn.Conv1d(64 + 64 + 128 + 256, 1024, 1, bias=False))
        self.linear1 = nn.Linear(2 * 1024, 512, bias=False)
        self.bn6 = nn.BatchNorm1d(512)
        self.linear2 = nn.Linear(512, 256)
        self.bn7 = nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes)."""
        if one_cloud_at_a_time(self, points):
            return torch.cat([self.forward(cloud) for cloud in torch.split(points, 1)])
        x1 = self.conv1(points)
        x2 = self.conv2(x1)
        x3 = self.conv3(x2)
        x4 = self.conv4(x3)
        rows = torch.cat([x1, x2, x3, x4], 2).flatten(0, 1)
        top = leaky(self.conv5(rows)).view(*points.shape[:2], -1)  # (B, N, 1024)
        pooled = torch.cat([top.amax(1), top.mean(1)], 1)
        hidden = self.dropout(leaky(linear_batchnorm(pooled, self.linear1, self.bn6)))
        hidden = self.dropout(leaky(linear_batchnorm(hidden, self.linear2, self.bn7)))
        logits: Tensor = self.linear3(hidden)
        return logits
