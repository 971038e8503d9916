"""What students say of one cloud, in the form in which a server sends it."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from ...errors import DataError
from ...points.strays import body
from ...points.upright import turn_up
from .parts import FEWEST, grouped, importance
from .students import Student

SHOWN = 4096
"""Points that are sent back to be looked at, and of which parts are left out."""
Table = Mapping[str, NDArray[Any]]
"""`xyz` (n, 3), and features by their names."""


class ClassProbability(BaseModel):
    """One class of an answer."""

    name: str
    probability: float


class Answer(BaseModel):
    """What one student says."""

    student: str
    classes: list[ClassProbability]
    """The most probable first."""
    unknown: bool | None = None
    """Whether it does not know the cloud; only of a student with a threshold, as are these:"""
    score: float | None = None
    """How well it knows the cloud: higher is better."""
    threshold: float | None = None
    """Of the score."""
    parts: list[float] | None = None
    """By how much the log-odds of the first class fall without each group of points."""


class Shown(BaseModel):
    """A cloud to be looked at."""

    points: list[tuple[float, float, float]]
    """Every so-manieth point, about the origin, in the unit of the file."""
    strays: list[int]
    """Which of them are so far from the others that they were left out."""
    groups: list[int] | None = None
    """Which of the parts each point is in, -1 for strays; none for a cloud of few points."""


class Classified(BaseModel):
    """What is sent for one upload."""

    points: int = Field(description="points of the cloud that were classified")
    notes: list[str] = Field(description="what the user should know, such as points left out")
    answers: Annotated[
        list[Answer], Field(description="of each student, in the order of its command line")
    ]
    cloud: Annotated[Shown | None, Field(description="with details alone")] = None


def answer(
    students: Sequence[Student],
    table: Table,
    notes: Iterable[str],
    top: int,
    details: bool,
    up: str | None = None,
) -> Classified:
    """Ask students about one cloud.

    Args:
        students: who is asked.
        table: `xyz` (n, 3) and the features that students take.
        notes: what is known of the cloud already.
        top: how many classes each names.
        details: also which parts decided, and the points to show them on.
        up: the axis that points up in the cloud; None: that of the students.

    Raises:
        DataError: a feature that a student takes is not there; or see `Classifier.logits`.
    """
    table = _upright(table, up, students[0].classifier.up)
    said, answers = list(notes), []
    for student in students:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            logits = student.classifier.logits(_taken(student, table))
        said += [f"{student.name}: {each.message}" for each in caught]
        answers.append(_read(student, logits, top))
    points = len(table["xyz"])
    if not details:
        return Classified(points=points, notes=said, answers=answers)
    few = np.arange(min(points, SHOWN)) * points // min(points, SHOWN)
    shown = {name: values[few] for name, values in table.items()}
    xyz = shown["xyz"].astype(np.float64)
    xyz -= np.median(xyz, axis=0)
    stray = np.zeros(len(few), bool)
    if any(student.leaves_strays_out for student in students):
        whole = table["xyz"].astype(np.float64)
        stray = ~body((whole - np.median(whole, axis=0))[None])[0, few]
    cloud = Shown(points=xyz.tolist(), strays=np.flatnonzero(stray).tolist())
    if len(few) >= FEWEST:
        group = np.full(len(few), -1)
        group[~stray] = grouped(xyz[~stray])
        cloud.groups = group.tolist()
        for student, each in zip(students, answers, strict=True):
            each.parts = importance(partial(_logits_of_some, student, shown), group)
    return Classified(points=points, notes=said, answers=answers, cloud=cloud)


def _read(student: Student, logits: NDArray[np.float32], top: int) -> Answer:
    """Probabilities of logits (C,), and how well the cloud is known."""
    calibration = student.classifier.calibration
    shares = calibration.probabilities(logits)
    order = np.argsort(-shares, kind="stable")[:top]
    names = student.classifier.classes
    classes = [ClassProbability(name=names[i], probability=float(shares[i])) for i in order]
    said = Answer(student=student.name, classes=classes)
    if calibration.threshold is not None:
        said.threshold, said.score = calibration.threshold, float(calibration.score(logits))
        said.unknown = not calibration.known(logits)
    return said


def _logits_of_some(student: Student, table: Table, kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    some = {name: values[kept] for name, values in table.items()}
    return student.classifier.logits(_taken(student, some))


def _taken(student: Student, table: Table) -> Table:
    """What a student takes.

    Raises:
        DataError: something of it is not there.
    """
    if gone := [name for name in student.features if name not in table]:
        raise DataError(
            f"has no {' and no '.join(gone)}, which {student.name} takes of each point",
            where="the cloud",
            fix="give a file that has columns of these names",
        )
    return {name: table[name] for name in student.features}


def _upright(table: Table, up: str | None, wanted: str) -> Table:
    """The table of a cloud with another axis up, turned."""
    if up is None:
        return table
    turned = {name: table[name] for name in ("xyz", "normal") if name in table}
    return {**table, **{name: turn_up(each, up, wanted) for name, each in turned.items()}}
