"""Exported students that answer side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...data.columns import Columns, format_columns
from ...errors import UsageError
from ...points.features import Features
from ...storage.packaged_students import student_path
from ..runtime import Classifier


@dataclass(frozen=True)
class Student:
    """An exported student and what it is called."""

    name: str
    path: Path
    classifier: Classifier

    @property
    def features(self) -> Features:
        """What a cloud has to bring for it, xyz first."""
        return self.classifier.features

    @property
    def leaves_strays_out(self) -> bool:
        """Whether points far from the others do not count; see `points.strays`."""
        return self.classifier.normalization > 1


def features_of(students: Iterable[Student]) -> Features:
    """What any of some students takes, xyz first."""
    return tuple(dict.fromkeys(name for each in students for name in each.features))


def open_students(paths: Iterable[Path]) -> list[Student]:
    """Students by the names of their files, or those of the package by theirs.

    Raises:
        PointstillError: a file is no student.
        UsageError: none, two of one name, or of several axes up or names of columns, which no one
            cloud can have.
    """
    files = map(student_path, paths)
    students = [Student(path.stem, path, Classifier(path)) for path in files]
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
    called = [student.classifier.columns for student in students]
    if any(each != called[0] for each in called):
        raise UsageError(
            f"students learned from columns called {' and '.join(map(_called, called))}",
            fix="show those of the same columns side by side",
        )
    return students


def _called(columns: Columns) -> str:
    return format_columns(columns) or "as here"
