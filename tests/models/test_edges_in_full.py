"""The rearranged layers against edges in full, as the papers write them: values, gradients, and the
statistics of BatchNorm in training."""

import copy
import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pointstill.models import build_model
from pointstill.models.dgcnn import EdgeConvolution
from pointstill.models.layers.farthest_point_sampling import farthest_point_sampling
from pointstill.models.layers.grouping import knn_groups
from pointstill.models.layers.nearest_neighbours import gather, k_nearest
from pointstill.models.point_mae import Encoder
from pointstill.models.pointmlp import Affine, EdgeBlocks, edges
from pointstill.models.pointnet2 import Local
from pointstill.models.pointnext import Stage

MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def as_trained(module: nn.Module, training: bool) -> nn.Module:
    """Float64, with gains (negative ones too) and statistics as after training."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.double().train(training)


def clouds(n: int, channels: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, channels, generator=generator, dtype=torch.float64)


def apply(values: Tensor, layer: nn.Module, norm: nn.BatchNorm1d | None = None) -> Tensor:
    """Convolution, then BatchNorm, over (..., C), with their own code and statistics."""
    out = values @ layer.weight.flatten(1).T
    if layer.bias is not None:
        out = out + layer.bias
    return out if norm is None else norm(out.flatten(0, -2)).view(out.shape)


def sorted_by_distance(centre: Tensor, cloud: Tensor) -> Tensor:
    return (cloud - centre).square().sum(1).argsort()


def in_ball(centre: Tensor, cloud: Tensor, radius: float, k: int) -> Tensor:
    inside = ((cloud - centre).square().sum(1) <= radius**2).nonzero().flatten()[:k]
    return torch.cat([inside, inside[:1].expand(k - len(inside))])


def farthest_by_hand(cloud: Tensor, m: int) -> list[int]:
    picks, running = [0], torch.full((len(cloud),), torch.inf, dtype=torch.float64)
    while len(picks) < m:
        running = torch.minimum(running, (cloud - cloud[picks[-1]]).square().sum(1))
        picks.append(int(running.argmax()))
    return picks


def compare(
    module: nn.Module,
    ours: Callable[[nn.Module], Tensor],
    theirs: Callable[[nn.Module], Tensor],
    inputs: list[Tensor],
) -> None:
    """Values, gradients of inputs and parameters, and running statistics."""
    oracle = copy.deepcopy(module)
    a, b = ours(module), theirs(oracle)
    torch.testing.assert_close(a, b)
    for key, value in oracle.state_dict().items():
        torch.testing.assert_close(module.state_dict()[key], value)
    weights = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    for one, other in zip(
        torch.autograd.grad((a * weights).sum(), [*inputs, *used(module)]),
        torch.autograd.grad((b * weights).sum(), [*inputs, *used(oracle)]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def used(module: nn.Module) -> list[nn.Parameter]:
    """Parameters; the residual blocks of PointMLP are not on the way here."""
    return [value for key, value in module.named_parameters() if "operation" not in key]


@MODES
def test_edge_convolution(training: bool) -> None:
    module = as_trained(EdgeConvolution(4, 6), training)
    features = clouds(40, 4).requires_grad_()

    def in_full(module: nn.Module) -> Tensor:
        rows = []
        for cloud in features:
            near = torch.stack([sorted_by_distance(x, cloud)[:20] for x in cloud])
            centre = cloud[:, None].expand(-1, 20, -1)
            rows.append(torch.cat([cloud[near] - centre, centre], 2))
        return nn.functional.leaky_relu(apply(torch.stack(rows), *module), 0.2).amax(2)

    compare(module, lambda module: module(features), in_full, [features])


@MODES
@pytest.mark.parametrize("channels", [0, 5])
def test_set_abstraction(channels: int, training: bool) -> None:
    module = as_trained(Local(12, 1.2, 8, 3 + channels, 7, 6, 5), training)
    points, features = clouds(50, 3), clouds(50, channels, 1).requires_grad_()

    def in_full(module: nn.Module) -> Tensor:
        rows = []
        for cloud, x in zip(points, features, strict=True):
            for i in farthest_by_hand(cloud, 12):
                near = in_ball(cloud[i], cloud, 1.2, 8)
                rows.append(torch.cat([cloud[near] - cloud[i], x[near]], 1))
        values = torch.stack(rows).view(2, 12, 8, -1)
        for layer, norm in module.layers:
            values = torch.relu(apply(values, layer, norm))
        return values.amax(2)

    given = features if channels else None
    compare(
        module, lambda module: module(points, given)[1], in_full, [features] if channels else []
    )


@MODES
def test_pointnext_stage(training: bool) -> None:
    module = as_trained(Stage(1.2, 6), training)
    points, features = clouds(40, 3), clouds(40, 6, 1).requires_grad_()

    def in_full(module: nn.Module) -> Tensor:
        rows, own = [], []
        for cloud, x in zip(points, features, strict=True):
            for i in farthest_by_hand(cloud, 20):
                near = in_ball(cloud[i], cloud, 1.2, 32)
                rows.append(torch.cat([(cloud[near] - cloud[i]) / 1.2, x[near]], 1))
                own.append(x[i])
        values = torch.stack(rows).view(2, 20, 32, -1)
        values = apply(torch.relu(apply(values, *module.convs[0])), *module.convs[1]).amax(2)
        skip = apply(torch.stack(own).view(2, 20, -1), module.skipconv[0])
        return torch.relu(values + skip)

    compare(module, lambda module: module(points, features)[1], in_full, [features])


@MODES
def test_geometric_affine(training: bool) -> None:
    module = nn.ModuleList([Affine(6), EdgeBlocks(6, 8, 1, 1)])
    nn.init.normal_(module[0].affine_alpha)
    nn.init.normal_(module[0].affine_beta)
    as_trained(module, training)
    points, features = clouds(40, 3), clouds(40, 6, 1).requires_grad_()
    centres = points[:, :10]
    groups = knn_groups(k_nearest(centres, points, 24), 40)

    def in_full(module: nn.Module) -> Tensor:
        affine, rows = module[0], []
        for cloud, x in zip(points, features, strict=True):
            near = torch.stack([sorted_by_distance(p, cloud)[:24] for p in cloud[:10]])
            difference = x[near] - x[:10, None]
            sigma = difference.flatten().std()
            g = affine.affine_alpha * difference / (sigma + 1e-5) + affine.affine_beta
            rows.append(torch.cat([g[0], x[:10, None].expand(-1, 24, -1)], 2))
        return torch.relu(apply(torch.stack(rows), *module[1].transfer.net)).amax(2)

    def ours(module: nn.Module) -> Tensor:
        own = gather(features, torch.arange(10).expand(2, 10))
        rows = edges(features, own, groups, module[0], module[1].transfer.net)
        return groups.maximum(rows).view(2, 10, -1)

    compare(module, ours, in_full, [features])


@MODES
def test_point_mae_tokens(training: bool) -> None:
    module = as_trained(Encoder(), training)
    points = clouds(40, 3).requires_grad_()

    def in_full(module: nn.Module) -> Tensor:
        one, norm_one, _, two = module.first_conv
        three, norm_two, _, four = module.second_conv
        rows = []
        for cloud in points:
            near = torch.stack([sorted_by_distance(p, cloud)[:32] for p in cloud[:6]])
            rows.append(cloud[near] - cloud[:6, None])
        h = apply(torch.relu(apply(torch.stack(rows), one, norm_one)), two)
        both = torch.cat([h.amax(2, keepdim=True).expand_as(h), h], 3)
        return apply(torch.relu(apply(both, three, norm_two)), four).amax(2)

    compare(module, lambda module: module(points, points[:, :6]), in_full, [points])


@pytest.mark.parametrize(
    ("name", "room", "ignore"),
    [
        ("pointnet2-ssg", "pointnet2", None),
        ("pointnext-s-c32", "pointnext", None),
        ("pointmlp-elite", "pointmlp", 1e-3),
        ("point-mae", "point_mae", 1e-3),
    ],
)
def test_who_ignores_points_near_the_origin(
    name: str, room: str, ignore: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def listening(points: Tensor, m: int, ignore: float | None = None) -> Tensor:
        asked.append(ignore)
        return farthest_point_sampling(points, m, ignore)

    monkeypatch.setattr(
        importlib.import_module(f"pointstill.models.{room}"), "farthest_point_sampling", listening
    )
    with torch.inference_mode():
        build_model(name, 3).eval()(torch.rand(1, 64, 3))
    assert asked
    assert set(asked) == {ignore}
