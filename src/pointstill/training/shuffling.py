"""An epoch in windows: what is shuffled, and in memory, at once.

A training set no larger than a window is shuffled as a whole. Of a larger one every epoch visits
the tiles in another order, as many at a time as fill a window, and shuffles the rows inside. A tile
is read once in an epoch.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Windows:
    """How the rows of a training set are cut into windows: anew in every epoch, by the seed."""

    def __init__(self, tiles: np.ndarray, size: int, seed: int):
        """Cut some rows.

        Args:
            tiles: (R,) which tile each row is in, ascending.
            size: most rows of a window; a tile that is longer is one by itself.
            seed: of the order.
        """
        self.rows, self.seed = len(tiles), seed
        self.starts = np.flatnonzero(np.diff(tiles, prepend=-1))
        longest = int(np.diff(self.starts, append=self.rows).max())
        self.count = -(-len(self.starts) // max(1, size // longest)) if self.rows > size else 1

    def epoch(self, epoch: int) -> "Order":
        """The order of an epoch: a function of the seed and the epoch alone."""
        draw = np.random.Generator(np.random.Philox(seed_of("order", self.seed, epoch)))
        if self.count == 1:
            return Order([draw.permutation(self.rows)])
        stops, windows = np.append(self.starts[1:], self.rows), []
        for tiles in np.array_split(draw.permutation(len(self.starts)), self.count):
            rows = [np.arange(self.starts[tile], stops[tile]) for tile in np.sort(tiles)]
            windows.append(draw.permutation(np.concatenate(rows)))
        return Order(windows)


class Order:
    """The rows of an epoch in the order in which they are drawn, window by window."""

    def __init__(self, windows: list[np.ndarray]):
        """Take the (r,) int64 rows of each window; together they are 0 to R - 1."""
        self.rows, self.count = np.concatenate(windows), len(windows)
        self.ends = np.cumsum([len(each) for each in windows])
        self.number = np.empty(len(self.rows), np.int32)
        self.position = np.empty(len(self.rows), np.int32)
        for number in range(self.count):
            sorted_ = self.window(number)
            self.number[sorted_], self.position[sorted_] = number, np.arange(len(sorted_))

    def window(self, number: int) -> np.ndarray:
        """The rows of a window, sorted, as they are read: (r,) int64."""
        return np.sort(self.rows[self.ends[number - 1] if number else 0 : self.ends[number]])

    def table(self, read: Callable[[np.ndarray], Tensor]) -> "Tensor | Windowed":
        """What is known of each row, from `read`: sorted rows (r,) -> (r, columns) on a device.

        All at once where there is one window.
        """
        return read(np.arange(len(self.rows))) if self.count == 1 else Windowed(self, read)


class Windowed:
    """A table of which one window is in memory; `table[rows]` is what a tensor would give."""

    def __init__(self, order: Order, read: Callable[[np.ndarray], Tensor]):
        """Read nothing yet; see `Order.table`."""
        self.order, self.read = order, read
        self.number, self.held = -1, torch.empty(0)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows (B,) -> (B, columns); in the order of the epoch each window is read once."""
        wanted = rows.cpu().numpy()
        # A batch may end one window and begin the next.
        cuts = np.flatnonzero(np.diff(self.order.number[wanted])) + 1
        return torch.cat([self._inside(some) for some in np.split(wanted, cuts)])

    def _inside(self, rows: np.ndarray) -> Tensor:
        number = int(self.order.number[rows[0]])
        if number != self.number:
            self.number, self.held = -1, torch.empty(0)  # makes room first
            self.held = self.read(self.order.window(number))
            self.number = number
        position = torch.from_numpy(self.order.position[rows].astype(np.int64))
        return self.held[position.to(self.held.device)]


def seed_of(purpose: str, seed: int, epoch: int) -> int:
    """A seed of its own for each purpose and epoch, below 2**63."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
