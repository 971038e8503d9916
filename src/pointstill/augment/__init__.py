"""Augmentation that can be replayed: every draw is a function of the record's position."""

from .clouds import Clouds
from .pipeline import OPERATIONS, Operation, Pipeline, moments, parse

__all__ = ["OPERATIONS", "Clouds", "Operation", "Pipeline", "moments", "parse"]
