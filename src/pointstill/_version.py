"""The version: in a file of its own, so that everybody below `__init__` may read it."""

__version__ = "0.7.0"
