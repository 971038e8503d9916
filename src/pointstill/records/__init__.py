"""Records: what a teacher said about every view, kept for any number of students."""

from .store import Store, Tile

__all__ = ["Store", "Tile"]
