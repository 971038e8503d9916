"""An epoch in windows: what is shuffled, and in memory, at once.

A training set no larger than a window is shuffled as a whole. Of a larger one every epoch visits
the tiles in another order, as many at a time as fill a window, and shuffles the rows inside. A tile
is read once in an epoch.

Where classes are to come equally often (`balance=sampling`), an epoch draws the rows of a small
class several times and some of a large one not at all; all else is the same.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Windows:
    """How the rows of a training set are cut into windows: anew in every epoch, by the seed."""

    def __init__(self, tiles: np.ndarray, size: int, seed: int, balanced: np.ndarray | None = None):
        """Cut some rows.

        Args:
            tiles: (R,) which tile each row is in, ascending.
            size: most rows of a window; a tile that is longer is one by itself.
            seed: of the order.
            balanced: (R,) labels whose classes are drawn equally often; below 0, where there is
                none, each row is drawn once. None: every row once.
        """
        self.rows, self.seed, self.balanced = len(tiles), seed, balanced
        self.starts = np.flatnonzero(np.diff(tiles, prepend=-1))
        longest = int(np.diff(self.starts, append=self.rows).max())
        self.count = -(-len(self.starts) // max(1, size // longest)) if self.rows > size else 1

    def epoch(self, epoch: int) -> "Order":
        """The order of an epoch: a function of the seed and the epoch alone."""
        draw = np.random.Generator(np.random.Philox(seed_of("order", self.seed, epoch)))
        times = None if self.balanced is None else draws(self.balanced, draw)

        def drawn(rows: np.ndarray) -> np.ndarray:
            return draw.permutation(rows) if times is None else spread(rows, times[rows], draw)

        if self.count == 1:
            return Order([drawn(np.arange(self.rows))], self.rows)
        stops, windows = np.append(self.starts[1:], self.rows), []
        for tiles in np.array_split(draw.permutation(len(self.starts)), self.count):
            rows = [np.arange(self.starts[tile], stops[tile]) for tile in np.sort(tiles)]
            windows.append(drawn(np.concatenate(rows)))
        return Order(windows, self.rows)


def draws(labels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """How often each row is drawn in an epoch, so that classes come equally often: (R,) int64.

    The numbers of two classes, and of two rows of a class, differ by one at most; who has one more
    is drawn anew. They add up to R.

    Args:
        labels: (R,); rows below 0, which have none, are drawn once each.
        draw: where chance comes from.
    """
    times = np.ones(len(labels), np.int64)
    names = draw.permutation(np.unique(labels[labels >= 0]))
    total = np.count_nonzero(labels >= 0)
    for place, name in enumerate(names):
        rows = draw.permutation(np.flatnonzero(labels == name))
        share = total // len(names) + (place < total % len(names))
        times[rows] = share // len(rows) + (np.arange(len(rows)) < share % len(rows))
    return times


def spread(rows: np.ndarray, times: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Rows (r,) in a random order, each so many `times` (r,), at equal distances: (sum of times,).

    So a batch seldom meets a row twice.
    """
    each = np.repeat(np.arange(len(rows)), times)
    turn = np.arange(len(each)) - np.repeat(np.cumsum(times) - times, times)
    place = (turn + draw.random(len(rows))[each]) / times[each]
    return rows[each[np.argsort(place, kind="stable")]]


class Order:
    """The rows of an epoch in the order in which they are drawn, window by window."""

    def __init__(self, windows: list[np.ndarray], rows: int):
        """Take the int64 rows of each window, of 0 to `rows` - 1; none is in two windows."""
        self.rows, self.count = np.concatenate(windows), len(windows)
        self.ends = np.cumsum([len(each) for each in windows])
        self.number = np.full(rows, -1, np.int32)
        self.position = np.full(rows, -1, np.int32)
        for number in range(self.count):
            sorted_ = self.window(number)
            self.number[sorted_], self.position[sorted_] = number, np.arange(len(sorted_))

    def window(self, number: int) -> np.ndarray:
        """The rows of a window, each once and sorted, as they are read: (r,) int64."""
        return np.unique(self.rows[self.ends[number - 1] if number else 0 : self.ends[number]])

    def table(self, read: Callable[[np.ndarray], Tensor]) -> "Tensor | Windowed":
        """What is known of each row, from `read`: sorted rows (r,) -> (r, columns) on a device.

        All at once where there is one window.
        """
        return read(np.arange(len(self.number))) if self.count == 1 else Windowed(self, read)


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
