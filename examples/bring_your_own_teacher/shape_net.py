"""A classifier as one finds them: (B, 3, N) in, a tuple out, its own order of classes.

Nothing here knows of pointstill.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ShapeNet(nn.Module):
    """Shared layers on every point, a maximum over them, two layers on top."""

    def __init__(self, classes: int, width: int = 64):
        super().__init__()
        self.points = nn.Sequential(
            nn.Conv1d(3, width, 1),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, 4 * width, 1),
            nn.BatchNorm1d(4 * width),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(4 * width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, N) -> (B, classes) log-probabilities, (B, 4 width) features."""
        features = torch.amax(self.points(x), 2)
        return functional.log_softmax(self.head(features), 1), features


def build(classes: int) -> ShapeNet:
    """What `--teacher shape_net:build` calls."""
    return ShapeNet(classes)
