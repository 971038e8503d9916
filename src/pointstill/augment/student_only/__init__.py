"""What a sensor does to a shape, and no teacher need see. To add one: a file and its line here.

Records belong to the augmented shape. So a student can learn from the teacher's answer to the clean
view while it sees strays, holes, noise or fewer points of the same view. These operations are drawn
from the key (seed, epoch, shape), another draw in every epoch, and are never recorded.

They act on the points that are drawn, before those of the view, and what is left is centred and
scaled anew: as when a sensor delivers such a cloud.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from ...errors import UsageError
from ...points.features import XYZ, Features
from ..key import Key
from ..pipeline import parse
from ..point_features import PointFeatures, join_features, split_features, taken
from .holes import Holes
from .mute import Mute
from .noise import Noise
from .sparse import Sparse
from .strays import Strays


class StudentOperation(Protocol):
    """One operation."""

    name: ClassVar[str]

    def lanes(self, points: int) -> int:
        """Random words a shape needs, for so many points."""

    def apply(self, points: Tensor, bits: Tensor) -> tuple[Tensor, Tensor | None]:
        """Points (B, N, 3) and words (B, lanes) -> points (B, N, 3), and whose features they have.

        That is (B, N) places among the points that came; None: each its own.
        """

    def alter_features(self, features: PointFeatures, bits: Tensor) -> PointFeatures:
        """What else becomes of the features, once they have followed their points."""


STUDENT_ONLY: dict[str, type[StudentOperation]] = {
    "strays": Strays,
    "holes": Holes,
    "sparse": Sparse,
    "noise": Noise,
    "mute": Mute,
}


@dataclass(frozen=True)
class StudentOnly:
    """A seed and a row of operations; with none, points stay as they are."""

    operations: tuple[StudentOperation, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, text: str, seed: int, features: Features | None = None) -> "StudentOnly":
        """From a string such as `strays,holes(most=0.3),sparse`; empty or `none` for none.

        Raises:
            UsageError: an unknown operation or option, one out of its range, or one that mutes
                where there are no features but xyz.
        """
        operations = parse(text, "z", STUDENT_ONLY)
        if features == XYZ and any(isinstance(each, Mute) for each in operations):
            raise UsageError(
                "has nothing to mute, as points have xyz alone",
                where="mute",
                fix="leave it out, or give --features",
            )
        return cls(operations, seed)

    def apply(self, points: Tensor, epoch: int, shapes: Tensor, features: Features = XYZ) -> Tensor:
        """What the student gets to see of points (B, N, 3 + F) that are drawn and normalised.

        Args:
            points: of the views, before their own operations.
            epoch: which names the draw.
            shapes: (B,) indices in the whole split.
            features: what the numbers of a point are.
        """
        if not self.operations:
            return points
        xyz, others = split_features(points, features)
        for place, operation in enumerate(self.operations):
            tag = f"{operation.name}#{place}"
            bits = Key(self.seed, "student", epoch, shapes, tag).bits(operation.lanes(xyz.shape[1]))
            xyz, whose = operation.apply(xyz, bits)
            if whose is not None:
                others = {name: taken(values, whose) for name, values in others.items()}
            if others:
                others = operation.alter_features(others, bits)
        xyz = xyz - xyz.mean(dim=1, keepdim=True)
        radius = torch.linalg.vector_norm(xyz, dim=2).amax(dim=1)[:, None, None]
        radius = radius.clamp(min=torch.finfo(xyz.dtype).tiny)
        if "height" in others:
            others = others | {"height": others["height"] / radius}
        return join_features(xyz / radius, others)


AS_IT_IS = StudentOnly()
