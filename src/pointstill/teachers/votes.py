"""A teacher that votes: the mean of its logits for several views of the same cloud."""

import hashlib
import json

import torch
from torch import Tensor

from ..augment import Pipeline, parse
from ..errors import UsageError
from ..points.features import XYZ, Features
from ..recipe import check_seed
from .teacher import Teacher


class Votes:
    """The mean of a teacher's logits over keyed views of what it is shown.

    Vote v turns every cloud alike, by draws that are functions of (seed, operation, v) alone: a
    logit depends neither on the rest of the batch nor on how often it was asked for. Every vote
    starts from the cloud as it was given, so that no scale compounds.

    Args:
        teacher: the one that is asked.
        votes: how often; 1 or more.
        augment: operations of each vote, such as `scale,rotate`; shape-level ones.
        seed: seed of the draws.
        up: the data's up axis, for operations that turn about it.
        features: what the teacher is given of each point.

    Raises:
        UsageError: options that make no sense.
    """

    def __init__(
        self,
        teacher: Teacher,
        votes: int,
        augment: str,
        seed: int = 0,
        up: str = "z",
        features: Features = XYZ,
    ):
        operations = parse(augment, up)
        if votes < 1:
            raise UsageError(f"votes is {votes}", fix="choose 1 or more")
        check_seed(seed, "vote seed")
        if not operations:
            raise UsageError(
                "votes without operations are all the same", fix="name some, such as scale"
            )
        if point_level := [each.name for each in operations if not each.columns]:
            raise UsageError(
                f"votes cannot use {point_level[0]}, which draws for every point",
                fix="choose from scale, shift, rotate, mirror",
            )
        self.teacher, self.votes, self.up, self.features = teacher, votes, up, features
        self.pipeline = Pipeline(operations, seed, "votes")
        self.fingerprint = hashlib.sha256(
            json.dumps(
                {"of": teacher.fingerprint, "votes": votes, "views": self.pipeline.describe()}
            ).encode()
        ).hexdigest()

    def __repr__(self) -> str:
        return f"Votes({self.spec})"

    @property
    def spec(self) -> str:
        """The teacher, and how often it votes."""
        return f"{self.teacher.spec} ({self.votes} votes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the teacher."""
        return self.teacher.classes

    @property
    def points(self) -> int | None:
        """As the teacher."""
        return self.teacher.points

    @property
    def device(self) -> torch.device:
        """As the teacher."""
        return self.teacher.device

    @property
    def parameters(self) -> int | None:
        """As the teacher."""
        return self.teacher.parameters

    @property
    def nbytes(self) -> int | None:
        """As the teacher."""
        return self.teacher.nbytes

    @property
    def counted(self) -> bool:
        """As the teacher."""
        return self.teacher.counted

    def logits(self, points: Tensor) -> Tensor:
        """See `Teacher.logits`."""
        with torch.inference_mode():
            points = points.to(self.device)
            total = torch.zeros(len(points), len(self.classes), device=self.device)
            for vote in range(self.votes):
                total += self.teacher.logits(self.view(points, vote))
            return total / self.votes

    def view(self, points: Tensor, vote: int) -> Tensor:
        """The view that vote number `vote` is of: (B, N, 3 + F)."""
        everyone = torch.zeros(len(points), dtype=torch.int64)  # all are shape 0 to the key
        parameters = self.pipeline.sample(vote, everyone).to(points.device)
        return self.pipeline.apply(
            points, vote, everyone.to(points.device), parameters, self.features, self.up
        )
