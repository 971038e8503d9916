"""Small teachers of all kinds of habits, found by `toys:NAME`."""

import torch
from torch import Tensor, nn


class Moments(nn.Module):
    """Logits from the mean of the axes and of their squares: (B, N, 3) -> (B, classes)."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(6, classes)

    def forward(self, points: Tensor) -> Tensor:
        return self.linear(torch.cat([points.mean(1), points.square().mean(1)], 1))


def moments() -> Moments:
    torch.manual_seed(0)
    return Moments()


def sized(classes: int) -> Moments:
    torch.manual_seed(0)
    return Moments(classes)


class Wide(nn.Module):
    """The same from six numbers a point: (B, N, 6) -> (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 4)

    def forward(self, points: Tensor) -> Tensor:
        return self.linear(torch.cat([points.mean(1), points.square().mean(1)], 1))


def wide() -> Wide:
    torch.manual_seed(0)
    return Wide()


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = moments()


class ChannelsFirst(Wrapped):
    def forward(self, points: Tensor) -> Tensor:
        if points.shape[1] != 3:
            raise ValueError(f"expected 3 channels, got {points.shape[1]}")
        return self.net(points.transpose(1, 2))


class Both(Wrapped):
    """Takes either layout and does something else with each."""

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points.reshape(len(points), -1, 3))


class Pair(Wrapped):
    """As PointNet upstream: (log-softmax, something of another shape)."""

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(points).log_softmax(1), torch.zeros(len(points), 64, 64)


class Dictionary(Wrapped):
    def forward(self, points: Tensor) -> dict[str, object]:
        features = torch.zeros(len(points), 32)
        return {"loss": None, "features": features, "out": [self.net(points)]}


class Probabilities(Wrapped):
    def forward(self, points: Tensor) -> Tensor:
        return self.net(points).softmax(1)


class Batchy(Wrapped):
    """BatchNorm that keeps using the statistics of the batch in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, track_running_stats=False)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(self.norm(points.transpose(1, 2)).transpose(1, 2))


class BatchyHead(Wrapped):
    """The same after pooling, where a cloud alone is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, points: Tensor) -> Tensor:
        return self.norm(self.net(points))


class Random(Wrapped):
    def forward(self, points: Tensor) -> Tensor:
        return self.net(points[:, torch.randperm(points.shape[1])[:64]])


class Infinite(Wrapped):
    def forward(self, points: Tensor) -> Tensor:
        return self.net(points) / 0


class Vector(Wrapped):
    """A feature extractor, no classifier: one number a cloud."""

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points)[:, 0]


class Broken(Wrapped):
    def forward(self, points: Tensor) -> Tensor:
        raise RuntimeError("no kernel\nsecond line")


def two_arguments(classes: int, width: int) -> Moments:
    return Moments(classes)


def fails() -> Moments:
    raise OSError("no configuration")


def exits() -> Moments:
    raise SystemExit(3)


def no_module() -> str:
    return "model"


ready = moments()
number = 3
