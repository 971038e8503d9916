"""GDANet on a CPU, step by step: as its paper writes it down, and with each rearrangement added.

    python benchmarks/gdanet_steps.py [--rounds 20] [--threads 1]

All steps are exact algebra: in float64 every one gives the logits of the first within 1e-9 of the
largest. Times are medians for one cloud of 1,024 points, taken in turns.
"""

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pointstill.evaluation.profiling import in_turns, processor, sample_cloud
from pointstill.models import gdanet
from pointstill.models.gdanet import GRAPH_NEIGHBOURS, NEIGHBOURS, SIGMA, TAU, Attention, Block

Step = dict[str, Callable[..., object]]
"""Names in the module `gdanet` (or `forward`, of its attention), and what stands there."""


def closeness(features: Tensor) -> Tensor:
    """-|x_i - x_j|^2 of all pairs: (N, C) -> (N, N)."""
    square = features.square().sum(1, keepdim=True)
    return 2 * features @ features.T - square - square.T


def sorted_neighbours(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """The k nearest, in order, from the matrix of all pairs: one cloud (1, N, C) -> (1, N, k)."""
    return closeness(points[0]).topk(k).indices[None]


def edges_in_full(features: Tensor, first: Block, second: Block) -> Tensor:
    """The local operator on the edges of all points, [x_j - x_i, x_j], as 1x1 convolutions."""
    index = gdanet.nearest(features, features, NEIGHBOURS)[0]  # (N, k)
    neighbours = features[0][index]  # (N, k, C)
    edges = torch.cat([neighbours - features[0][:, None], neighbours], 2).permute(2, 0, 1)[None]
    for block in (first, second):
        edges = F.conv2d(edges, block.weight[:, :, None, None], block.bias)
        norm = block.norm
        edges = F.relu(
            F.batch_norm(
                edges, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        )
    return edges.amax(3).transpose(1, 2)


def means_by_search(features: Tensor) -> Tensor:
    """Graph means from the 64 nearest of each point, gathered: (N, C) -> (N, C)."""
    near = closeness(features)
    linked = near.abs().sqrt() < TAU
    weights = torch.where(linked, (near / SIGMA**2).exp(), 0)
    weights = weights / weights.sum(0)[:, None]
    index = near.topk(GRAPH_NEIGHBOURS).indices[:, 1:]
    return (weights.gather(1, index)[:, :, None] * features[index]).sum(1)


def attention_of_pairs(self: Attention, features: Tensor, selected: Tensor) -> Tensor:
    """Attention from the matrix of all points and selected ones."""
    theta = gdanet.pointwise(self.theta, features)
    phi, g = gdanet.pointwise(self.phi, selected), gdanet.pointwise(self.g, selected)
    pairs = theta @ phi.transpose(1, 2) / selected.shape[1]  # (1, N, M)
    return self.W.without_relu((pairs @ g)[0])[None] + features


NOW: Step = {
    "nearest": gdanet.nearest,
    "local": gdanet.local,
    "smoothed": gdanet.smoothed,
    "forward": Attention.forward,
}
STEPS: dict[str, Step] = {
    "as written in the paper": {
        "nearest": sorted_neighbours,
        "local": edges_in_full,
        "smoothed": means_by_search,
        "forward": attention_of_pairs,
    },
    "layers before the gather, a neighbour at a time": {"local": NOW["local"]},
    "graph means as a matrix product": {"smoothed": NOW["smoothed"]},
    "neighbours by partition": {"nearest": NOW["nearest"]},
    "attention as one small matrix": {"forward": NOW["forward"]},
}


def put(step: Step) -> None:
    """Make the module compute so."""
    for name, function in step.items():
        setattr(Attention if name == "forward" else gdanet, name, function)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = gdanet.GDANet(40).eval()
    for module in model.modules():  # or the attention adds nothing
        if isinstance(module, Attention):
            torch.nn.init.ones_(module.W.norm.weight)
    cloud = sample_cloud(1024, torch.device("cpu"))

    added, works, steps = {}, {}, {}
    for name, step in STEPS.items():
        added = added | step
        steps[name] = added
        works[name, ""] = lambda step=added: (put(step), model(cloud))
    with torch.inference_mode():
        wide, exact = cloud.double(), {}
        model.double()
        for name, step in steps.items():
            put(step)
            exact[name] = model(wide)
        model.float()
        times = in_turns(works, seconds=0.0, rounds=options.rounds)

    first = next(iter(STEPS))
    print(f"{processor()}, {options.threads} thread(s), torch {torch.__version__}")
    for name in STEPS:
        off = float((exact[name] - exact[first]).abs().max() / exact[first].abs().max())
        assert off < 1e-9, f"{name}: {off}"
        ms = times[name, ""]
        print(f"{name:<48} {ms:7.1f} ms  {times[first, ''] / ms:4.2f} x  float64 off by {off:.0e}")


if __name__ == "__main__":
    main()
