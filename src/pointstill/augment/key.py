"""Keys: what names every random draw, so that none has to be stored."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from .philox import philox4x32

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Key:
    """One view of a batch of shapes.

    The draws of an operation follow from (seed, split, operation, view, shape, lane) alone. A shape
    is named by its index in the whole split, never by its place in a batch or a subset.
    """

    seed: int
    split: str
    view: int
    shapes: Tensor  # (B,) int64, on the device that draws
    operation: str = ""
    """Name and occurrence, such as "scale#0"."""

    def bits(self, lanes: int) -> Tensor:
        """(B, lanes) words of 32 random bits, as int64."""
        blocks = torch.arange((lanes + 3) // 4, device=self.shapes.device)
        words = self._words(blocks[None, :], self.shapes[:, None])  # 4 x (B, blocks)
        return torch.stack(words, dim=-1).reshape(len(self.shapes), -1)[:, :lanes]

    def ragged_bits(self, lanes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The words of `bits`, with another number of lanes (B,) for each shape, end to end.

        Returns:
            words (lanes.sum(),), the place in the batch of each, and its lane.
        """
        blocks = (lanes + 3) // 4
        place = torch.repeat_interleave(torch.arange(len(lanes), device=lanes.device), blocks)
        first = torch.cumsum(blocks, 0) - blocks
        block = torch.arange(len(place), device=lanes.device) - first[place]
        words = torch.stack(self._words(block, self.shapes[place]), dim=-1)  # (blocks, 4)
        lane = block[:, None] * 4 + torch.arange(4, device=lanes.device)
        used = lane < lanes[place][:, None]
        return words[used], place[:, None].expand(-1, 4)[used], lane[used]

    def _words(self, block: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        digest = hashlib.sha256(f"{self.split}/{self.operation}".encode()).digest()
        view = torch.tensor(self.view, device=shape.device)
        stream = torch.tensor(int.from_bytes(digest[:4], "little"), device=shape.device)
        key = (self.seed & _MASK, (self.seed >> 32) & _MASK)
        return philox4x32((block, shape, view, stream), key)


def uniform(bits: Tensor) -> Tensor:
    """Turn 32 random bits into a float32 in [0, 1): the top 24 bits, exact on every machine."""
    return (bits >> 8).to(torch.float32) * 2.0**-24
