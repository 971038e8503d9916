"""What may be said about each loss: its options and its schedule. Light: no torch here.

The options of a loss are a frozen dataclass with a docstring under every field and its checks in
`__post_init__`. From these classes `DistillRecipe` takes its entries and `pointstill distill` its
flags. Options of two losses by the same name are one flag, and so of one type.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from ..errors import UsageError

Form = Literal["raw", "guard", "floor", "js", "reverse", "hinge", "contrast"]
PastSource = Literal["snapshot", "ema", "table", "records", "members", "none"]
LARGEST = 3.4e38
"""Float32, in which all is computed, ends here."""


def require(ok: bool, what: str, fix: str | None = None) -> None:
    """Refuse an option.

    Raises:
        UsageError: not `ok`.
    """
    if not ok:
        raise UsageError(what, fix=fix)


def one_of(choices: Any, name: str, value: str) -> None:
    """Refuse what is none of the choices of a `Literal`."""
    names = get_args(choices)
    require(value in names, f"{name} is {value!r}", f"choose from {', '.join(names)}")


def check_numbers(options: Any) -> None:
    """Refuse infinity and NaN, which pass for a number, and 2.5 where a whole one is meant."""
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, float):
            ok = math.isfinite(value) and abs(value) <= LARGEST
            require(ok, f"{field.name} is {value}; it must be finite, also in float32")
        if field.type in (int, int | None) and value is not None:
            whole = isinstance(value, int)
            require(whole, f"{field.name} is {value!r}; it must be a whole number")


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What every loss says of itself to those that know no loss."""

    needs_teacher: ClassVar[bool] = False
    """Whether it cannot do without the teacher's logits."""
    steadier: ClassVar[tuple[str, ...]] = ()
    """What to try, beside a lower learning rate, when the loss is not finite any more."""

    def __post_init__(self) -> None:
        check_numbers(self)

    def wants_past(self, progress: float) -> bool:
        """Whether it looks at the student's past once this part of the run, in [0, 1], is over."""
        return False


@dataclass(frozen=True, kw_only=True)
class LabelOptions(LossOptions):
    """Labels."""

    smoothing: float = 0.0
    """Label smoothing of the cross-entropy, as a fraction of probability."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.smoothing < 1, f"smoothing is {self.smoothing}", "choose 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class TaughtOptions(LabelOptions):
    """Labels, and the teacher's logits."""

    needs_teacher: ClassVar[bool] = True

    labels: float = 1.0
    """Weight of the cross-entropy with the labels; 0 for the teacher alone."""
    standardise: bool = False
    """Take logits less their mean, over their spread, of each sample (Sun et al. 2024)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.labels >= 0, f"labels is {self.labels}", "choose 0 or more")


@dataclass(frozen=True, kw_only=True)
class PullOptions(TaughtOptions):
    """Labels, and a pull towards the teacher that has a weight."""

    alpha: float = 1.0
    """Weight of the pull towards the teacher."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha >= 0, f"alpha is {self.alpha}", "choose 0 or more")


@dataclass(frozen=True, kw_only=True)
class MSEOptions(PullOptions):
    """Labels, and the squared distance to the teacher's logits (Kim et al. 2021)."""


@dataclass(frozen=True, kw_only=True)
class KDOptions(PullOptions):
    """Labels, and towards the teacher's logits."""

    temperature: float = 4.0
    """Softmax temperature of teacher and student, and of its past where there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.temperature > 0, f"temperature is {self.temperature}", "choose one above 0")


@dataclass(frozen=True, kw_only=True)
class DKDOptions(KDOptions):
    """As kd, with the label's class and the others apart (Zhao et al. 2022)."""

    non_target: float = 8.0
    """Weight of the classes beside the label's; alpha is that of the label's."""
    ramp: float = 0.083
    """Share of the run in which the teacher's part rises from 0: 20 of 240 epochs in the paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.non_target >= 0, f"non_target is {self.non_target}", "choose 0 or more")
        require(0 <= self.ramp <= 1, f"ramp is {self.ramp}", "choose 0 to 1")

    def ramp_at(self, progress: float | None) -> float:
        """The share of the teacher's part that counts at a time of the run.

        >>> [DKDOptions(ramp=0.5).ramp_at(progress) for progress in (0, 0.25, 0.5, 1, None)]
        [0.0, 0.5, 1.0, 1.0, 1.0]
        """
        return 1.0 if progress is None or not self.ramp else min(progress / self.ramp, 1.0)


@dataclass(frozen=True, kw_only=True)
class NKDOptions(KDOptions):
    """As dkd, with the others normalised (Yang et al. 2023)."""

    temperature: float = 1.0
    non_target: float = 1.5
    """Weight of the classes beside the label's; alpha is that of the label's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.non_target >= 0, f"non_target is {self.non_target}", "choose 0 or more")


