"""What a model takes beside x, y and z, brought to numbers of about one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...points.features import Features, Scale, columns, width


class ScaledChannels(nn.Module):
    """A network that is given each number beside xyz as (value - median) / spread.

    NaN, of a channel that is not there, becomes 0: what the median looks like. Where scales come
    from is for whoever trains to keep: they are no weights, and the state has none of them.

    Args:
        network: takes points (B, N, 3 + F).
        features: what the numbers of a point are.
        scales: of some features, by name; the others stay as they are.
    """

    median: Tensor  # (3 + F,)
    spread: Tensor  # (3 + F,)

    def __init__(self, network: nn.Module, features: Features, scales: Mapping[str, Scale]):
        super().__init__()
        self.network = network
        # Those of x, y and z are 0 and 1, which changes no bit: fewer operations than to part them.
        median, spread = torch.zeros(width(features)), torch.ones(width(features))
        for name, place in columns(features).items():
            if name in scales:
                median[place], spread[place] = scales[name].median, scales[name].spread
        self.register_buffer("median", median, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3 + F) -> logits (B, classes)."""
        logits: Tensor = self.network(self.scaled(points))
        return logits

    def in_order(self, points: Tensor) -> Tensor:
        """The same of points that come along the curve, for a network that sorts them itself."""
        classify = getattr(self.network, "in_order", self.network)
        logits: Tensor = classify(self.scaled(points))
        return logits

    def scaled(self, points: Tensor) -> Tensor:
        """Points (B, N, 3 + F) as the network is given them."""
        scaled = (points - self.median) / self.spread
        return torch.where(scaled.isnan(), 0.0, scaled)
