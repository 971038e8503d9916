"""What a tile holds, how it is computed, and which tiles are left to record."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..augment import Clouds, Pipeline, moments
from ..errors import UsageError
from ..progress import Track
from ..records import Store, Tile
from ..records.probe import moment_sums
from ..teachers import Teacher


class TileContent(NamedTuple):
    """What `Store.write` takes beside the tile."""

    logits: np.ndarray  # (rows, classes) float32
    parameters: np.ndarray  # (rows, columns) float32
    sums: np.ndarray  # (9, 4 + F) float32, see `records.probe.moment_sums`
    proof: bytes


@torch.inference_mode()
def record_tile(
    teacher: Teacher,
    pipeline: Pipeline,
    clouds: Clouds,
    shapes: np.ndarray,
    tile: Tile,
    points: int,
    batch_size: int,
    track: Track | None = None,
) -> TileContent:
    """Compute one tile. Batches never cross it, so it does not depend on who computes it.

    Args:
        teacher: whose logits are wanted.
        pipeline: makes the views.
        clouds: of the split, on the teacher's device.
        shapes: (S,) indices in the split: the rows that the tile is of.
        tile: which.
        points: points per view.
        batch_size: views the teacher sees at once.
        track: counts records as they are done.
    """
    rows = torch.from_numpy(shapes[tile.start : tile.stop])
    parameters = pipeline.sample(tile.view, rows)
    rows, drawn = rows.to(teacher.device), parameters.to(teacher.device)
    indices = pipeline.indices(clouds, tile.view, rows, points)
    views = pipeline.replay(clouds, tile.view, rows, drawn, points, indices)
    logits = []
    for batch in torch.split(views, batch_size):
        logits.append(teacher.logits(batch).float().cpu())
        if track:
            track.advance(len(batch))
    proof = pipeline.proof(indices, tile.view, rows, drawn)
    sums = moment_sums(moments(views).cpu().numpy())
    return TileContent(torch.cat(logits).numpy(), parameters.numpy(), sums, proof)


@dataclass(frozen=True)
class Recorder:
    """All that it takes to record any tile of a store; a process loads it once."""

    store: Store
    teacher: Teacher
    clouds: Clouds
    """Of the split, on the teacher's device."""
    pipeline: Pipeline

    def __call__(self, tile: Tile, track: Track | None = None) -> None:
        """Compute a tile and commit it, whatever is there."""
        self.commit(tile, *self.compute(tile, track))

    def compute(self, tile: Tile, track: Track | None = None) -> tuple[TileContent, float]:
        """What a tile holds, and the seconds that it took."""
        store, made, started = self.store, self.store.attributes, time.monotonic()
        points, batch = made["points"], made["batch"]
        content = record_tile(
            self.teacher, self.pipeline, self.clouds, store.shapes, tile, points, batch, track
        )
        return content, time.monotonic() - started

    def commit(self, tile: Tile, content: TileContent, seconds: float) -> None:
        """Write a tile; the probe, written last, commits it."""
        self.store.write(tile, *content)
        self.store.note(tile, seconds, **self.store.coding.measure(content.logits))


def parse_part(text: str | None) -> tuple[int, int]:
    """Read a share such as `2/3`: its number, from 0, and how many there are.

    Raises:
        UsageError: no such share.

    >>> parse_part("2/3"), parse_part(None)
    ((1, 3), (0, 1))
    """
    number, _, shares = (text or "1/1").partition("/")
    if not (number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
        raise UsageError(f"part {text!r} is no share", fix="write 1/3, 2/3 and 3/3 for three")
    return int(number) - 1, int(shares)


def wanted(store: Store, share: int, shares: int) -> list[Tile]:
    """The missing tiles of one share, dealt out in turn."""
    each = len(store.tiles_of(0))
    return [tile for tile in store.missing() if (tile.view * each + tile.number) % shares == share]


def spread(shapes: np.ndarray) -> np.ndarray:
    """As many shapes as a tile has, at equal strides behind the first tile (S,) -> (at most T,).

    A codec is measured on them as well: in data that come class by class the first tile has a
    class or two.
    """
    length = Tile.first(len(shapes)).stop
    behind = shapes[length:]
    count = min(length, len(behind))
    chosen: np.ndarray = behind[np.arange(count) * len(behind) // max(count, 1)]
    return chosen


def records_of(tiles: Iterable[Tile]) -> int:
    """How many records some tiles have."""
    return sum(tile.stop - tile.start for tile in tiles)
