"""StillNet: a point-cloud classifier made for CPUs. Our own design, in three sizes.

Where the time goes on a CPU, and what is done about it (`docs/students.md` has what was tried):

- centroids: the points are put in the order of a space-filling curve, every few of them are
  candidates, and the centroids are farthest points among these. That costs a quarter of farthest
  point sampling in the whole cloud, and the order in which points come does not matter;
- neighbours: one search from the centroids to the points, one among the centroids;
- edges: they cost k times a point, so only a small network runs on them; later blocks go
  "linear, gather, max" (as DeLA, Chen et al., arXiv 2303.17820, and others do): the linear layer
  runs on points, before the gather, and normalisation after the maximum;
- head: maximum and mean over the centroids, then two linear layers;
- members: two small networks over the same centroids learn less by heart than one large network.

All of BatchNorm is affine in eval mode, so a prediction never depends on the rest of its batch.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..points.onnx_nodes import divided
from ..points.zorder import along_curve
from .layers.nearest_neighbours import gather, k_nearest, rows
from .layers.pooling import largest


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
    candidates: int = 256
    """Points from which the centroids are taken."""
    neighbours: int = 16
    """Points around a centroid."""
    neighbour_centroids: int = 8
    """Centroids around a centroid, itself included."""
    blocks: int = 2
    members: int = 1
    """Networks over the same centroids whose logits are averaged."""
    dropout: float = 0.2


N = Size(edge=32, width=64, embedding=128, hidden=64, dropout=0.1)
S = Size(edge=48, width=96, embedding=192, hidden=128)
M = Size(edge=48, width=88, embedding=176, hidden=128, members=2)


def coordinates(points: Tensor) -> Tensor:
    """Of points with channels, x, y and z: (B, N, 3 + F) -> (B, N, 3)."""
    # Those that have no others as they are: the graph of such a student has no node for it.
    return points if points.shape[2] == 3 else points[..., :3]


def strides(points: Tensor, count: int) -> Tensor:
    """Places at equal distances along N points, from the first on: (B, N, C) -> (count,)."""
    n = torch.scalar_tensor(points.shape[1], dtype=torch.int64, device=points.device)
    return divided(torch.arange(count, device=points.device) * n, count)


def loose_strides(points: Tensor, count: int) -> Tensor:
    """The same, each place drawn from its stretch: (B, N, C) -> (B, count)."""
    batch, n, _ = points.shape
    stretch = torch.rand(batch, count, device=points.device) * (n / count)
    return (strides(points, count) + stretch.long()).clamp_max(n - 1)


def pick_centroids(candidates: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Points that lie far from one another: (B, n, 3 + F) -> (B, m, 3 + F).

    Farthest point sampling (Eldar et al. 1997) from the first candidate on. Where fewer than m
    differ, all are taken, again and again. The steps are written out, since a graph of ONNX has to
    hold them. No gradient flows.

    Returns:
        The points, and which of them are taken again: bool (B, m).
    """
    if torch.is_autocast_enabled(candidates.device.type):  # bfloat16 confuses close distances
        with torch.autocast(candidates.device.type, enabled=False):
            return pick_centroids(candidates.float(), m)
    between = squared_distances(coordinates(candidates))
    distance = between[:, :1]  # of each candidate to the nearest centroid, (B, 1, n)
    picks = [torch.zeros_like(distance[..., :1], dtype=torch.int64)]
    for _ in range(m - 1):
        picks.append(distance.argmax(2, keepdim=True))
        distance = torch.minimum(distance, rows(between, picks[-1]))
    centroids = gather(candidates, torch.cat(picks, 1)[..., 0])
    # One that lies on an earlier one, within rounding, was picked when no other point was left.
    gaps = squared_distances(coordinates(centroids))
    same = gaps <= 1e-6 * gaps.amax((1, 2), keepdim=True)
    fresh = m - same.tril(-1).any(2).sum(1, keepdim=True)  # (B, 1), how many differ
    places = torch.arange(m, device=candidates.device)
    return gather(centroids, places % fresh), places >= fresh


