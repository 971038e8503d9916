"""The fixtures of stores and scans, and those of a pretence of Ray."""

from ray_stand_ins import many_threads, pretend, whole

from stand_ins import data, made, made_in_codecs, plain, recorded, store, surroundings

__all__ = [
    "data",
    "made",
    "made_in_codecs",
    "many_threads",
    "plain",
    "pretend",
    "recorded",
    "store",
    "surroundings",
    "whole",
]
