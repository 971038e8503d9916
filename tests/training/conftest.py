"""Fixtures of distillation, from what tests share."""

from distilling import again, copied, data, go

__all__ = ["again", "copied", "data", "go"]
