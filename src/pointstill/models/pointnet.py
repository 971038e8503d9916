"""PointNet (Qi, Su, Mo, Guibas, CVPR 2017, arXiv 1612.00593) with both of its transform networks.

Names of parameters are those of github.com/yanx27/Pointnet_Pointnet2_pytorch, whose classifier
returns (log-softmax of the logits, feature transform); this one returns the logits alone, so the
paper's penalty on a feature transform that is not orthogonal plays no part in training. Features
beside xyz are seen by the first transform network, and not turned by it, as in that code.
"""

import torch
from torch import Tensor, nn


class TNet(nn.Module):
    """Predict a k x k matrix from points with some channels; near the identity at the start."""

    def __init__(self, k: int, channels: int) -> None:
        super().__init__()
        self.k = k
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 1024, 1), nn.BatchNorm1d(1024)
        self.fc1, self.bn4 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn5 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, k * k)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, N) -> (B, k, k)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = torch.relu(self.bn3(self.conv3(x))).max(2).values  # (B, 1024)
        x = torch.relu(self.bn4(self.fc1(x)))
        x = torch.relu(self.bn5(self.fc2(x)))
        identity = torch.eye(self.k, dtype=x.dtype, device=x.device)
        matrix: Tensor = self.fc3(x).view(-1, self.k, self.k) + identity
        return matrix


def transform(x: Tensor, matrix: Tensor) -> Tensor:
    """Each point, as a row vector, times its cloud's matrix: (B, k, N), (B, k, k) -> (B, k, N)."""
    return matrix.transpose(1, 2) @ x


class Encoder(nn.Module):
    """Points to one vector of 1,024 numbers a cloud."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stn, self.fstn = TNet(3, channels), TNet(64, 64)
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 1024, 1), nn.BatchNorm1d(1024)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, N) -> (B, 1024)."""
        xyz = transform(x[:, :3], self.stn(x))
        x = torch.cat((xyz, x[:, 3:]), 1) if x.shape[1] > 3 else xyz
        x = torch.relu(self.bn1(self.conv1(x)))
        x = transform(x, self.fstn(x))
        x = torch.relu(self.bn2(self.conv2(x)))
        pooled: Tensor = self.bn3(self.conv3(x)).max(2).values  # no ReLU before this maximum
        return pooled


class PointNet(nn.Module):
    """The classifier: any number of points."""

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.feat = Encoder(channels)
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.4)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, channels) -> logits (B, classes)."""
        x = self.feat(points.transpose(1, 2))
        x = torch.relu(self.bn1(self.fc1(x)))
        x = torch.relu(self.bn2(self.dropout(self.fc2(x))))
        logits: Tensor = self.fc3(x)
        return logits
