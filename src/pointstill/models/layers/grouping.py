"""Groups of points around centres, and what networks do on their edges.

An edge joins a centre to a member of its group. All work on edges is done in rows (E, channels),
where only the first linear layer is not: it is linear in member and centre, so it runs on points,
and edges get the difference of its results, [U V] [x_j - x_i, x_i] = U x_j - (U - V) x_i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .nearest_neighbours import within_radius
from .pointwise import batchnorm_affine
from .pooling import largest


@dataclass(frozen=True)
class Groups:
    """Which points are in which group; groups and points are numbered through the whole batch."""

    members: Tensor
    """Number of the point of each edge, group by group: (E,)."""
    count: int
    """Groups in all, G."""
    owners: Tensor | None = None
    """Number of the group of each edge: (E,). None: all groups are of one size."""

    def differences(self, points: Tensor, centres: Tensor) -> Tensor:
        """Member minus centre on each edge: (B*N, C), (G, C) -> (E, C)."""
        values = points.index_select(0, self.members)
        if self.owners is None:
            return (values.view(self.count, -1, values.shape[1]) - centres[:, None]).flatten(0, 1)
        return values - centres.index_select(0, self.owners)

    def maximum(self, values: Tensor) -> Tensor:
        """The largest value in each group: (E, C) -> (G, C)."""
        if self.owners is None:
            return largest(values.view(self.count, -1, values.shape[1]), 1)
        lowest = values.new_full((self.count, values.shape[1]), -torch.inf)
        owners = self.owners[:, None].expand_as(values)
        return lowest.scatter_reduce(0, owners, values, "amax")


def knn_groups(index: Tensor, n: int) -> Groups:
    """Groups of k members each, such as nearest neighbours: (B, M, k) of n points a cloud."""
    start = torch.arange(len(index), device=index.device) * n  # where each cloud begins
    members = (index + start[:, None, None]).flatten()
    return Groups(members, index.shape[0] * index.shape[1])


def ball_query(centres: Tensor, points: Tensor, radius: float, k: int, padded: bool) -> Groups:
    """The first k points, by index, within `radius` of each centre: (B, M, 3), (B, N, 3).

    The ball query of PointNet++ (Qi et al. 2017); centres are among the points, so that no group
    is empty. Published code repeats a group's first member where there are fewer than k, which
    weighs in the statistics of BatchNorm and nowhere else.

    Args:
        centres: around which to look.
        points: among which.
        radius: of the ball.
        k: largest number of members.
        padded: with these repetitions, k members in each group, as training needs them.

    """
    near = within_radius(centres, points, radius).flatten(0, 1)  # (G, N)
    owners, columns = near.nonzero(as_tuple=True)
    sizes = near.sum(1)
    begin = sizes.cumsum(0) - sizes
    n, m = points.shape[1], centres.shape[1]
    members = columns + owners.div(m, rounding_mode="floor") * n
    if padded:
        place = torch.arange(k, device=near.device)
        place = torch.where(place < sizes[:, None], place, 0)
        return Groups(members[begin[:, None] + place].flatten(), len(near))
    place = torch.arange(len(owners), device=near.device) - begin[owners]
    return Groups(members[place < k], len(near), owners[place < k])


def edge_batchnorm(points: Tensor, centres: Tensor, groups: Groups, norm: nn.BatchNorm1d) -> Tensor:
    """BatchNorm of member minus centre on each edge: (B*N, C), (G, C) -> (E, C).

    In eval mode its scale and shift are applied to points and centres, which are fewer.
    """
    if norm.training:
        out: Tensor = norm(groups.differences(points, centres))
        return out
    scale, shift = batchnorm_affine(norm)
    return groups.differences(points * scale, centres * scale - shift)
