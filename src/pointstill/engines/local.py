"""This process alone, tile after tile."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..progress import Track
from ..records import Tile

if TYPE_CHECKING:
    from ..recording import Recorder


def one_process(recorder: "Recorder", tiles: Sequence[Tile], track: Track) -> None:
    """Record the tiles in order; see `Engine`."""
    for tile in tiles:
        recorder(tile, track)
