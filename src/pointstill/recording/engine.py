"""Engines: who computes which tile. What a tile holds does not depend on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..progress import Track
from ..records import Tile

if TYPE_CHECKING:
    from .job import Recorder


class Engine(Protocol):
    """Sees to it that tiles get recorded; the caller holds the lock of their store."""

    def __call__(self, recorder: "Recorder", tiles: Sequence[Tile], track: Track) -> None:
        """Record the tiles, in any order.

        Args:
            recorder: of the store, with the teacher and the clouds of this process.
            tiles: which; whatever is in them is overwritten.
            track: counts records as they are done.

        Raises:
            PointstillError: a tile cannot be recorded; those that are stay.
        """
