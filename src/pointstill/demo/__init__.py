"""The whole still at work on generated shapes, and a report of it: `pointstill demo`."""

from .run import run_demo

__all__ = ["run_demo"]
