"""Which parts of a cloud decided: each of up to 64 groups of points is left out in turn.

The same in `page/parts.js`, where a page has no server; both give the same groups.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...points.validity import MIN_POINTS
from ..runtime import SparseCloudWarning

GROUPS = 64
FEWEST = 32
"""Points of a cloud whose parts are told apart."""


def grouped(points: NDArray[np.float64], count: int = GROUPS) -> NDArray[np.int64]:
    """Which group each point is in: (n, 3) -> (n,), from 0 up.

    The groups are those nearest to each of `count` points that lie far from one another (farthest
    point sampling, Eldar et al. 1997, from the first point on).
    """
    nearest = np.full(len(points), np.inf)
    group = np.zeros(len(points), np.int64)
    pick = 0
    for number in range(min(count, len(points) // 2)):
        distance = ((points - points[pick]) ** 2).sum(1)
        closer = distance < nearest
        group[closer], nearest[closer] = number, distance[closer]
        pick = int(nearest.argmax())
        if not nearest[pick]:
            break
    return group


def log_odds(logits: NDArray[np.floating], index: int) -> float:
    """Of a class against all others together.

    >>> round(log_odds(np.array([0.0, 0.0, 0.0]), 0), 4)  # one against two
    -0.6931
    """
    if len(logits) == 1:
        return 0.0
    others = np.delete(logits.astype(np.float64), index)
    top = others.max()
    return float(logits[index] - top - np.log(np.exp(others - top).sum()))


def importance(
    classify: Callable[[NDArray[np.bool_]], NDArray[np.float32]], group: NDArray[np.int64]
) -> list[float]:
    """By how much the log-odds of the answer fall without each group; negative where they rise.

    Args:
        classify: the logits (C,) of those points of a cloud that are kept (n,).
        group: (n,) of each point.
    """
    whole = classify(np.ones(len(group), bool))
    answer = int(whole.argmax())
    start = log_odds(whole, answer)
    falls = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SparseCloudWarning)
        for number in range(int(group.max()) + 1):
            kept = group != number
            enough = MIN_POINTS <= kept.sum() < len(kept)
            falls.append(start - log_odds(classify(kept), answer) if enough else 0.0)
    return falls
