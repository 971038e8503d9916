"""StillNet: a point-cloud classifier made for CPUs. Our own design, in three sizes.

Where the time goes on a CPU, and what is done about it:

- sampling: 64 centroids taken at equal strides through the cloud, instead of farthest points;
- neighbours: one search from the centroids to the points, one among the centroids;
- edges: they cost k times a point, so only a small network runs on them; later blocks go
  "linear, gather, max" (as DeLA, Chen et al., arXiv 2303.17820, and others do): the linear layer
  runs on points, before the gather, and normalisation after the maximum;
- head: maximum and mean over the centroids, then two linear layers.

All of BatchNorm is affine in eval mode, so a prediction never depends on the rest of its batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .neighbours import gather, nearest


@dataclass(frozen=True)
class Size:
    """The numbers that make a StillNet small or less small."""

    edge: int
    """Channels of the edges between points and centroids."""
    width: int
    """Channels of a centroid."""
    embedding: int
    """Channels of a centroid just before pooling."""
    hidden: int
    """Channels between the two linear layers of the head."""
    centroids: int = 64
    neighbours: int = 16
    """Points around a centroid."""
    neighbour_centroids: int = 8
    """Centroids around a centroid, itself included."""
    blocks: int = 2
    dropout: float = 0.4


N = Size(edge=32, width=64, embedding=128, hidden=64)
S = Size(edge=48, width=96, embedding=192, hidden=128)
M = Size(edge=64, width=128, embedding=256, hidden=160)


def strided(n: int, m: int, device: torch.device) -> Tensor:
    """Indices i * n // m of m points at equal strides among n: (m,). With n < m some repeat."""
    return torch.arange(m, device=device) * n // m


def normalised(channels_in: int, channels_out: int) -> nn.Sequential:
    """Linear layer (a bias would be cancelled), BatchNorm, ReLU on rows: (R, in) -> (R, out)."""
    return nn.Sequential(
        nn.Linear(channels_in, channels_out, bias=False), nn.BatchNorm1d(channels_out), nn.ReLU()
    )


class Grouping(nn.Module):
    """Describe the surface around each centroid by its nearest points (a one-level PointNet++)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.k = size.neighbours
        self.edge = normalised(4, size.edge)
        self.lift = nn.Linear(size.edge, size.width, bias=False)
        self.norm = nn.BatchNorm1d(size.width)

    def forward(self, points: Tensor, centroids: Tensor) -> Tensor:
        """(B, N, 3), (B, M, 3) -> features (B*M, width)."""
        groups = gather(points, nearest(centroids, points, self.k))  # (B, M, k, 3)
        offsets = groups - centroids.unsqueeze(2)
        radius = offsets.square().sum(-1).amax(-1).sqrt().clamp_min(1e-6)  # (B, M)
        radius = radius[:, :, None, None]
        # The direction and relative length of an edge, and beside it how dense the cloud is here.
        edges = torch.cat([offsets / radius, radius.expand(-1, -1, self.k, -1)], -1)
        features = self.lift(self.edge(edges.flatten(0, 2)))  # (B*M*k, width)
        pooled = features.unflatten(0, (-1, self.k)).max(1).values
        return torch.relu(self.norm(pooled))


class Block(nn.Module):
    """Let neighbouring centroids exchange what they know; residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.position = nn.Linear(3, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Sequential(
            normalised(width, width), nn.Linear(width, width, bias=False), nn.BatchNorm1d(width)
        )

    def forward(self, features: Tensor, centroids: Tensor, index: Tensor) -> Tensor:
        """(B*M, width), (B, M, 3), neighbours (B, M, k) -> (B*M, width)."""
        batch, m, _ = centroids.shape
        position = self.position(centroids)  # (B, M, width)
        value = self.value(features).view(batch, m, -1)
        # max_j V f_j + P (p_j - p_i): linear in p, so p_i is taken off after the maximum.
        message = gather(value + position, index).max(2).values - position
        update = self.mix(torch.relu(self.norm(message.flatten(0, 1))))
        return torch.relu(features + update)


class StillNet(nn.Module):
    """The classifier: any number of points from 32 up, best in the unit sphere."""

    def __init__(self, classes: int, size: Size) -> None:
        super().__init__()
        self.size = size
        self.grouping = Grouping(size)
        self.blocks = nn.ModuleList(Block(size.width) for _ in range(size.blocks))
        self.embed = normalised(size.width, size.embedding)
        self.head = nn.Sequential(
            normalised(2 * size.embedding, size.hidden),
            nn.Dropout(size.dropout),
            nn.Linear(size.hidden, classes),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes).

        Centroid i is point i * N // 64, so the order of the points should be random, or at least
        run all over the surface, as in a scan; with fewer than 64 points some centroids repeat.
        """
        centroids = points[:, strided(points.shape[1], self.size.centroids, points.device)]
        index = nearest(centroids, centroids, self.size.neighbour_centroids)
        features = self.grouping(points, centroids)
        for block in self.blocks:
            features = block(features, centroids, index)
        embedded = self.embed(features).unflatten(0, (-1, self.size.centroids))  # (B, M, embedding)
        pooled = torch.cat([embedded.max(1).values, embedded.mean(1)], -1)
        logits: Tensor = self.head(pooled)
        return logits


def stillnet_n(classes: int) -> StillNet:
    """At most 60 thousand parameters at 40 classes."""
    return StillNet(classes, N)


def stillnet_s(classes: int) -> StillNet:
    """At most 140 thousand parameters at 40 classes."""
    return StillNet(classes, S)


def stillnet_m(classes: int) -> StillNet:
    """At most 250 thousand parameters at 40 classes."""
    return StillNet(classes, M)
