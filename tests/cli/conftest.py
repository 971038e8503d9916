"""Fixtures of stores, from what tests share."""

from stand_ins import data, plain, surroundings
from stand_ins import made_in_codecs as made

__all__ = ["data", "made", "plain", "surroundings"]
