"""Every option of training, as frozen dataclasses: the command line's flags *are* these fields.

A recipe is resolved once (YAML, then flags), checked in `__post_init__`, and written into the run
folder, so that a run can be read and repeated. Nothing here imports torch.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from .errors import UsageError

Precision = Literal["auto", "32-true", "bf16-mixed"]
LossName = Literal["ce", "kd", "nwsd"]
Form = Literal["raw", "guard", "floor", "js", "reverse", "hinge"]
Past = Literal["snapshot", "ema", "table", "records"]
Keep = Literal["last", "best"]
LARGEST = 3.4e38
"""Float32, in which all is computed, ends here."""


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise UsageError(message)


def _one_of(choices: Any, name: str, value: str) -> None:
    names = get_args(choices)
    _require(value in names, f"{name} is {value!r}; choose from {', '.join(names)}")


def check_seed(seed: int, name: str = "seed") -> None:
    """Refuse what cannot seed every generator alike.

    Raises:
        UsageError: it is negative, or 2**63 or more.
    """
    _require(0 <= seed < 2**63, f"{name} is {seed}; choose 0 to {2**63 - 1}")


def _check_numbers(options: Any) -> None:
    """Refuse infinity and NaN, which pass for a number, and 2.5 where a whole one is meant."""
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, float):
            ok = math.isfinite(value) and abs(value) <= LARGEST
            _require(ok, f"{field.name} is {value}; it must be finite, also in float32")
        if field.type in (int, int | None) and value is not None:
            whole = isinstance(value, int)
            _require(whole, f"{field.name} is {value!r}; it must be a whole number")


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How the labels are used."""

    smoothing: float = 0.0
    """Label smoothing of the cross-entropy, as a fraction of probability."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        _require(0 <= self.smoothing < 1, f"smoothing is {self.smoothing}; choose 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class LossOptions(LabelOptions):
    """What the student is pulled towards, and how hard; ours, after arXiv 2409.02020."""

    loss: LossName = "nwsd"
    """ce: labels; kd: and the teacher's logits; nwsd: and away from the student's own past."""
    alpha: float = 1.0
    """Weight of the pull towards the teacher."""
    beta: float = 0.1
    """Weight of the push away from the student's past; below alpha. Negative: a pull towards it."""
    temperature: float = 4.0
    """Softmax temperature of teacher, student and past."""
    form: Form = "floor"
    """How the push is kept bounded; raw is the literal formula, for diagnosis."""
    past: Past = "snapshot"
    """Where the student's past comes from."""
    snapshot_age: int = 5
    """Age of the snapshot, in epochs (past=snapshot)."""
    past_decay: float = 0.999
    """Decay of the averaged weights per step (past=ema)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for choices, name in ((LossName, "loss"), (Form, "form"), (Past, "past")):
            _one_of(choices, name, getattr(self, name))
        _require(self.temperature > 0, f"temperature is {self.temperature}; it must be above 0")
        _require(self.alpha >= 0, f"alpha is {self.alpha}; it must not be negative")
        _require(self.snapshot_age >= 1, f"snapshot_age is {self.snapshot_age}; choose 1 or more")
        _require(0 < self.past_decay < 1, f"past_decay is {self.past_decay}; choose 0 to 1")
        if self.loss == "nwsd":
            _require(
                self.beta < self.alpha,
                f"beta is {self.beta} and alpha {self.alpha}: beta must be below alpha, or nothing "
                "holds the student to the teacher",
            )


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a model is optimised: AdamW, linear warm-up, cosine decay."""

    epochs: int = 50
    """Passes over the training shapes."""
    points: int | None = None
    """Points per view that the model sees, 32 or more; as recorded, or 1,024 without records."""
    batch_size: int = 32
    """Shapes per step, about; 2 or more, as BatchNorm compares them."""
    window: int = 65_536
    """Shapes that are shuffled, and whose records are in memory, at once: all, if no more."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW."""
    warmup: float = 0.1
    """Part of all steps in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for none."""
    ema: float = 0.0
    """Decay per step of the averaged weights that are saved in the end; 0 for none."""
    val: float = 0.1
    """Part of the training shapes held out for validation (stratified, seeded); 0 for none."""
    keep: Keep = "last"
    """The weights that end the run: of the last epoch, or of the best by validation accuracy."""
    limit: int | None = None
    """Train on this many shapes only (stratified, seeded)."""
    seed: int = 0
    """Seed of weights, order, augmentation and validation part."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: Precision = "auto"
    """auto: bf16-mixed on a GPU that computes in it, else 32-true."""
    threads: int = 0
    """CPU threads; 0 for torch's own choice."""
    save_minutes: float = 2.0
    """Resume state is saved after every epoch and this often inside one, in minutes."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        check_seed(self.seed)
        least = {"epochs": 1, "points": 32, "batch_size": 2, "window": 1, "limit": 1}
        least |= dict.fromkeys(("weight_decay", "clip", "threads", "save_minutes"), 0)
        for field, bound in least.items():
            value = getattr(self, field)
            _require(value is None or value >= bound, f"{field} is {value}; choose {bound} or more")
        _one_of(Precision, "precision", self.precision)
        _one_of(Keep, "keep", self.keep)
        _require(
            self.learning_rate > 0, f"learning_rate is {self.learning_rate}; it must be above 0"
        )
        _require(0 <= self.warmup < 1, f"warmup is {self.warmup}; choose 0 to below 1")
        _require(0 <= self.val < 1, f"val is {self.val}; choose 0 to below 1")
        _require(
            self.keep == "last" or self.val > 0,
            "keep is best, which validation tells, and val is 0; choose a val above 0",
        )
        _require(0 <= self.ema < 1, f"ema is {self.ema}; choose 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class TrainRecipe(FitOptions, LabelOptions):
    """Training from labels alone: teachers and baselines."""

    augment: str = "scale,shift"
    """Operations on each fresh view, such as scale,rotate(axis=up),jitter; none for none."""

    def __post_init__(self) -> None:
        FitOptions.__post_init__(self)
        LabelOptions.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class DistillRecipe(FitOptions, LossOptions):
    """Training a student from records; the views are the recorded ones."""

    def __post_init__(self) -> None:
        FitOptions.__post_init__(self)
        LossOptions.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class RecordRecipe:
    """What is recorded of a teacher, and how it is stored; an estimate is of the same."""

    views: int = 20
    """Augmentation draws of each shape."""
    augment: str = "scale,shift"
    """Operations, such as scale,shift,rotate(axis=up),mirror,jitter,dropout; none for none."""
    points: int | None = None
    """Points per view; by default what the teacher was trained with, or 1,024."""
    limit: int | None = None
    """Record this many shapes only (stratified); train students with the same limit."""
    seed: int = 0
    """Seed of the augmentation."""
    batch_size: int = 16
    """Views the teacher sees at once; a store keeps the number it was made with."""
    codec: str = "float16"
    """How logits are stored: float16, int8 (half the bytes), or topk:16 for hundreds of classes."""
    keyed: bool = False
    """Draw the augmentation's parameters again in training instead of storing them."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        check_seed(self.seed)
        for name in ("views", "points", "limit", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}", fix="choose 1 or more")
