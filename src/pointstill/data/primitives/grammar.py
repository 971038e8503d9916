"""What a class of shapes is: structural variants, and parameters drawn from ranges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, get_origin, get_type_hints

from .arithmetic import Array

GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Grammar:
    """A family of objects: a variant and one value a parameter make one of them."""

    build: Callable[..., list[Array]]
    """build(variant, **parameters) -> solids; z up, the front towards -y, metres.

    A parameter is annotated with its range, `Annotated[float, least, most]`; the unit of each is in
    the docstring.
    """
    variants: tuple[str, ...]

    @cached_property
    def parameters(self) -> dict[str, tuple[float, float]]:
        """Name -> (least, most), in the order of the draws."""
        hints = get_type_hints(self.build, include_extras=True)
        ranged = {name: hint for name, hint in hints.items() if get_origin(hint) is Annotated}
        return {name: hint.__metadata__ for name, hint in ranged.items()}

    def draw(self, uniforms: Sequence[float]) -> list[Array]:
        """The object that 1 + len(parameters) draws from [0, 1) choose."""
        choice, *places = uniforms
        variant = self.variants[int(choice * len(self.variants))]
        ranges = zip(places, self.parameters.items(), strict=True)
        return self.build(
            variant, **{name: low + u * (high - low) for u, (name, (low, high)) in ranges}
        )


def scatter(phase: float, index: int) -> float:
    """A value in [0, 1) for the index-th of many alike things (books, leaves), evenly spread."""
    place = phase + index * GOLDEN
    return place - int(place)


def scaled(size: float, solids: list[Array]) -> list[Array]:
    """Give an object that was built with a length of 1 its size in metres."""
    return [size * solid for solid in solids]
