"""Exported students that answer side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..runtime import Classifier


@dataclass(frozen=True)
class Student:
    """An exported student and what it is called."""

    name: str
    path: Path
    classifier: Classifier

    @property
    def features(self) -> tuple[str, ...]:
        """What it takes of a point, xyz first."""
        return tuple(self.classifier.about.get("features", ("xyz",)))

    @property
    def temperature(self) -> float:
        """By which its logits are divided before they become probabilities."""
        return float(self._calibration.get("temperature", 1.0))

    @property
    def threshold(self) -> float | None:
        """Of the score (log sum exp of logits) below which a cloud is unknown to it, if any."""
        return self._calibration.get("threshold")

    @property
    def leaves_strays_out(self) -> bool:
        """Whether points far from the others do not count; see `points.strays`."""
        return self.normalization > 1

    @property
    def normalization(self) -> int:
        """The version of its normalisation; files that do not say have the first."""
        return int(self.classifier.about.get("origin", {}).get("normalization", 1))

    @property
    def _calibration(self) -> dict[str, Any]:
        return self.classifier.about.get("calibration") or {}


def open_students(paths: Iterable[Path]) -> list[Student]:
    """Students by the names of their files.

    Raises:
        PointstillError: a file is no student.
        UsageError: none, two of one name, or of several axes up, which no one cloud can have.
    """
    students = [Student(path.stem, path, Classifier(path)) for path in paths]
    names = [student.name for student in students]
    ups = {student.classifier.about["up"] for student in students}
    if not names:
        raise UsageError("no student is named", fix="give one that `pointstill export` wrote")
    if len(set(names)) < len(names):
        raise UsageError(f"students are called {', '.join(names)}", fix="rename one of the files")
    if len(ups) > 1:
        raise UsageError(
            f"students have the axes {' and '.join(sorted(ups))} up",
            fix="show those of one axis side by side",
        )
    return students
