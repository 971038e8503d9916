"""A teacher made of teachers: the mean of their logits."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError
from ..recipe import POINTS
from .teacher import Teacher, subsample

Mean = Literal["logits", "probabilities"]


class Ensemble:
    """The weighted mean of several teachers' logits, or of their probabilities.

    Members may be of any kind and take different numbers of points: each sees as many of a view's
    points as it was made for.

    Args:
        members: teachers for the same classes.
        mean: of `logits` (a product of experts), or of `probabilities` (their mixture).
        weights: one a member, none negative; alike by default. They are divided by their sum.

    Raises:
        UsageError: no members, other classes, or weights that are none.
    """

    def __init__(
        self,
        members: Sequence[Teacher],
        mean: Mean = "logits",
        weights: Sequence[float] | None = None,
    ):
        if not members:
            raise UsageError("an ensemble has no teachers", fix="give one or more")
        weights = [1.0] * len(members) if weights is None else list(weights)
        if len(weights) != len(members):
            raise UsageError(
                f"{len(weights)} ensemble weights for {len(members)} teachers",
                fix="give one for each",
            )
        good = all(weight >= 0 and math.isfinite(weight) for weight in weights)
        if not good or not sum(weights) > 0:
            raise UsageError(
                f"ensemble weights are {', '.join(f'{each:g}' for each in weights)}",
                fix="choose numbers from 0 up, not all of them 0",
            )
        if mean not in ("logits", "probabilities"):
            raise UsageError(f"ensemble is {mean!r}", fix="choose logits or probabilities")
        if len({member.classes for member in members}) != 1:
            raise UsageError(
                "the teachers of an ensemble were loaded for different classes",
                fix="load them for the same classes",
            )
        self.members, self.mean = tuple(members), mean
        self.weights = tuple(weight / sum(weights) for weight in weights)

    def __repr__(self) -> str:
        return f"Ensemble({self.spec})"

    @property
    def spec(self) -> str:
        """The members, and the mean where it is not the usual one."""
        names = " + ".join(member.spec for member in self.members)
        return names if self.mean == "logits" else f"{names} (mean of {self.mean})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the members."""
        return self.members[0].classes

    @property
    def points(self) -> int | None:
        """The most that a member takes; one that does not say counts as 1,024."""
        each = [member.points for member in self.members]
        return max(count or POINTS for count in each) if any(each) else None

    @property
    def device(self) -> torch.device:
        """The first member's that is not the CPU, or the CPU."""
        devices = [member.device for member in self.members]
        return next((each for each in devices if each.type != "cpu"), devices[0])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the members' fingerprints, their weights and the kind of mean."""
        parts = {
            "ensemble": [member.fingerprint for member in self.members],
            "weights": [weight.hex() for weight in self.weights],
            "points": [member.points for member in self.members],
            "mean": self.mean,
        }
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def parameters(self) -> int | None:
        """Of all members, if known of all."""
        return _sum([member.parameters for member in self.members])

    @property
    def nbytes(self) -> int | None:
        """Of all members, if known of all."""
        return _sum([member.nbytes for member in self.members])

    @property
    def counted(self) -> bool:
        """Whether torch does the arithmetic of all."""
        return all(member.counted for member in self.members)

    @property
    def votes(self) -> int:
        """The most that a member takes."""
        return max(member.votes for member in self.members)

    def logits(self, points: Tensor) -> Tensor:
        """See `Teacher.logits`."""
        logits = [
            member.logits(subsample(points, member.points)).to(self.device)
            for member in self.members
        ]
        return mean_of(torch.stack(logits), self.mean, self.weights)


def mean_of(logits: Tensor, mean: Mean, weights: Sequence[float]) -> Tensor:
    """The mean (B, C), as logits, of several logits (M, B, C); the weights (M,) sum to 1."""
    w = torch.tensor(weights, dtype=logits.dtype, device=logits.device)[:, None, None]
    if mean == "logits":
        return (w * logits).sum(0)
    # The logarithm of the mixture, with no probability too small for it.
    return (logits.log_softmax(2) + w.log()).logsumexp(0)


def _sum(each: Sequence[int | None]) -> int | None:
    known = [count for count in each if count is not None]
    return sum(known) if len(known) == len(each) else None
