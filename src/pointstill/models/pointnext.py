"""PointNeXt-S (Qian et al., NeurIPS 2022, arXiv 2206.04670) for ModelNet40, in two widths.

Names of parameters are those of OpenPoints (github.com/guochengqian/openpoints). Width 64 is the
released ModelNet40 checkpoint, width 32 the default of the configuration.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.farthest_point_sampling import farthest_point_sampling
from .layers.grouping import ball_query, edge_batchnorm
from .layers.nearest_neighbours import gather
from .layers.pointwise import Layer, LinearBatchNorm, linear, one_cloud_at_a_time, weight_matrix
from .layers.pooling import largest

RADII = (0.15, 0.225, 0.3375, 0.50625)
"""Of the balls of the four stages, 1.5 times the one before, in unit-sphere radii."""
MEMBERS = 32
"""Most points of a ball that are used."""


class Stem(nn.Module):
    """A convolution on the coordinates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(nn.Sequential(nn.Conv1d(3, width, 1)))

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, N, width)."""
        layer = cast(Layer, self.get_submodule("convs.0.0"))
        return linear(points.flatten(0, 1), layer).view(*points.shape[:2], -1)


class Stage(nn.Module):
    """Half of the points, far from each other, look at their surroundings; residual."""

    def __init__(self, radius: float, channels: int) -> None:
        super().__init__()
        self.radius = radius
        self.skipconv = nn.Sequential(nn.Conv1d(channels, 2 * channels, 1))
        self.convs = nn.Sequential(
            LinearBatchNorm(nn.Conv2d(3 + channels, channels, 1, bias=False)),
            LinearBatchNorm(nn.Conv2d(channels, 2 * channels, 1, bias=False)),
        )

    def forward(self, points: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 3), (B, N, C) -> centres (B, N // 2, 3) and their features (B, N // 2, 2 C)."""
        index = farthest_point_sampling(points, max(1, points.shape[1] // 2))
        centres = gather(points, index)
        groups = ball_query(centres, points, self.radius, MEMBERS, padded=self.training)
        # An edge is [(p_j - p_i) / r, f_j]: the member's part is linear in [p_j / r, f_j].
        first, second = (cast(LinearBatchNorm, block) for block in self.convs)
        inputs = torch.cat([points / self.radius, features], 2).flatten(0, 1)
        member = F.linear(inputs, weight_matrix(first.layer))
        centre = F.linear(centres.flatten(0, 1) / self.radius, weight_matrix(first.layer)[:, :3])
        rows = edge_batchnorm(member, centre, groups, first.norm).relu_()
        best = groups.maximum(second(rows))
        own = linear(gather(features, index).flatten(0, 1), cast(Layer, self.skipconv[0]))
        return centres, (best + own).relu_().view(*centres.shape[:2], -1)


class Global(nn.Module):
    """All points as one group, at their absolute coordinates."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            LinearBatchNorm(nn.Conv2d(3 + channels, channels, 1, bias=False)),
            LinearBatchNorm(nn.Conv2d(channels, channels, 1, bias=False)),
        )

    def forward(self, points: Tensor, features: Tensor) -> Tensor:
        """(B, N, 3), (B, N, C) -> (B, C)."""
        rows = torch.cat([points, features], 2).flatten(0, 1)
        for block in self.convs:
            rows = block(rows).relu_()
        return largest(rows.view(*points.shape[:2], -1), 1)


class Encoder(nn.Module):
    """Points to one vector of 16 times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stages = [Stage(radius, width << i) for i, radius in enumerate(RADII)]
        # Each in a sequence of its own: larger PointNeXts have more than one block in a stage.
        blocks = [Stem(width), *stages, Global(16 * width)]
        self.encoder = nn.Sequential(*(nn.Sequential(block) for block in blocks))

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, 16 width)."""
        stem, *stages, pooling = (block[0] for block in cast("list[nn.Sequential]", self.encoder))
        features = stem(points)
        for stage in stages:
            points, features = stage(points, features)
        pooled: Tensor = pooling(points, features)
        return pooled


class Head(nn.Module):
    """Three linear layers to logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Sequential(*LinearBatchNorm(nn.Linear(channels, 512, bias=False)), nn.ReLU()),
            nn.Dropout(0.5),
            nn.Sequential(*LinearBatchNorm(nn.Linear(512, 256, bias=False)), nn.ReLU()),
            nn.Dropout(0.5),
            nn.Sequential(nn.Linear(256, classes)),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, C) -> (B, classes)."""
        logits: Tensor = self.head(pooled)
        return logits


class PointNeXt(nn.Module):
    """The classifier: any number of points, best 1,024 in the unit sphere, y up."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.prediction = Head(16 * width, classes)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes)."""
        if one_cloud_at_a_time(self, points):
            return torch.cat([self.forward(cloud) for cloud in torch.split(points, 1)])
        logits: Tensor = self.prediction(self.encoder(points))
        return logits


def pointnext_s(classes: int) -> PointNeXt:
    """The released size, width 64."""
    return PointNeXt(classes, 64)


def pointnext_s_c32(classes: int) -> PointNeXt:
    """The size of the configuration file, width 32."""
    return PointNeXt(classes, 32)
