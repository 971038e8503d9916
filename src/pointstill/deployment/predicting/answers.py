"""What a student says of one file."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ...data.columns import Columns, Table
from ...data.readers import read_table
from ...errors import NoDataError, PointstillError, one_line
from ...points.validity import coordinates
from ..runtime import CloudClassifier
from .named_clouds import STANDARD_INPUT, NamedCloud


@dataclass(frozen=True)
class Answer:
    """What is said of one file: its classes, or an error."""

    path: str
    """As it was named."""
    classes: Sequence[tuple[str, float]] = ()
    """The most probable classes with their probabilities, the first one first."""
    score: float | None = None
    """Log sum exp of the logits: higher is better known."""
    known: bool | None = None
    """Whether the score reaches the student's threshold; None of a student that has none."""
    error: str | None = None
    """Why it was not classified, and the fix."""
    missing: bool = False
    """Whether there is no such file at all."""
    warnings: Sequence[str] = ()
    """Why the answer may not be one to trust."""

    @classmethod
    def of_error(cls, path: str, error: PointstillError) -> "Answer":
        """What is said of a file that cannot be classified."""
        said = str(error.but(where=None))
        return cls(path, error=said, missing=isinstance(error, NoDataError))


@dataclass(frozen=True)
class FileClassifier:
    """Classifies files; sent to the processes that share the work.

    Args:
        classifier: the student.
        top: how many classes are named.
        columns: what files call some columns.
    """

    classifier: CloudClassifier
    top: int
    columns: Columns

    def __call__(self, cloud: NamedCloud) -> Answer:
        """Read a file and classify it; whatever goes wrong is part of the answer."""
        try:
            return self._answer(cloud)
        except PointstillError as error:
            return Answer.of_error(cloud.name, _renamed(error, cloud))
        except MemoryError:
            return Answer(cloud.name, error="needs more memory than there is")
        except Exception as error:  # ours; the other files are not to wait for its mending
            said = f"{type(error).__name__}: {one_line(error)} (a fault of pointstill: report it)"
            return Answer(cloud.name, error=said)

    def _answer(self, cloud: NamedCloud) -> Answer:
        if cloud.fault:
            raise cloud.fault
        classifier = self.classifier
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            logits = classifier.logits(self._table(cloud))
        known = classifier.calibration.threshold is not None
        return Answer(
            cloud.name,
            classifier.most_probable(logits, self.top),
            score=float(classifier.calibration.score(logits)),
            known=bool(classifier.calibration.known(logits)) if known else None,
            warnings=[_said_of(cloud, str(each.message)) for each in doubts],
        )

    def _table(self, cloud: NamedCloud) -> Table:
        classifier = self.classifier
        features = classifier.features[1:]
        table = read_table(cloud.path, classifier.up, features, columns=self.columns)
        return table | {"xyz": coordinates(str(cloud.path), table["xyz"])}


def _renamed(error: PointstillError, cloud: NamedCloud) -> PointstillError:
    """The error, without a path of ours where the cloud came from standard input."""
    if cloud.name != STANDARD_INPUT:
        return error
    fix = error.fix and error.fix.replace(str(cloud.path), STANDARD_INPUT)
    return error.but(what=error.what.replace(str(cloud.path), STANDARD_INPUT), fix=fix)


def _said_of(cloud: NamedCloud, text: str) -> str:
    """A warning on one line, without the name of the file before it."""
    return one_line(UserWarning(text.removeprefix(f"{cloud.path}: ")), None)
