"""Mix a shape with another: PointCutMix, Zhang et al., arXiv 2101.01461 (2021).

Theirs pairs the points of two clouds by an optimal assignment and replaces some by their
counterparts. Here there is no assignment, which no two machines need solve alike. Points at random
are replaced by points at random, which is the same, as an assignment takes either to the other; and
points around a centre by those of the other shape that lie nearest to the same centre.

Whose points they are, where the centre is and how many follow from the key: a mix costs no byte. It
is of points as they are drawn and normalised, before any operation moves them.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .key import Key, uniform

HOW = ("random", "nearest")


@dataclass(frozen=True)
class Partners:
    """Whom each shape of a batch is mixed with."""

    shapes: Tensor  # (B,) indices in the whole split; a shape's own where it is not mixed
    share: Tensor  # (B,) float32, part of the points that are the partner's; 0 where none is


@dataclass(frozen=True)
class Mix:
    """With a chance, replace U(0, most) of a view's points by those of another shape.

    Any shape of the split may be the partner, all alike. At most half of the points are its, so the
    view keeps the shape's own name; halves change places in other views. Normals, heights and
    channels go with their points. Centre and radius stay those of the two shapes by themselves.
    A view of fewer points shows the first of them, at random; of the nearest, the same ball with
    as large a share of the points that there are.
    """

    chance: float = 0.5
    """Part of the views that are mixed."""
    most: float = 0.5
    """Largest part of the points that are the partner's."""
    how: str = "random"
    """Points at `random` (PointCutMix-R), or those `nearest` to the view's first point (-K)."""

    name: ClassVar[str] = "mix"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for option, value, bound in (("chance", self.chance, 1), ("most", self.most, 0.5)):
            if not 0 <= value <= bound:
                raise UsageError(
                    f"has {option}={value}", where=self.name, fix=f"choose 0 to {bound}"
                )
        if self.how not in HOW:
            raise UsageError(
                f"has how={self.how}", where=self.name, fix=f"choose from {', '.join(HOW)}"
            )

    def lanes(self, points: int) -> int:
        """Draws a shape: whether, how much, with whom; at random, then one a point."""
        return 3 + (points if self.how == "random" else 0)

    def partners(self, key: Key, total: int) -> Partners:
        """Whom the shapes of a key are mixed with, of so many in the split."""
        words = key.bits(3)
        u = uniform(words)
        mixed = (u[:, 0] < self.chance) & (total > 1)
        other = (words[:, 2] * (total - 1)) >> 32  # all but the shape itself
        other = other + (other >= key.shapes)
        share = torch.where(mixed, self.most * u[:, 1], 0.0)
        return Partners(torch.where(share > 0, other, key.shapes), share)

    def apply(self, points: Tensor, others: Tensor, share: Tensor, bits: Tensor) -> Tensor:
        """Mix two clouds. Draws nothing.

        Args:
            points: (B, N, 3 + F), normalised.
            others: (B, N, 3 + F), of the partners.
            share: (B,) part of the points that are the partners'.
            bits: (B, lanes) words of the key.

        Returns:
            (B, N, 3 + F).
        """
        if self.how == "random":
            taken = uniform(bits[:, 3:]) < share[:, None]
            return torch.where(taken[..., None], others, points)
        centre = points[:, :1, :3]
        own, theirs = (_by_distance(each, centre) for each in (points, others))
        count = (share * points.shape[1]).long()
        replaced = torch.arange(points.shape[1], device=points.device) < count[:, None]
        batch = torch.arange(len(points), device=points.device)[:, None]
        mixed = points.clone()
        # The j-th nearest takes the place of the j-th nearest.
        mixed[batch, own] = torch.where(
            replaced[..., None], others[batch, theirs], points[batch, own]
        )
        return mixed


def _by_distance(points: Tensor, centre: Tensor) -> Tensor:
    """The order of points (B, N, 3 + F) by their distance from a centre (B, 1, 3): (B, N).

    Squares are added one by one, so that every machine rounds, and so orders, alike.
    """
    x, y, z = (points[..., :3] - centre).unbind(2)
    return torch.argsort(x * x + y * y + z * z, dim=1, stable=True)