def squared_distances(points: Tensor) -> Tensor:
    """Between all pairs, as a single product: (B, N, 3) -> (B, N, N)."""
    square = points.square().sum(-1, keepdim=True)
    one = torch.ones_like(square)
    left = torch.cat([-2 * points, square, one], -1)
    return left @ torch.cat([points, one, square], -1).transpose(1, 2)


def linear_batchnorm_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    """Linear layer (a bias would be cancelled), BatchNorm, ReLU on rows: (R, in) -> (R, out)."""
    return nn.Sequential(
        nn.Linear(channels_in, channels_out, bias=False), nn.BatchNorm1d(channels_out), nn.ReLU()
    )


def repeats(points: Tensor) -> Tensor:
    """Which of the points along the curve repeat the one before: (B, N, 3 + F) -> bool (B, N).

    Where two points in one cell of the curve and their copies alternate, it sees none.
    """
    differ = (points[:, 1:] - points[:, :-1]).abs().amax(2)
    return F.pad(differ, (1, 0), value=1.0) == 0


def surroundings(
    points: Tensor, centroids: Tensor, k: int, without: Tensor | None = None
) -> Tensor:
    """The k nearest points of each centroid: (B, N, 3 + F), (B, M, 3) -> (B, M, k, 4 + F).

    The direction and relative length of an edge, and beside it how dense the cloud is there; then
    the neighbour's own channels, if there are any. Points `without` (B, N) come last.
    """
    groups = gather(points, k_nearest(centroids, coordinates(points), k, without))
    channels = groups.shape[3] - 3
    offsets = (groups[..., :3] if channels else groups) - centroids.unsqueeze(2)
    radius = offsets.square().sum(-1).amax(-1).sqrt().clamp_min(1e-6)[:, :, None, None]
    edges = [offsets / radius, radius.expand(-1, -1, k, -1)]
    return torch.cat(edges + [groups[..., 3:]] * (channels > 0), -1)


class Grouping(nn.Module):
    """Describe the surface around each centroid by its nearest points (a one-level PointNet++)."""

    def __init__(self, size: Size, channels: int) -> None:
        super().__init__()
        self.edge = linear_batchnorm_relu(1 + channels, size.edge)
        self.lift = nn.Linear(size.edge, size.width, bias=False)
        self.place = nn.Linear(channels, size.width, bias=False)
        self.norm = nn.BatchNorm1d(size.width)

    def forward(self, edges: Tensor, centroids: Tensor) -> Tensor:
        """(B, M, k, 4 + F), (B, M, 3 + F) -> features (B*M, width)."""
        features = self.lift(self.edge(edges.flatten(0, 2)))  # (B*M*k, width)
        pooled = largest(features.unflatten(0, (-1, edges.shape[2])), 1)
        # Where in the shape it is, and what is measured there, tell as much as what it looks like.
        return torch.relu(self.norm(pooled + self.place(centroids.flatten(0, 1))))


