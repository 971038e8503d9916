"""Intervals where shapes are no independent sample: whole groups are drawn again and again.

Ten scans of one person say less than those of ten people, so what is drawn anew are the people.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.keyed_draws import uniforms

DRAWS = 2000
LEAST = 5
"""Groups; of fewer their draws do not tell how much chance there is."""


def resampled_means(values: ArrayLike, groups: Sequence[str]) -> NDArray[np.float64] | None:
    """Means over shapes, of as many groups drawn with replacement as there are: the bootstrap.

    Efron and Tibshirani 1993, chapter 8; the groups are the units. The draws are keyed by the
    number of groups, so that two models are measured on the same ones.

    Args:
        values: (R,) one number a shape.
        groups: (R,) the name of the group of each.

    Returns:
        (`DRAWS`,), or None of fewer than `LEAST` groups.
    """
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < LEAST:
        return None
    total = np.bincount(number, np.asarray(values, np.float64))
    size = np.bincount(number)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        drawn = (uniforms(f"bootstrap/{draw}", len(names)) * len(names)).astype(np.int64)
        means[draw] = total[drawn].sum() / size[drawn].sum()
    return means


def percentile_interval(means: NDArray[np.float64]) -> list[float]:
    """The 95 % percentile interval, from and to."""
    return [float(each) for each in np.quantile(means, (0.025, 0.975))]
