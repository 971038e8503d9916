"""Records: what a teacher said about every view, kept for any number of students."""

from .layout import Tile
from .store import Store

__all__ = ["Store", "Tile"]
