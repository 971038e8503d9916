from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published import Reference
from torch import Tensor, nn

from pointstill.models.checkpoints import load_weights, read_weights
from pointstill.models.gdanet import TAU, Block, GDANet, disentangle, local, smoothed
from pointstill.teachers import load_teacher

PUBLISHED = "GDANet_ModelNet40_93.4.t7"


def weights_file(kind: str, original: Reference, shared: Path, folder: Path) -> Path:
    """The formula's weights as the authors would have saved them, or theirs."""
    if kind == "published":
        return shared / "weights" / PUBLISHED
    state = original.state()
    if kind == "dense":
        scaled = original.notes["dense_scaled_entries"]
        factor = torch.tensor(0.3)
        state = {key: value * factor if key in scaled else value for key, value in state.items()}
    file = folder / "model.t7"
    torch.save({f"module.{key}": value for key, value in state.items()}, file)
    return file


@pytest.mark.parametrize(
    ("kind", "key"), [("fill", "logits"), ("dense", "dense"), ("published", "published")]
)
def test_reproduces_the_original(
    kind: str,
    key: str,
    reference: Callable[[str], Reference],
    shared: Path,
    tmp_path: Path,
) -> None:
    original = reference("gdanet")
    file = weights_file(kind, original, shared, tmp_path)
    teacher = load_teacher("gdanet", weights=file, classes=[str(i) for i in range(40)])
    assert teacher.parameters == original.notes["parameters"]

    single = teacher.logits(original.points).numpy()
    expected = original.outputs[f"{key}64"]
    np.testing.assert_allclose(single, expected, rtol=0, atol=original.tolerance(key))
    with torch.inference_mode():
        double = teacher.network.module.double()(original.points.double()).numpy()
    np.testing.assert_allclose(double, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    if kind == "published":
        assert double.argmax(1).tolist() == original.notes["published_weights"]["argmax"]


def test_published_names_load_also_without_the_copies(shared: Path) -> None:
    state = read_weights(shared / "weights" / PUBLISHED)
    assert "bn1.weight" in state
    assert "conv1.1.weight" in state
    once = {key: value for key, value in state.items() if not key.startswith("conv1.1.")}
    both, one = GDANet(40), GDANet(40)
    load_weights(both, state, "both")
    load_weights(one, once, "one")
    for key, value in both.state_dict().items():
        assert torch.equal(value, one.state_dict()[key])


def edges_in_full(features: Tensor, k: int) -> Tensor:
    """[x_j - x_i, x_j] of the k nearest, one by one: (B, N, C) -> (B, 2C, N, k)."""
    batch, n, _ = features.shape
    out = []
    for b in range(batch):
        for i in range(n):
            near = (features[b] - features[b, i]).square().sum(1).argsort()[:k]
            out.append(torch.cat([features[b, near] - features[b, i], features[b, near]], 1))
    return torch.stack(out).view(batch, n, k, -1).permute(0, 3, 1, 2)


def randomised(block: Block) -> Block:
    """Statistics and gains as after training; negative gains too."""
    nn.init.normal_(block.norm.weight)
    nn.init.normal_(block.norm.bias)
    nn.init.normal_(block[1].running_mean)
    nn.init.uniform_(block[1].running_var, 0.5, 2)
    return block


@pytest.mark.parametrize("training", [False, True])
def test_local_operator_against_edges_in_full(training: bool) -> None:
    torch.manual_seed(0)
    first = randomised(Block(nn.Conv2d(8, 6, 1))).double().train(training)
    second = randomised(Block(nn.Conv2d(6, 5, 1))).double().train(training)
    plain = []
    for block in (first, second):
        norm = nn.BatchNorm2d(block.norm.num_features).double()
        norm.load_state_dict(block.norm.state_dict())
        convolution = nn.Conv2d(block.layer.weight.shape[1], len(block.layer.weight), 1).double()
        convolution.load_state_dict(block[0].state_dict())
        plain += [convolution, norm, nn.ReLU()]
    oracle = nn.Sequential(*plain).train(training)

    features = torch.rand(2, 40, 4, dtype=torch.float64, requires_grad=True)
    ours = local(features, first, second)
    theirs = oracle(edges_in_full(features, 30)).amax(3).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    weights = torch.rand_like(ours)
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), [features, *first.parameters()]),
        torch.autograd.grad((theirs * weights).sum(), [features, *oracle[:2].parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    for key, value in second.norm.state_dict().items():  # running statistics of edges
        torch.testing.assert_close(value, oracle[4].state_dict()[key])


@pytest.mark.parametrize("spread", [0.01, 0.2, 1.0])  # all, some, none crowded
def test_graph_means_against_a_loop(spread: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(120, 3, dtype=torch.float64) * spread
    distance = torch.cdist(x, x)
    weight = torch.where(distance < TAU, torch.exp(-(distance**2) / 4), 0)
    expected = torch.zeros_like(x)
    for i in range(120):
        for j in distance[i].argsort()[1:64]:
            expected[i] += weight[i, j] / weight[:, i].sum() * x[j]
    torch.testing.assert_close(smoothed(x), expected)


def test_sharp_and_gentle_are_the_ends_of_the_variation() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 600, 8, requires_grad=True)
    sharp, gentle = disentangle(x)
    assert sharp.shape == gentle.shape == (2, 256, 8)
    variation = (x[0] - smoothed(x[0].detach())).square().sum(1)
    order = variation.argsort()
    expected = x[0][order[-256:]].sum()
    torch.testing.assert_close(sharp[0].sum(), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(gentle[0].sum(), x[0][order[:256]].sum(), rtol=1e-4, atol=1e-3)
    sharp.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 2 * 256 * 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_choice(dtype: torch.dtype) -> None:
    """In bfloat16 the graph of close points would be noise."""
    torch.manual_seed(0)
    x = (torch.randn(2, 600, 8) * 0.1 + 1).to(dtype)
    expected = disentangle(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = disentangle(x)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours.float(), theirs)


def test_bitwise_the_same_in_any_batch(shared: Path) -> None:
    torch.manual_seed(0)
    model = GDANet(40).eval()
    load_weights(model, read_weights(shared / "weights" / PUBLISHED), PUBLISHED)
    clouds = torch.rand(3, 256, 3)
    with torch.inference_mode():
        assert torch.equal(model(clouds)[1:2], model(clouds[1:2]))
