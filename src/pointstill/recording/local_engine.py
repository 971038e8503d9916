"""This process alone, tile after tile."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..progress import Track
from ..records import Tile

if TYPE_CHECKING:
    from .job import Recorder


def one_process(recorder: "Recorder", tiles: Sequence[Tile], track: Track) -> None:
    """Record the tiles in order; see `Engine`.

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
