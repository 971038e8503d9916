"""PointMLP and PointMLP-elite (Ma, Qin, You, Ran, Fu, ICLR 2022, arXiv 2202.07123).

Names of parameters are those of github.com/ma-xu/pointMLP-pytorch, for ModelNet40 as for
ScanObjectNN.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.farthest_point_sampling import farthest_point_sampling
from .layers.grouping import Groups, edge_batchnorm, knn_groups
from .layers.nearest_neighbours import gather, k_nearest
from .layers.pointwise import LinearBatchNorm, one_cloud_at_a_time, weight_matrix

CENTRES = (512, 256, 128, 64)
"""Points that each stage keeps."""
NEIGHBOURS = 24
"""Members of a group, its centre included."""
IGNORED = 1e-3
"""Farthest point sampling never picks a point with |p|^2 up to this (as its CUDA code does)."""
EPSILON = 1e-5
"""Added to the standard deviation."""


@dataclass(frozen=True)
class Size:
    """The numbers that tell PointMLP from PointMLP-elite."""

    width: int
    """Channels of the embedding."""
    expansion: tuple[int, int, int, int] = (2, 2, 2, 2)
    """By how much each stage multiplies the channels."""
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    """Residual blocks of each stage, before and again after the maximum."""
    bottleneck: int = 1
    """By how much a residual block divides its inner channels."""


FULL = Size(width=64)
ELITE = Size(width=32, expansion=(2, 2, 2, 1), blocks=(1, 1, 2, 1), bottleneck=4)


class Lift(nn.Module):
    """A convolution with BatchNorm, kept under `net`, and ReLU."""

    def __init__(self, layer: nn.Conv1d) -> None:
        super().__init__()
        self.net = LinearBatchNorm(layer)

    def forward(self, rows: Tensor) -> Tensor:
        """(R, in) -> (R, out)."""
        out: Tensor = self.net(rows)
        return out.relu_()


class Residual(nn.Module):
    """Two convolutions with BatchNorm around ReLU, and the input added."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        inner = channels // bottleneck
        self.net1 = LinearBatchNorm(nn.Conv1d(channels, inner, 1, bias=False))
        self.net2 = LinearBatchNorm(nn.Conv1d(inner, channels, 1, bias=False))

    def forward(self, rows: Tensor) -> Tensor:
        """(R, C) -> (R, C)."""
        update: Tensor = self.net2(self.net1(rows).relu_())
        return (update + rows).relu_()


class Blocks(nn.Module):
    """Residual blocks in a row."""

    def __init__(self, channels: int, count: int, bottleneck: int) -> None:
        super().__init__()
        self.operation = nn.Sequential(*(Residual(channels, bottleneck) for _ in range(count)))

    def forward(self, rows: Tensor) -> Tensor:
        """(R, C) -> (R, C)."""
        out: Tensor = self.operation(rows)
        return out


class EdgeBlocks(Blocks):
    """Residual blocks on edges; `edges` computes the layer before them."""

    def __init__(self, channels_in: int, channels: int, count: int, bottleneck: int) -> None:
        super().__init__(channels, count, bottleneck)
        self.transfer = Lift(nn.Conv1d(2 * channels_in, channels, 1, bias=False))


class Affine(nn.Module):
    """Holds the gain and shift of the geometric affine module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine_alpha = nn.Parameter(torch.ones(1, 1, 1, channels))
        self.affine_beta = nn.Parameter(torch.zeros(1, 1, 1, channels))


def spread(features: Tensor, centres: Tensor, groups: Groups, clouds: int) -> Tensor:
    """Standard deviation of f_j - f_i over all edges and channels of each cloud: (B,).

    Unbiased, plus `EPSILON`; features (B*N, C), centres (G, C).
    """
    return groups.differences(features, centres).view(clouds, -1).std(1) + EPSILON


def edges(
    features: Tensor, own: Tensor, groups: Groups, affine: Affine, transfer: LinearBatchNorm
) -> Tensor:
    """Geometric affine and the layer after it: (B, N, C), (B, M, C) -> edges (E, out).

    An edge is [alpha (f_j - f_i) / sigma + beta, f_i], sigma one number a cloud (section 3.2). The
    layer [U V] is linear: with A = U diag(alpha) it gives A f_j / sigma + (V - A / sigma) f_i + U
    beta, of which only the sum is left to edges.
    """
    rows, centres = features.flatten(0, 1), own.flatten(0, 1)
    sigma = spread(rows, centres, groups, len(features)).view(-1, 1, 1)
    to_offset, to_centre = weight_matrix(transfer.layer).chunk(2, 1)
    scaled = to_offset * affine.affine_alpha.flatten()
    member = F.linear(features, scaled) / sigma
    constant = to_offset @ affine.affine_beta.flatten()
    centre = F.linear(own, scaled) / sigma - F.linear(own, to_centre, constant)
    return edge_batchnorm(member.flatten(0, 1), centre.flatten(0, 1), groups, transfer.norm).relu_()


class PointMLP(nn.Module):
    """The classifier: any number of points, best 1,024 with the y axis up.

    With fewer points than a stage keeps, it keeps all.
    """

    def __init__(self, classes: int, size: Size) -> None:
        super().__init__()
        self.embedding = Lift(nn.Conv1d(3, size.width, 1, bias=False))
        self.local_grouper_list = nn.ModuleList()
        self.pre_blocks_list, self.pos_blocks_list = nn.ModuleList(), nn.ModuleList()
        width = size.width
        for expansion, count in zip(size.expansion, size.blocks, strict=True):
            out = width * expansion
            self.local_grouper_list.append(Affine(width))
            self.pre_blocks_list.append(EdgeBlocks(width, out, count, size.bottleneck))
            self.pos_blocks_list.append(Blocks(out, count, size.bottleneck))
            width = out
        self.classifier = nn.Sequential(
            nn.Linear(width, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, 256),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, classes),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes)."""
        if one_cloud_at_a_time(self, points):
            return torch.cat([self.forward(cloud) for cloud in torch.split(points, 1)])
        batch, n, _ = points.shape
        features = self.embedding(points.flatten(0, 1)).view(batch, n, -1)
        stages = zip(
            CENTRES,
            cast("list[Affine]", self.local_grouper_list),
            cast("list[EdgeBlocks]", self.pre_blocks_list),
            cast("list[Blocks]", self.pos_blocks_list),
            strict=True,
        )
        for kept, affine, before, after in stages:
            index = farthest_point_sampling(points, kept, IGNORED)
            centres, own = gather(points, index), gather(features, index)
            n = points.shape[1]
            groups = knn_groups(k_nearest(centres, points, min(NEIGHBOURS, n)), n)
            rows = before(edges(features, own, groups, affine, before.transfer.net))
            features = after(groups.maximum(rows)).view(*index.shape, -1)
            points = centres
        logits: Tensor = self.classifier(features.amax(1))
        return logits


def pointmlp_full(classes: int) -> PointMLP:
    """The full size."""
    return PointMLP(classes, FULL)


def pointmlp_elite(classes: int) -> PointMLP:
    """The small size."""
    return PointMLP(classes, ELITE)
