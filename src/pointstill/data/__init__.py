"""Labelled clouds from files: recognised, checked, cached, split."""

from .dataset import Dataset, Split
from .opening import open_dataset
from .source import Shape

__all__ = ["Dataset", "Shape", "Split", "open_dataset"]
