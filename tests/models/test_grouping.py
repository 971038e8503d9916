"""Groups and ball queries against loops over points."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pointstill.models.layers.farthest_point_sampling import farthest_point_sampling
from pointstill.models.layers.grouping import Groups, ball_query, edge_batchnorm, knn_groups
from pointstill.models.layers.nearest_neighbours import gather, k_nearest
from pointstill.models.layers.pointwise import LinearBatchNorm


def sample() -> tuple[Tensor, Tensor]:
    points = torch.rand(3, 150, 3, generator=torch.Generator().manual_seed(0))
    return points, gather(points, farthest_point_sampling(points, 40))


def by_hand(centres: Tensor, points: Tensor, radius: float, k: int) -> list[list[int]]:
    """Numbers of the first k points in each ball, through the whole batch."""
    found = []
    for b, cloud in enumerate(points.double().numpy()):
        for centre in centres[b].double().numpy():
            inside = np.flatnonzero(((cloud - centre) ** 2).sum(1) <= radius**2)[:k]
            found.append([int(i) + b * len(cloud) for i in inside])
    return found


@pytest.mark.parametrize(("radius", "k"), [(0.2, 8), (0.3, 4), (0.01, 3), (2.0, 16)])
def test_ball_query(radius: float, k: int) -> None:
    points, centres = sample()
    expected = by_hand(centres, points, radius, k)
    found = ball_query(centres, points, radius, k, padded=False)
    assert found.owners is not None
    assert found.count == len(expected) == 120
    edges = list(zip(found.owners.tolist(), found.members.tolist(), strict=True))
    assert edges == [(group, i) for group, members in enumerate(expected) for i in members]

    padded = ball_query(centres, points, radius, k, padded=True)
    repeated = [members + members[:1] * (k - len(members)) for members in expected]
    assert padded.members.view(-1, k).tolist() == repeated


@pytest.mark.parametrize("kind", ["fixed", "ragged", "padded"])
def test_differences_and_maximum(kind: str) -> None:
    points, centres = sample()
    groups = {
        "fixed": lambda: knn_groups(k_nearest(centres, points, 5), 150),
        "ragged": lambda: ball_query(centres, points, 0.2, 8, padded=False),
        "padded": lambda: ball_query(centres, points, 0.2, 8, padded=True),
    }[kind]()
    features = torch.randn(450, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    own = torch.randn(120, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    best = groups.maximum(groups.differences(features, own))
    members: list[list[int]] = [[] for _ in range(120)]
    owners = groups.owners
    if owners is None:
        owners = torch.arange(120).repeat_interleave(len(groups.members) // 120)
    for owner, member in zip(owners.tolist(), groups.members.tolist(), strict=True):
        members[owner].append(member)
    expected = torch.stack([(features[some] - own[i]).amax(0) for i, some in enumerate(members)])
    torch.testing.assert_close(best, expected)
    weights = torch.randn(120, 4, generator=torch.Generator().manual_seed(3))
    for a, b in zip(
        torch.autograd.grad((best * weights).sum(), [features, own]),
        torch.autograd.grad((expected * weights).sum(), [features, own]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("training", [False, True])
def test_folded_batchnorm_is_batchnorm(training: bool) -> None:
    torch.manual_seed(0)
    block = LinearBatchNorm(nn.Conv2d(4, 6, 1)).double().train(training)
    for tensor in (block.norm.weight, block.norm.bias, block.norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(block.norm.running_var, 0.5, 2)
    oracle = nn.BatchNorm2d(6).double().train(training)
    oracle.load_state_dict(block.norm.state_dict())
    rows = torch.randn(30, 4, dtype=torch.float64)
    expected = oracle(block.layer(rows.T[None, :, :, None]))[0, :, :, 0].T
    torch.testing.assert_close(block(rows), expected)

    groups = Groups(torch.randint(0, 30, (40,)), 8)
    points, centres = torch.randn(30, 6).double(), torch.randn(8, 6).double()
    edges = groups.differences(points, centres)
    expected = oracle(edges.T[None, :, :, None])[0, :, :, 0].T
    torch.testing.assert_close(edge_batchnorm(points, centres, groups, block.norm), expected)
    torch.testing.assert_close(block.norm.running_var, oracle.running_var)
