"""What is fitted on held-out shapes once a student is trained; a run and an exported file keep it.

A temperature, by which logits are divided before they become probabilities (Guo et al. 2017), and
a threshold of the score below which a cloud is called unknown. Both follow from logits alone, so
that whoever reads the one output of the graph can do the same.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike, NDArray

from .documents import check

RECALL = 0.95
"""Share of shapes of the known classes that are to stay above the threshold."""
Share = Annotated[float, Meta(ge=0, le=1)]


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

    @classmethod
    def of(cls, entries: Any) -> "Calibration":
        """From what a file says; None is none.

        Raises:
            ValueError: it has another form.
        """
        return AS_THEY_ARE if entries is None else check(entries, cls)

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (..., C) of logits (..., C)."""
        cooled = np.asarray(logits, np.float64) / self.temperature
        shares = np.exp(cooled - cooled.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))

    def known(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Whether each of the clouds of logits (..., C) is of a class that was learned.

        Raises:
            TypeError: there is no threshold.
        """
        if self.threshold is None:
            raise TypeError("there is no threshold")
        return np.asarray(score(logits) >= self.threshold)


AS_THEY_ARE = Calibration()
"""Of what was never calibrated."""


def score(logits: ArrayLike) -> NDArray[np.float64]:
    """How well a student knows clouds of logits (..., C): log sum exp, higher is better known.

    The negative energy of Liu, Wang, Owens, Li, NeurIPS 2020; at temperature 1.

    >>> float(score([0.0, 0.0]))  # ln 2
    0.6931471805599453
    """
    exact = np.asarray(logits, np.float64)
    top = exact.max(axis=-1, keepdims=True)
    return np.asarray((np.log(np.exp(exact - top).sum(axis=-1, keepdims=True)) + top)[..., 0])
