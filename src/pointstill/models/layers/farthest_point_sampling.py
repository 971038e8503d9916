"""Farthest point sampling: off the GPU by fpsample, on it by torch.

Both compute in float32, whatever the points are in, as the published CUDA code does.
"""

import fpsample
import numpy as np
import torch
from torch import Tensor

from .nearest_neighbours import tracing


def farthest_point_sampling(points: Tensor, m: int, ignore: float | None = None) -> Tensor:
    """Indices of m points, each the farthest from those before it: (B, N, 3) -> (B, min(m, N)).

    Point 0 is the first; of equally far points the one with the smallest index is taken. When no
    point is away from those already picked, the first is picked again. No gradient flows.

    Args:
        points: clouds.
        m: how many; with fewer points, all are taken.
        ignore: points with |p|^2 <= ignore are never picked, unless as the first, and when no
            other is left, the first point that is not ignored is picked again. (So does the CUDA
            code of pointnet2_ops, with 1e-3, where such points pad a cloud.)

    """
    points = points.detach().float()
    m = min(m, points.shape[1])
    pick = _by_torch if points.is_cuda or tracing() else _by_fpsample
    if ignore is None:
        return pick(points, m)
    ignored = points.square().sum(-1) <= ignore  # (B, N)
    # Moved to the first point, they are at distance 0 after the first pick.
    picks = pick(torch.where(ignored[..., None], points[:, :1], points), m)
    exhausted = ignored.gather(1, picks)
    exhausted[:, 0] = False
    first = (~ignored).to(torch.uint8).argmax(1, keepdim=True)
    return torch.where(exhausted, first, picks)


def _by_fpsample(points: Tensor, m: int) -> Tensor:
    # Its bucketed variants are faster still, but do not start where they are told to. Of equally
    # far points it takes the last, which is the first of the reversed cloud.
    n = points.shape[1]
    clouds = points.flip(1).cpu().numpy()
    picks = [fpsample.fps_sampling(cloud, m, start_idx=n - 1) for cloud in clouds]
    return n - 1 - torch.from_numpy(np.stack(picks).astype(np.int64)).to(points.device)


def _by_torch(points: Tensor, m: int) -> Tensor:
    """The m steps in a loop, each over all points of all clouds."""
    cloud = torch.arange(points.shape[0], device=points.device)
    distance = torch.full_like(points[..., 0], torch.inf)  # squared, to the nearest pick
    picks = [torch.zeros_like(cloud)]
    for _ in range(m - 1):
        offsets = points - points[cloud, picks[-1]].unsqueeze(1)
        distance = torch.minimum(distance, offsets.square().sum(-1))
        picks.append(distance.argmax(1))
    return torch.stack(picks, 1)