class Block(nn.Module):
    """Neighbouring centroids tell each other, then each thinks it over; both steps are residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.position = nn.Linear(3, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Sequential(
            *linear_batchnorm_relu(width, width),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, features: Tensor, centroids: Tensor, index: Tensor) -> Tensor:
        """(B*M, width), (B, M, 3), neighbours (B, M, k) -> (B*M, width)."""
        batch, m, _ = centroids.shape
        position = self.position(centroids)  # (B, M, width)
        value = self.value(features).view(batch, m, -1)
        # max_j V f_j + P (p_j - p_i): linear in p, so p_i is taken off after the maximum.
        message = largest(gather(value + position, index), 2) - position
        features = features + self.norm(message.flatten(0, 1))
        update: Tensor = self.mix(features)
        return features + update


class Member(nn.Module):
    """A whole network on centroids and what surrounds them."""

    def __init__(self, classes: int, size: Size, channels: int) -> None:
        super().__init__()
        self.grouping = Grouping(size, channels)
        self.blocks = nn.ModuleList(Block(size.width) for _ in range(size.blocks))
        self.embed = linear_batchnorm_relu(size.width, size.embedding)
        self.head = nn.Sequential(
            linear_batchnorm_relu(2 * size.embedding, size.hidden),
            nn.Dropout(size.dropout),
            nn.Linear(size.hidden, classes),
        )

    def forward(self, edges: Tensor, centroids: Tensor, index: Tensor) -> Tensor:
        """Edges (B, M, k, 4 + F), (B, M, 3 + F), neighbours (B, M, k') -> logits (B, classes)."""
        features = self.grouping(edges, centroids)
        places = coordinates(centroids)
        for block in self.blocks:
            features = block(features, places, index)
        embedded = self.embed(features).unflatten(0, (-1, centroids.shape[1]))
        pooled = torch.cat([largest(embedded, 1), embedded.mean(1)], -1)  # (B, 2 embedding)
        logits: Tensor = self.head(pooled)
        return logits


class StillNet(nn.Module):
    """The classifier: any number of points from 16 up, best in the unit sphere.

    With `channels` numbers a point, those after x, y and z are what is measured there: an edge has
    its neighbour's, a centroid its own. Where the points are is for xyz alone to say.

    Where it has several members, each learns from its own share of every batch, which costs what a
    single one does and keeps them different. Later the mean of their logits is the answer: a deep
    ensemble (Lakshminarayanan et al., arXiv 1612.01474, who average probabilities) in one file.
    """

    distinct = True
    """Whether points that repeat others are no neighbours, so that a small cloud that is drawn
    again and again to fill a view stays what it is. For students with normalisation 1 they are."""
    apart = False
    """Whether, in training, each member sees the whole batch and its logits are told apart."""

    def __init__(self, classes: int, size: Size, channels: int = 3) -> None:
        super().__init__()
        self.size = size
        self.members = nn.ModuleList(Member(classes, size, channels) for _ in range(size.members))

    @property
    def several(self) -> bool:
        """Whether there are several members, which can be told apart."""
        return len(self.members) > 1

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, channels) -> logits (B, classes), or (B, members, classes) if apart."""
        points = gather(points, along_curve(coordinates(points)))
        if not self.training:
            return self.in_order(points)
        # Other centroids in every epoch.
        return self.classify(points, gather(points, loose_strides(points, self.size.candidates)))

    def in_order(self, points: Tensor) -> Tensor:
        """The same of points that come along the curve, for whoever sorted them already."""
        return self.classify(points, points.index_select(1, strides(points, self.size.candidates)))

    def classify(self, points: Tensor, candidates: Tensor) -> Tensor:
        """Points along the curve and candidates (B, n, channels) -> logits (B, classes)."""
        size, count = self.size, len(self.members)
        centroids, again = pick_centroids(candidates, size.centroids)
        places = coordinates(centroids)
        copies = repeats(points) if self.distinct else None
        edges = surroundings(points, places, size.neighbours, copies)
        index = k_nearest(
            places, places, size.neighbour_centroids, again if self.distinct else None
        )
        inputs = edges, centroids, index
        if self.training and self.apart:
            return torch.stack([member(*inputs) for member in self.members], 1)
        # BatchNorm wants two shapes in a share.
        if self.training and count > 1 and len(points) >= 2 * count:
            shares = zip(*(each.tensor_split(count) for each in inputs), strict=True)
            return torch.cat([m(*share) for m, share in zip(self.members, shares, strict=True)])
        return torch.stack([member(*inputs) for member in self.members]).mean(0)


def stillnet_n(classes: int, channels: int = 3) -> StillNet:
    """At most 60 thousand parameters at 40 classes."""
    return StillNet(classes, N, channels)


def stillnet_s(classes: int, channels: int = 3) -> StillNet:
    """At most 140 thousand parameters at 40 classes."""
    return StillNet(classes, S, channels)


def stillnet_m(classes: int, channels: int = 3) -> StillNet:
    """At most 250 thousand parameters at 40 classes."""
    return StillNet(classes, M, channels)
