"""GDANet: geometry-disentangled attention network (Xu, Zhang, Zhou, Xu, Qi, Qiao, AAAI 2021).

Names of parameters are those of the published checkpoints (github.com/mutianxu/GDANet). The
computation is arranged for CPUs; what is rearranged is exact algebra, explained where it is done.
"""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.nearest_neighbours import gather, k_nearest
from .layers.pointwise import LinearBatchNorm, batchnorm_affine, linear, weight_matrix
from .layers.pooling import largest

NEIGHBOURS = 30
"""Neighbours of a point in the local operator, itself included."""
GRAPH_NEIGHBOURS = 64
"""Neighbours of a point in the disentangling graph, itself included."""
TAU = 0.2
"""Largest distance between two points that the disentangling graph connects."""
SIGMA = 2.0
"""Width of its Gaussian weights."""
SELECTED = 256
"""Points in the sharp and in the gentle set."""


class Block(LinearBatchNorm):
    """A 1x1 convolution, BatchNorm and ReLU, on rows of features: (R, in) -> (R, out)."""

    def without_relu(self, rows: Tensor) -> Tensor:
        """Convolution and BatchNorm: (R, in) -> (R, out)."""
        out: Tensor = self.norm(linear(rows, self.layer))
        return out

    def forward(self, rows: Tensor) -> Tensor:
        """The whole block: (R, in) -> (R, out)."""
        return torch.relu(self.without_relu(rows))

    def on_points(self, features: Tensor) -> Tensor:
        """The whole block: (B, N, in) -> (B, N, out)."""
        batch, n, _ = features.shape
        return self.forward(features.flatten(0, 1)).view(batch, n, -1)


def local(features: Tensor, first: Block, second: Block) -> Tensor:
    """Local operator: (B, N, C) -> (B, N, out), the maximum over the edges of each point.

    An edge from point i to its neighbour j is [x_j - x_i, x_j]; both blocks run on it. The first
    convolution is linear, so it is done on points and only its results are gathered:
    [U V] [x_j - x_i, x_j] + b = (U + V) x_j - (U x_i - b).
    """
    batch, n, channels = features.shape
    rows = features.flatten(0, 1)  # (R, C), R = B*N
    index = k_nearest(features, features, min(NEIGHBOURS, n))  # (B, N, k)
    start = torch.arange(batch, device=index.device) * n  # row where each cloud begins
    edges = (index + start[:, None, None]).flatten(0, 1).T.contiguous()  # (k, R)

    to_offset, to_neighbour = weight_matrix(first.layer).tensor_split([channels], 1)
    neighbour = rows @ (to_offset + to_neighbour).T
    centre = rows @ to_offset.T - cast(Tensor, first.layer.bias)
    pool = _pool_with_batch_statistics if first.training else _pool_with_running_statistics
    out = pool(neighbour, centre, edges, first, second)
    return out.view(batch, n, -1)


def _pool_with_batch_statistics(
    neighbour: Tensor, centre: Tensor, edges: Tensor, first: Block, second: Block
) -> Tensor:
    """All edges at once, since BatchNorm needs their mean and variance: (R, C) -> (R, out)."""
    k, r = edges.shape
    values = neighbour.index_select(0, edges.flatten()).view(k, r, -1) - centre
    values = second(torch.relu(first.norm(values.flatten(0, 1))))
    best = largest(values.view(k, r, -1), 0)
    return best


def _pool_with_running_statistics(
    neighbour: Tensor, centre: Tensor, edges: Tensor, first: Block, second: Block
) -> Tensor:
    """One neighbour of every point at a time, so that all stays in the cache: (R, C) -> (R, out).

    Both BatchNorms are folded. Adding a bias and ReLU are monotone, so they follow the maximum.
    """
    scale, shift = batchnorm_affine(first.norm)
    neighbour, centre = neighbour * scale, centre * scale - shift
    scale, shift = batchnorm_affine(second.norm)
    weight = weight_matrix(second.layer) * scale[:, None]
    bias = cast(Tensor, second.layer.bias) * scale + shift
    best = neighbour.new_full((1, 1), -torch.inf)
    for jth in edges:
        values = (neighbour.index_select(0, jth) - centre).relu_()
        best = torch.maximum(best, F.linear(values, weight))
    return (best + bias).relu_()


def smoothed(features: Tensor) -> Tensor:
    """Each point's graph neighbours averaged, itself left out: (N, C) -> (N, C), section 3.1.

    W_ij = exp(-|x_i - x_j|^2 / sigma^2) within tau, else 0; the mean runs over the 63 nearest
    others, divided by the degree over all points. Mostly fewer than 64 points lie within tau; then
    the 63 nearest hold every non-zero weight, and one matrix product does without a search.
    """
    square, one = features.square().sum(1, keepdim=True), torch.ones_like(features[:, :1])
    left = torch.cat([2 * features, -square, -one], 1)
    closeness = left @ torch.cat([features, one, square], 1).T  # -|x_i - x_j|^2, (N, N)
    closeness.masked_fill_(closeness <= -(TAU**2), -torch.inf)
    weights = closeness.div_(SIGMA**2).exp_()
    degree = weights.sum(1)  # W is symmetric
    k = min(GRAPH_NEIGHBOURS, len(features))
    crowded = (degree > k - 1).nonzero().squeeze(1)  # at least all points with more than k near
    kept = weights[crowded].topk(k)
    others, indices = kept.values[:, 1:], kept.indices[:, 1:]  # the first is the point itself
    weights.fill_diagonal_(0)
    weights[crowded] = torch.zeros_like(weights[crowded]).scatter_(1, indices, others)
    return weights @ features / degree[:, None]


