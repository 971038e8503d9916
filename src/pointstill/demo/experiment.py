"""What the demo compares, and how large it is. Light: no torch here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..losses.options import NWSDOptions
from ..recipe import DistillRecipe, TrainRecipe

DATA = "primitives"
TEACHER, STORE, STUDENTS = "teacher", "records.zarr", "students"
BETA = NWSDOptions().beta


@dataclass(frozen=True)
class Method:
    """A way of training the student."""

    key: str
    """Name of its run folders, before the seed."""
    title: str
    role: Literal["baseline", "distilled", "control"]
    what: str
    """What it learns from, in a line."""
    loss: DistillRecipe | None
    """None: labels alone, on fresh views."""
    smoothing: float = 0.0
    """Of the labels, where those are all."""


METHODS = (
    Method("ce", "CE", "baseline", "the few labels; new views in every epoch", None),
    Method(
        "ce-smooth",
        "CE, smoothed",
        "baseline",
        "as CE, with label smoothing of 0.2",
        None,
        smoothing=0.2,
    ),
    Method(
        "kd",
        "KD",
        "distilled",
        "all clouds, by the recorded teacher, and the few labels",
        DistillRecipe(loss="kd"),
    ),
    Method(
        "kd-weaker",
        "KD, α − β",
        "control",
        "as KD, with the weight that NWSD's two terms add up to",
        DistillRecipe(loss="kd", alpha=1 - BETA),
    ),
    Method(
        "nwsd",
        "NWSD",
        "distilled",
        "as KD, and away from the student's own past",
        DistillRecipe(loss="nwsd", snapshot_age=1),
    ),
    Method(
        "towards-past",
        "NWSD, β < 0",
        "control",
        "as NWSD, but towards the student's past",
        DistillRecipe(loss="nwsd", beta=-BETA, snapshot_age=1),
    ),
)


@dataclass(frozen=True)
class Plan:
    """Sizes of the demo: few labels and many clouds.

    Every method gets the same steps, batches, points and labels. Those that ask the teacher learn
    from all clouds; those that do not, only from the labelled ones, in as many more epochs.
    """

    teacher: str = "stillnet-s"
    teacher_points: int = 256
    teacher_epochs: int = 17
    teacher_limit: int | None = None
    student: str = "stillnet-n"
    points: int = 128
    epochs: int = 7
    """Passes over the clouds."""
    limit: int = 640
    """Clouds of the students, recorded."""
    label_share: float = 0.125
    """Part of them whose labels a student is told: five a class."""
    views: int = 7
    seeds: int = 5
    """By `benchmarks/demo_pilot.py`, on other shapes and with two teachers of its own, KD gains 6.7
    to 8.4 points over the better CE, with a spread of 2.4 within a seed at most: 5 seeds tell 4.5
    with a power of 0.93 (paired t-test, 0.05), so another teacher may gain a third less."""
    batch_size: int = 16
    augment: str = "scale,rotate(axis=up)"
    test_limit: int | None = None
    workers: int = 8
    """Most training runs side by side; no more than there are cores."""

    def teacher_recipe(self) -> TrainRecipe:
        """How the teacher is trained."""
        return TrainRecipe(
            epochs=self.teacher_epochs,
            points=self.teacher_points,
            limit=self.teacher_limit,
            augment=self.augment,
            **self._common(),
        )

    @property
    def labelled(self) -> int:
        """Clouds whose labels a student is told."""
        return round(self.label_share * self.limit)

    @property
    def label_epochs(self) -> int:
        """Passes over the labelled clouds that make as many steps as `epochs` over all."""
        return round(self.epochs * self.limit / self.labelled)

    def fresh_recipe(self, smoothing: float, seed: int) -> TrainRecipe:
        """How a student is trained on fresh views, from labels alone."""
        return TrainRecipe(
            epochs=self.label_epochs,
            augment=self.augment,
            smoothing=smoothing,
            seed=seed,
            **self._student(),
            **self._common(),
        )

    def recorded_recipe(self, loss: DistillRecipe, seed: int) -> DistillRecipe:
        """How a student is trained on recorded views."""
        return replace(loss, epochs=self.epochs, seed=seed, **self._student(), **self._common())

    def _student(self) -> dict[str, Any]:
        return {"points": self.points, "limit": self.limit, "label_share": self.label_share}

    def _common(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "val": 0.0, "device": "cpu", "threads": 1}


FULL = Plan()
QUICK = Plan(
    teacher="stillnet-n",
    teacher_points=128,
    teacher_epochs=4,
    teacher_limit=160,
    epochs=3,
    limit=80,
    label_share=0.25,
    views=2,
    seeds=2,
    batch_size=8,
    test_limit=160,
    workers=1,
)


@dataclass(frozen=True)
class Job:
    """One training run: the teacher (no method), or a student."""

    method: Method | None = None
    seed: int = 0

    def folder(self, out: Path) -> Path:
        """Its run folder."""
        if self.method is None:
            return out / TEACHER
        return out / STUDENTS / f"{self.method.key}-{self.seed}"

    def finished(self, out: Path) -> bool:
        """Whether its weights are there."""
        return (self.folder(out) / "weights.safetensors").exists()

    def epochs(self, plan: Plan) -> int:
        """How often it sees each of its shapes."""
        if self.method is None:
            return plan.teacher_epochs
        return plan.epochs if self.method.loss else plan.label_epochs

    def shapes(self, plan: Plan, available: int) -> int:
        """How many shapes it learns from, of so many in the training split."""
        if self.method is None:
            return min(available, plan.teacher_limit or available)
        return plan.limit if self.method.loss else plan.labelled


def students(plan: Plan) -> list[Job]:
    """All students, seed by seed."""
    return [Job(method, seed) for seed in range(plan.seeds) for method in METHODS]