@dataclass(frozen=True, kw_only=True)
class DISTOptions(TaughtOptions):
    """Labels, and correlation with the teacher's probabilities (Huang et al. 2022)."""

    inter: float = 2.0
    """Weight of the correlation within each sample, over the classes."""
    intra: float = 2.0
    """Weight of the correlation within each class, over the batch."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.temperature > 0, f"temperature is {self.temperature}", "choose one above 0")
        for name in ("inter", "intra"):
            require(
                getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "choose 0 or more"
            )


@dataclass(frozen=True, kw_only=True)
class PastOptions(LossOptions):
    """Where the student's past comes from, for the losses that look at it."""

    past: PastSource = "snapshot"
    """Where the student's past comes from."""
    snapshot_age: int = 5
    """Age of the snapshot, in epochs (past=snapshot)."""
    past_decay: float = 0.999
    """Decay of the averaged weights per step (past=ema)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(PastSource, "past", self.past)
        require(self.snapshot_age >= 1, f"snapshot_age is {self.snapshot_age}", "choose 1 or more")
        require(0 < self.past_decay < 1, f"past_decay is {self.past_decay}", "choose 0 to 1")

    def wants_past(self, progress: float) -> bool:
        """Always, if the loss has no schedule of its own."""
        return True


@dataclass(frozen=True, kw_only=True)
class NWSDOptions(PastOptions, KDOptions):
    """As kd, and away from the student's own past; ours, after arXiv 2409.02020."""

    steadier: ClassVar[tuple[str, ...]] = ("a bounded --form",)

    beta: float = 0.1
    """Weight of the push away from the student's past; below alpha. Negative: a pull towards it."""
    form: Form = "floor"
    """How the push is kept bounded; raw is the literal formula, for diagnosis."""
    push: float = 0.5
    """How far the target lies beyond the teacher, away from the past (form=contrast)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(Form, "form", self.form)
        require(self.push > -1, f"push is {self.push}", "choose one above -1")
        if self.form == "contrast":
            unused = "beta", self.beta == NWSDOptions.beta
        else:
            unused = "push", self.push == NWSDOptions.push
            require(self.past != "none", f"past is none, and form {self.form}", "choose a past")
        require(
            self.past != "members" or self.form not in ("guard", "contrast"),
            f"past is members, and form {self.form}",
            "choose form floor, js, reverse or hinge",
        )
        require(unused[1], f"{unused[0]} is not used by form {self.form}", f"leave {unused[0]} out")
        require(
            self.beta < self.alpha,
            f"beta is {self.beta} and alpha {self.alpha}; beta must be below alpha, or nothing "
            "holds the student to the teacher",
            "choose a smaller beta",
        )

    def beta_at(self, progress: float) -> float:
        """The weight of the push at a time of the run: 0, a linear rise, beta, a decay to 0.

        There is no past worth leaving in the first fifth of the run; the second fifth rises, and in
        the last one the student settles on labels and teacher alone.

        Args:
            progress: part of the run that is over, in [0, 1].

        >>> [round(NWSDOptions(beta=0.1).beta_at(i / 10), 3) for i in range(11)]
        [0.0, 0.0, 0.0, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.0]
        """
        rise, decay = (progress - 0.2) / 0.2, (1 - progress) / 0.2
        return self.beta * max(0.0, min(rise, 1.0, decay))

    def push_at(self, progress: float | None) -> float:
        """The weight of the push at a time of the run: `beta_at`, or `push` of form contrast."""
        if self.form == "contrast":
            return self.push
        return self.beta if progress is None else self.beta_at(progress)

    def wants_past(self, progress: float) -> bool:
        """While the push has a weight."""
        return self.past != "none" and self.push_at(progress) != 0
