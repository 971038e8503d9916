"""Labelled clouds from files: recognised, checked, cached, split."""

from .dataset import Dataset, Shape, Split, open_dataset

__all__ = ["Dataset", "Shape", "Split", "open_dataset"]
