"""What a class of shapes is: structural variants, and parameters drawn from ranges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .arithmetic import Array

GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Grammar:
    """A family of solids: one variant and one value a parameter make one object."""

    build: Callable[..., list[Array]]
    """build(variant name, *parameters in order) -> lofts; z up, the front towards -y."""
    variants: tuple[str, ...]
    parameters: dict[str, tuple[float, float]]
    """Name -> (least, most): metres, or fractions of a length, or turns for angles."""

    def draw(self, uniforms: Sequence[float]) -> list[Array]:
        """The object that 1 + len(parameters) draws from [0, 1) choose."""
        choice, *places = (float(u) for u in uniforms)
        variant = self.variants[int(choice * len(self.variants))]
        ranges = self.parameters.values()
        values = [low + u * (high - low) for u, (low, high) in zip(places, ranges, strict=True)]
        return self.build(variant, *values)


def scatter(phase: float, index: int) -> float:
    """A value in [0, 1) for the index-th of many alike things (books, leaves), evenly spread."""
    place = phase + index * GOLDEN
    return place - int(place)
