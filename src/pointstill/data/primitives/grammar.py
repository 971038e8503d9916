"""What a class of shapes is: structural variants, and parameters drawn from ranges."""

from collections.abc import Callable, Sequence
from typing import get_args, get_type_hints

from .arithmetic import Array

GOLDEN = 0.6180339887498949


class Grammar:
    """A family of objects: a variant and one value a parameter make one of them.

    Args:
        build: build(variant, **parameters) -> solids; z up, the front towards -y, metres. It is
            annotated with what may be drawn: `variant` with the names of the variants, a Literal,
            each parameter with its range, `Annotated[float, least, most]`. The units of the
            parameters are in its docstring.
    """

    def __init__(self, build: Callable[..., list[Array]]):
        self.build = build
        hints = get_type_hints(build, include_extras=True)
        self.variants: tuple[str, ...] = get_args(hints.pop("variant"))
        del hints["return"]
        self.parameters: dict[str, tuple[float, float]] = {
            name: hint.__metadata__ for name, hint in hints.items()
        }
        """Name -> (least, most), in the order of the draws."""

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
