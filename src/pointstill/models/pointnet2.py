"""PointNet++, single-scale grouping (Qi, Yi, Su, Guibas, NeurIPS 2017, arXiv 1706.02413).

Names of parameters are those of github.com/yanx27/Pointnet_Pointnet2_pytorch (pointnet2_cls_ssg,
with normals or without). Its farthest point sampling starts at random, also in eval mode; this one
starts at point 0, so that a prediction can be repeated. It returns a log-softmax, this one the
logits.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.farthest_point_sampling import farthest_point_sampling
from .layers.grouping import ball_query, edge_batchnorm
from .layers.nearest_neighbours import gather
from .layers.pointwise import linear_batchnorm, one_cloud_at_a_time, weight_matrix
from .layers.pooling import largest


class Abstraction(nn.Module):
    """Three layers of convolution, BatchNorm and ReLU, on all members of a group; then maximum."""

    def __init__(self, channels_in: int, *widths: int) -> None:
        super().__init__()
        ends = zip((channels_in, *widths), widths, strict=False)
        self.mlp_convs = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in ends)
        self.mlp_bns = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)

    @property
    def layers(self) -> list[tuple[nn.Conv2d, nn.BatchNorm1d]]:
        """Convolutions with their BatchNorms."""
        pairs = zip(self.mlp_convs, self.mlp_bns, strict=True)
        return [(cast(nn.Conv2d, a), cast(nn.BatchNorm1d, b)) for a, b in pairs]


class Local(Abstraction):
    """Set abstraction: describe the surroundings of some points, picked far from each other."""

    def __init__(self, centres: int, radius: float, members: int, *widths: int) -> None:
        super().__init__(*widths)
        self.centres, self.radius, self.members = centres, radius, members

    def forward(self, points: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, N, 3), (B, N, C) -> centres (B, M, 3) and their features (B, M, out)."""
        centres = gather(points, farthest_point_sampling(points, self.centres))
        groups = ball_query(centres, points, self.radius, self.members, padded=self.training)
        (convolution, norm), *rest = self.layers
        # An edge is [p_j - p_i, f_j]: the member's part is linear in [p_j, f_j].
        inputs = points if features is None else torch.cat([points, features], 2)
        member = F.linear(inputs.flatten(0, 1), weight_matrix(convolution))
        centre = F.linear(centres.flatten(0, 1), weight_matrix(convolution)[:, :3])
        centre = centre - cast(Tensor, convolution.bias)
        rows = edge_batchnorm(member, centre, groups, norm).relu_()
        for layer, norm in rest:
            rows = linear_batchnorm(rows, layer, norm).relu_()
        return centres, groups.maximum(rows).view(*centres.shape[:2], -1)


class Global(Abstraction):
    """Set abstraction of all points as one group, at their absolute coordinates."""

    def forward(self, points: Tensor, features: Tensor) -> Tensor:
        """(B, N, 3), (B, N, C) -> (B, out)."""
        rows = torch.cat([points, features], 2).flatten(0, 1)
        for layer, norm in self.layers:
            rows = linear_batchnorm(rows, layer, norm).relu_()
        return largest(rows.view(*points.shape[:2], -1), 1)


class PointNet2(nn.Module):
    """The classifier: any number of points, best 1,024 in the unit sphere, y up.

    With fewer points than centres (512, then 128), every point is a centre.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.sa1 = Local(512, 0.2, 32, channels, 64, 64, 128)
        self.sa2 = Local(128, 0.4, 64, 3 + 128, 128, 128, 256)
        self.sa3 = Global(3 + 256, 256, 512, 1024)
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.4)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, channels) -> logits (B, classes)."""
        if one_cloud_at_a_time(self, points):
            return torch.cat([self.forward(cloud) for cloud in torch.split(points, 1)])
        features = points[..., 3:] if points.shape[2] > 3 else None
        pooled = self.sa3(*self.sa2(*self.sa1(points[..., :3], features)))
        hidden = self.dropout(linear_batchnorm(pooled, self.fc1, self.bn1).relu_())
        hidden = self.dropout(linear_batchnorm(hidden, self.fc2, self.bn2).relu_())
        logits: Tensor = self.fc3(hidden)
        return logits
