"""Keys: what names every random draw, so that none has to be stored; and the generator, Philox."""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Words = TypeVar("Words")  # int64 array or tensor that holds uint32 values

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


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

    def blocks(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The words of `bits` in blocks of four, another number of blocks (B,) for each shape.

        Returns:
            words (counts.sum(), 4) end to end; of each block its number in the shape, and the
            place of the shape in the batch.
        """
        place = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        first = torch.cumsum(counts, 0) - counts
        block = torch.arange(len(place), device=counts.device) - first[place]
        return torch.stack(self._words(block, self.shapes[place]), dim=-1), block, place

    def _words(self, block: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        digest = hashlib.sha256(f"{self.split}/{self.operation}".encode()).digest()
        view = torch.tensor([self.view], device=shape.device)
        stream = torch.tensor([int.from_bytes(digest[:4], "little")], device=shape.device)
        key = (self.seed & _MASK, (self.seed >> 32) & _MASK)
        if shape.device.type != "cpu":
            return philox4x32((block, shape, view, stream), key)
        # NumPy multiplies in two thirds of torch's time.
        counter = (block.numpy(), shape.numpy(), view.numpy(), stream.numpy())
        c0, c1, c2, c3 = map(torch.from_numpy, philox4x32(counter, key))
        return c0, c1, c2, c3


def uniform(bits: Tensor) -> Tensor:
    """Turn 32 random bits into a float32 in [0, 1): the top 24 bits, exact on every machine."""
    return (bits >> 8).to(torch.float32) * 2.0**-24


def philox4x32(
    counter: tuple[Words, Words, Words, Words], key: tuple[int, int], rounds: int = 10
) -> tuple[Words, Words, Words, Words]:
    """Encrypt counters into four 32-bit words of noise each: Philox4x32-10.

    A draw is a pure function of (key, counter): no state, no order, the same bits on every machine
    and device. Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC'11. NumPy's own
    `Philox` is the 4x64 variant and gives other numbers.

    Args:
        counter: four int64 arrays or tensors of values in [0, 2**32); they broadcast together.
        key: two integers in [0, 2**32).
        rounds: rounds of the bijection; 10 is the published, well-tested choice.

    Returns:
        Four int64 arrays or tensors of values in [0, 2**32).

    The 64-bit product of two 32-bit words may overflow int64; its bits are right all the same, and
    a shift followed by a mask recovers the high word.
    """
    c0, c1, c2, c3 = cast(Any, counter)
    k0, k1 = key
    for _ in range(rounds):
        left = c0 * _MULTIPLIERS[0]
        right = c2 * _MULTIPLIERS[1]
        # c1 and c3 keep the high words of their products: one mask takes those off with the rest.
        c0, c2 = ((right >> 32) ^ c1 ^ k0) & _MASK, ((left >> 32) ^ c3 ^ k1) & _MASK
        c1, c3 = right, left
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1 & _MASK, c2, c3 & _MASK
