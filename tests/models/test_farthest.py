"""Farthest point sampling against the plain algorithm, point by point."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pointstill.models.layers import farthest_point_sampling as room
from pointstill.models.layers.farthest_point_sampling import farthest_point_sampling


def by_hand(cloud: np.ndarray, m: int, ignore: float = -1) -> list[int]:
    """Float32, as the CUDA code of pointnet2_ops: a pass over all points for each pick."""
    running = np.full(len(cloud), 1e10, np.float32)
    picks = [0]
    while len(picks) < m:
        best, best_distance = 0, np.float32(-1)
        last = cloud[picks[-1]]
        for i, point in enumerate(cloud):
            if (point**2).sum() <= ignore:
                continue
            running[i] = min(running[i], ((point - last) ** 2).sum())
            if running[i] > best_distance:
                best, best_distance = i, running[i]
        picks.append(best)
    return picks


def clouds(n: int, seed: int) -> torch.Tensor:
    """Three clouds on a coarse grid: equal distances and repeated points abound."""
    draw = np.random.default_rng(seed)
    return torch.from_numpy((draw.integers(-4, 5, (3, n, 3)) / 8).astype(np.float32))


@pytest.mark.parametrize("pick", ["_by_fpsample", "_by_torch"])
@pytest.mark.parametrize("ignore", [None, 1e-3, 0.1])
def test_agrees_with_the_algorithm(
    pick: str, ignore: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_by_fpsample", getattr(room, pick))
    for seed in range(3):
        points = clouds(90, seed)
        points[1, 5] = 0.01  # ignored
        points[2, 0] = 0.02  # ignored, and yet the first
        found = farthest_point_sampling(points, 60, ignore)
        for cloud, picks in zip(points.numpy(), found, strict=True):
            assert picks.tolist() == by_hand(cloud, 60, -1 if ignore is None else ignore)


def test_points_near_the_origin_keep_their_place_in_the_rest() -> None:
    """An ignored point between others; without the rule it would be picked third."""
    points = torch.tensor([[[1, 0, 0], [0.01, 0, 0], [-1, 0, 0], [0.5, 0, 0.0]]])
    assert farthest_point_sampling(points, 3).tolist() == [[0, 2, 1]]
    assert farthest_point_sampling(points, 3, 1e-3).tolist() == [[0, 2, 3]]
    assert farthest_point_sampling(points, 4, 1e-3).tolist() == [[0, 2, 3, 0]]  # no other is left


def test_when_all_are_ignored_the_first_is_repeated() -> None:
    assert farthest_point_sampling(torch.full((2, 5, 3), 1e-3), 4, 1e-3).tolist() == [[0] * 4] * 2


@pytest.mark.parametrize("pick", ["_by_fpsample", "_by_torch"])
def test_random_clouds_of_full_size(pick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_by_fpsample", getattr(room, pick))
    points = torch.randn(2, 1024, 3, generator=torch.Generator().manual_seed(0))
    found = farthest_point_sampling(points, 128)
    assert found.shape == (2, 128)
    for cloud, picks in zip(points.numpy(), found, strict=True):
        assert len(set(picks.tolist())) == 128
        distance = np.full(1024, np.inf, np.float32)
        for before, after in pairwise(picks.tolist()):
            distance = np.minimum(distance, ((cloud - cloud[before]) ** 2).sum(1))
            assert after == distance.argmax()


def test_traced_it_still_looks_at_the_points() -> None:
    example, other = (
        torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    traced = torch.jit.trace(lambda points: farthest_point_sampling(points, 9), example)
    assert torch.equal(traced(other), farthest_point_sampling(other, 9))


def test_float32_whatever_comes_in_and_all_points_of_a_small_cloud() -> None:
    points = torch.randn(1, 300, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        farthest_point_sampling(points.double(), 100), farthest_point_sampling(points, 100)
    )
    everyone = farthest_point_sampling(points[:, :20].requires_grad_(), 64)
    assert everyone.shape == (1, 20)
    assert everyone.sort().values.tolist() == [list(range(20))]
