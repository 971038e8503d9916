"""What is fitted on held-out shapes once a student is trained; a run and an exported file keep it.

A temperature, by which logits are divided before they become probabilities (Guo et al. 2017), and
a threshold of the score below which a cloud is called unknown. Both follow from logits alone, so
that whoever reads the one output of the graph can do the same.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike, NDArray

from .documents import check

RECALL = 0.95
"""Share of shapes of the known classes that are to stay above the threshold."""
Share = Annotated[float, Meta(ge=0, le=1)]
Row = tuple[Annotated[float, Meta(ge=-1e30, le=1e30)], ...]


@dataclass(frozen=True)
class Typical:
    """What the logits of C classes look like on shapes that were trained on: see `typical_of`.

    The score of a cloud is the lower of how high its energy is and how near its logits are to the
    mean of their class, both as a multiple of how far held-out shapes are from their median.
    """

    means: tuple[Row, ...]
    """Of the logits of the shapes that are taken for each class, C rows of C."""
    whitening: tuple[Row, ...]
    """Lower triangle A, row i of i + 1 numbers: A'A is the inverse of their covariance."""
    energy: Row
    """The median on held-out shapes, and how far below it one in twenty is."""
    distance: Row
    """The same of the squared Mahalanobis distance, but above it."""

    def __post_init__(self) -> None:
        classes = len(self.means)
        sizes = [len(row) for row in (*self.means, *self.whitening, self.energy, self.distance)]
        if sizes != [classes] * classes + list(range(1, classes + 1)) + [2, 2]:
            raise ValueError("the rows have other sizes than its classes")
        if not (self.energy[1] > 0 and self.distance[1] > 0):
            raise ValueError("what scores are divided by is not above 0")

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        factor = np.zeros((len(self.means),) * 2)
        for place, row in enumerate(self.whitening):
            factor[place, : place + 1] = row
        return np.array(self.means), factor

    def squared_distance(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Of logits (..., C) to the mean of their class, by the covariance within the classes."""
        exact = np.asarray(logits, np.float64)
        means, factor = self._arrays
        return np.asarray(np.square((exact - means[exact.argmax(-1)]) @ factor.T).sum(-1))

    def score(self, logits: ArrayLike) -> NDArray[np.float64]:
        """How well clouds of logits (..., C) are known: 0 is usual, -1 what one in twenty has."""
        high = (energy(logits) - self.energy[0]) / self.energy[1]
        near = (self.distance[0] - self.squared_distance(logits)) / self.distance[1]
        return np.asarray(np.minimum(high, near))


@dataclass(frozen=True)
class Calibration:
    """How the logits of a student are read; this one, of a student that has none, as they are."""

    temperature: Annotated[float, Meta(ge=1e-3, le=1e3)] = 1.0
    """Logits are divided by it before the softmax."""
    threshold: Annotated[float, Meta(ge=-1e30, le=1e30)] | None = None
    """A cloud whose score is below is unknown; None: nothing is called so."""
    shapes: Annotated[int, Meta(ge=0)] = 0
    """Held-out shapes that both were fitted on."""
    error_before: Share | None = None
    """Expected calibration error (ECE) on them at temperature 1, a fraction."""
    error_after: Share | None = None
    """The same at the temperature."""
    typical: Typical | None = None
    """By what clouds are scored; None, as in files of before 0.7: by the energy alone."""

    @classmethod
    def of(cls, entries: Any, classes: int) -> "Calibration":
        """From what a file says of a student of so many classes; None is none.

        Raises:
            ValueError: it has another form.
        """
        if entries is None:
            return AS_THEY_ARE
        found = check(entries, cls)
        if found.typical and len(found.typical.means) != classes:
            raise ValueError(f"is of {len(found.typical.means)} classes, and there are {classes}")
        return found

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (..., C) of logits (..., C)."""
        cooled = np.asarray(logits, np.float64) / self.temperature
        shares = np.exp(cooled - cooled.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))

    def score(self, logits: ArrayLike) -> NDArray[np.float64]:
        """How well clouds of logits (..., C) are known; higher is better known."""
        return self.typical.score(logits) if self.typical else energy(logits)

    def known(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Whether each of the clouds of logits (..., C) is of a class that was learned.

        Raises:
            TypeError: there is no threshold.
        """
        if self.threshold is None:
            raise TypeError("there is no threshold")
        return np.asarray(self.score(logits) >= self.threshold)


AS_THEY_ARE = Calibration()
"""Of what was never calibrated."""


def energy(logits: ArrayLike) -> NDArray[np.float64]:
    """Log sum exp of logits (..., C), at temperature 1: the higher, the better known.

    The negative energy of Liu, Wang, Owens, Li, NeurIPS 2020.

    >>> float(energy([0.0, 0.0]))  # ln 2
    0.6931471805599453
    """
    exact = np.asarray(logits, np.float64)
    top = exact.max(axis=-1, keepdims=True)
    return np.asarray((np.log(np.exp(exact - top).sum(axis=-1, keepdims=True)) + top)[..., 0])
