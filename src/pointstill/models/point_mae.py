"""Point-MAE's classifier (Pang, Wang, Tay, Liu, Tian, Yuan, ECCV 2022, arXiv 2203.06604).

A transformer on 64 groups of points; what the masked autoencoder trains, with a head. Names of
parameters are those of github.com/Pang-Yatian/Point-MAE (PointTransformer, fine-tuned).
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers.farthest_point_sampling import farthest_point_sampling
from .layers.grouping import edge_batchnorm, knn_groups
from .layers.nearest_neighbours import gather, k_nearest
from .layers.pointwise import Layer, linear, weight_matrix

GROUPS = 64
"""Groups, each one token."""
MEMBERS = 32
"""Points of a group, its centre included."""
IGNORED = 1e-3
"""Farthest point sampling never picks a point with |p|^2 up to this (as its CUDA code does)."""
WIDTH = 384
"""Channels of a token."""
DEPTH = 12
"""Transformer blocks."""
HEADS = 6
"""Attention heads of a block."""
DROP = 0.1
"""Probability of leaving out a branch of the last block in training; linear from 0 in the first."""


class Encoder(nn.Module):
    """A small PointNet that makes a token of each group."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(
            nn.Conv1d(3, 128, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 256, 1)
        )
        self.second_conv = nn.Sequential(
            nn.Conv1d(512, 512, 1), nn.BatchNorm1d(512), nn.ReLU(), nn.Conv1d(512, WIDTH, 1)
        )

    def forward(self, points: Tensor, centres: Tensor) -> Tensor:
        """(B, N, 3), (B, M, 3) -> tokens (B, M, WIDTH)."""
        n = points.shape[1]
        groups = knn_groups(k_nearest(centres, points, min(MEMBERS, n)), n)
        one, two = (cast(Layer, self.first_conv[i]) for i in (0, 3))
        three, four = (cast(Layer, self.second_conv[i]) for i in (0, 3))
        first_norm, second_norm = (
            cast(nn.BatchNorm1d, part[1]) for part in (self.first_conv, self.second_conv)
        )
        # 1. Offsets p_j - p_i; layer one is linear, so it runs on points.
        member = F.linear(points.flatten(0, 1), weight_matrix(one))
        centre = F.linear(centres.flatten(0, 1), weight_matrix(one)) - cast(Tensor, one.bias)
        hidden = edge_batchnorm(member, centre, groups, first_norm).relu_()  # (E, 128)
        # 2. Layer two gives h, without an activation; layer three, [U V], takes [max h, h]. U is
        # applied once a group; V, on edges, is one product with layer two.
        to_group, to_member = weight_matrix(three).chunk(2, 1)
        group = F.linear(groups.maximum(linear(hidden, two)), to_group, three.bias)
        group = group + to_member @ cast(Tensor, two.bias)  # (G, 512)
        hidden = F.linear(hidden, to_member @ weight_matrix(two)).view(groups.count, -1, 512)
        hidden = second_norm((hidden + group[:, None]).flatten(0, 1)).relu_()  # (E, 512)
        # 3. Layer four, and the maximum.
        return groups.maximum(linear(hidden, four)).view(*centres.shape[:2], -1)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, WIDTH) -> (B, T, WIDTH)."""
        q, k, v = (
            self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, T, C)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Perceptron(nn.Module):
    """Two linear layers around GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, WIDTH) -> (B, T, WIDTH)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """A transformer block with LayerNorm before each branch."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = Perceptron()
        self.attn = Attention()

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, WIDTH) -> (B, T, WIDTH)."""
        x = x + self.dropped(self.attn(self.norm1(x)))
        return x + self.dropped(self.mlp(self.norm2(x)))

    def dropped(self, branch: Tensor) -> Tensor:
        """Stochastic depth (Huang et al. 2016): in training, leave a branch out for some clouds."""
        if not self.training or self.drop == 0:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop
        return branch * kept / (1 - self.drop)


class Transformer(nn.Module):
    """Holds the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(DROP * i / (DEPTH - 1)) for i in range(DEPTH))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, T, WIDTH) twice -> (B, T, WIDTH). Positions are added before every block."""
        for block in self.blocks:
            tokens = block(tokens + positions)
        return tokens


class PointMAE(nn.Module):
    """The classifier: any number of points, best 1,024 in the unit sphere.

    With fewer than 64 points, every point has a group.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.cls_pos = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.encoder = Encoder()
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, WIDTH))
        self.blocks = Transformer()
        self.norm = nn.LayerNorm(WIDTH)
        self.cls_head_finetune = nn.Sequential(
            nn.Linear(2 * WIDTH, 256),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, 256),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, classes),
        )
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.cls_pos, std=0.02)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> logits (B, classes)."""
        batch = len(points)
        centres = gather(points, farthest_point_sampling(points, GROUPS, IGNORED))
        tokens = self.encoder(points, centres)
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), tokens], 1)
        positions = torch.cat([self.cls_pos.expand(batch, -1, -1), self.pos_embed(centres)], 1)
        tokens = self.norm(self.blocks(tokens, positions))
        pooled = torch.cat([tokens[:, 0], tokens[:, 1:].amax(1)], 1)
        logits: Tensor = self.cls_head_finetune(pooled)
        return logits
