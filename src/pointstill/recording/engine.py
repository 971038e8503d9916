"""Engines: who computes which tile. What a tile holds does not depend on it."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from ..progress import Track
from ..records import Tile
from .tiles import Recorder, records_of


class Engine(Protocol):
    """Sees to it that tiles get recorded; the caller holds the lock of their store."""

    def __call__(self, recorder: Recorder, tiles: Sequence[Tile], track: Track) -> None:
        """Record the tiles, in any order.

        Args:
            recorder: of the store, with the teacher and the clouds of this process.
            tiles: which; whatever is in them is overwritten.
            track: counts records as they are done.

        Raises:
            PointstillError: a tile cannot be recorded; those that are stay.
        """


def one_process(recorder: Recorder, tiles: Sequence[Tile], track: Track) -> None:
    """Record the tiles in order, in this process alone; an `Engine`.

    The teacher does not wait for the disk: while a tile is written, the next one is computed.
    """
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        try:
            for tile in tiles:
                content, seconds = recorder.compute(tile, track)
                if written:
                    written.result()
                written = writer.submit(recorder.commit, tile, content, seconds)
        finally:
            if written:
                written.result()  # a disk that refused is said, whatever else went wrong


def fill(
    recorder: Recorder, tiles: Sequence[Tile], *, engine: Engine = one_process, quiet: bool = False
) -> None:
    """Record some tiles of a store, whatever is in them; hold its lock.

    Raises:
        PointstillError: see `Engine`.
    """
    with Track("record", records_of(tiles), "records", quiet=quiet) as track:
        engine(recorder, tiles, track)