def disentangle(features: Tensor) -> tuple[Tensor, Tensor]:
    """Split off the points that vary most and least: (B, N, C) -> sharp, gentle (B, 256, C).

    Gradients flow through the picked features, not through the choice.
    """
    sharp, gentle = _ends(features.detach())
    return gather(features, sharp), gather(features, gentle)


def _ends(features: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the points that vary most and least: (B, N, C) -> (B, 256), (B, 256)."""
    kind = features.device.type
    if torch.is_autocast_enabled(kind):  # in bfloat16 the distances within tau are mostly noise
        with torch.autocast(kind, enabled=False):
            return _ends(features.float())
    with torch.no_grad():
        means = torch.stack([smoothed(cloud) for cloud in features])
        variation = (features - means).square().sum(2)  # (B, N)
        count = min(SELECTED, features.shape[1])
        sharp = variation.topk(count).indices
        gentle = variation.topk(count, largest=False).indices
    return sharp, gentle


class Attention(nn.Module):
    """Sharp-gentle complementary attention (section 3.2); residual, without a softmax."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.g = nn.Conv1d(channels, inner, 1)
        self.W = Block(nn.Conv1d(inner, channels, 1))
        self.theta = nn.Conv1d(channels, inner, 1)
        self.phi = nn.Conv1d(channels, inner, 1)
        nn.init.zeros_(self.W.norm.weight)
        nn.init.zeros_(self.W.norm.bias)

    def forward(self, features: Tensor, selected: Tensor) -> Tensor:
        """(B, N, C), (B, M, C) -> (B, N, C)."""
        theta = linear(features, self.theta)
        phi, g = linear(selected, self.phi), linear(selected, self.g)
        # y_i = sum_j (theta_i . phi_j) g_j / M is linear in theta_i: one small matrix a cloud.
        summary = phi.transpose(1, 2) @ g / selected.shape[1]  # (B, inner, inner)
        rows = (theta @ summary).flatten(0, 1)
        return self.W.without_relu(rows).view_as(features) + features


class GDANet(nn.Module):
    """The classifier of the paper for ModelNet40; expects the y axis up, best 1,024 points."""

    ALIASES: ClassVar[dict[str, str]] = {
        f"bn{i}.": f"conv{i}.1." for i in (1, 11, 12, 2, 21, 22, 3, 31, 32, 4)
    }
    """The published checkpoints hold these BatchNorms under both names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = Block(nn.Conv2d(2 * 3, 64, 1))
        self.conv11 = Block(nn.Conv2d(64, 64, 1))
        self.conv12 = Block(nn.Conv1d(2 * 64, 64, 1))
        self.conv2 = Block(nn.Conv2d(2 * (3 + 64), 64, 1))
        self.conv21 = Block(nn.Conv2d(64, 64, 1))
        self.conv22 = Block(nn.Conv1d(2 * 64, 64, 1))
        self.conv3 = Block(nn.Conv2d(2 * (3 + 64 + 64), 128, 1))
        self.conv31 = Block(nn.Conv2d(128, 128, 1))
        self.conv32 = Block(nn.Conv1d(128, 128, 1))
        self.conv4 = Block(nn.Conv1d(64 + 64 + 128, 512, 1))
        self.SGCAM_1s, self.SGCAM_1g = Attention(64, 32), Attention(64, 32)
        self.SGCAM_2s, self.SGCAM_2g = Attention(64, 32), Attention(64, 32)
        self.linear1 = nn.Linear(2 * 512, 512)
        self.bn6 = nn.BatchNorm1d(512)
        self.linear2 = nn.Linear(512, 256)
        self.bn7 = nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.4)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes)."""
        if not self.training and len(points) > 1:
            # A cloud at a time keeps the N x N matrices in the cache, and makes a prediction the
            # same to the last bit whatever its batch.
            return torch.cat([self.forward(cloud) for cloud in torch.split(points, 1)])

        x1 = local(points, self.conv1, self.conv11)
        sharp, gentle = disentangle(x1)
        y1 = torch.cat([self.SGCAM_1s(x1, sharp), self.SGCAM_1g(x1, gentle)], 2)
        z1 = self.conv12.on_points(y1)

        t1 = torch.cat([points, z1], 2)
        x2 = local(t1, self.conv2, self.conv21)
        sharp, gentle = disentangle(x2)
        y2 = torch.cat([self.SGCAM_2s(x2, sharp), self.SGCAM_2g(x2, gentle)], 2)
        z2 = self.conv22.on_points(y2)

        x3 = local(torch.cat([t1, z2], 2), self.conv3, self.conv31)
        z3 = self.conv32.on_points(x3)

        top = self.conv4.on_points(torch.cat([z1, z2, z3], 2))
        pooled = torch.cat([top.max(1).values, top.mean(1)], 1)
        hidden = self.dropout(torch.relu(self.bn6(self.linear1(pooled))))
        hidden = self.dropout(torch.relu(self.bn7(self.linear2(hidden))))
        logits: Tensor = self.linear3(hidden)
        return logits
