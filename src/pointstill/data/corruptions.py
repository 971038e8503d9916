"""ModelNet-C: seven ways in which a cloud goes wrong, at five levels each (Ren, Pan, Liu, 2022).

Written from the parameters of *Benchmarking and Analyzing Point Cloud Classification under
Corruptions* (arXiv 2202.03377); every draw is keyed by (seed, corruption, level, name), so that a
shape goes wrong in the same way wherever it is measured. For test clouds alone: no operation of
training has the formula and range of one of these.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .keyed_draws import uniforms

Points = NDArray[np.float32]
LEVELS = (1, 2, 3, 4, 5)
MOST_CLUSTERS = 7


class _Draws:
    """Numbers of one shape, one after the other."""

    def __init__(self, key: str, count: int):
        self.numbers, self.used = uniforms(key, count), 0

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        count = math.prod(shape)
        self.used += count
        return self.numbers[self.used - count : self.used].reshape(shape)

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """By the Box-Muller transform."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(*shape)))
        found: NDArray[np.float64] = radius * np.cos(2 * math.pi * self.uniform(*shape))
        return found

    def below(self, count: int) -> int:
        """A whole number from 0 to below `count`."""
        return int(self.uniform(1)[0] * count)

    def shares(self, total: int) -> list[int]:
        """Cut `total` into 1 to 7 clusters, each point in any of them alike."""
        clusters = 1 + self.below(MOST_CLUSTERS)
        places = (self.uniform(total) * clusters).astype(np.int64)
        return [int(size) for size in np.bincount(places, minlength=clusters)]


def _scale(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Stretch each axis by U(1 / s, s), s = 1.6 to 2, and normalise again."""
    most = 1.5 + 0.1 * level
    stretched = points * (1 / most + draws.uniform(3) * (most - 1 / most))
    stretched = stretched - stretched.mean(axis=0)
    return np.asarray(stretched / np.linalg.norm(stretched, axis=1).max())


def _jitter(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Shake each coordinate by a normal of sigma 0.01 to 0.05, not cut off."""
    return points + 0.01 * level * draws.normal(*points.shape)


def _rotate(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Turn about x, y and z by U(-a, a) each, a = 6 to 30 degrees."""
    turned = points.astype(np.float64)
    for axis, angle in enumerate(math.radians(6 * level) * (2 * draws.uniform(3) - 1)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = math.cos(angle), math.sin(angle)
        first, second = turned[:, a].copy(), turned[:, b].copy()
        turned[:, a], turned[:, b] = cos * first - sin * second, sin * first + cos * second
    return turned


def _drop_global(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Lose 25 to 75 % of the points, any of them."""
    kept = round(len(points) * (1 - 0.125 * (level + 1)))
    order = np.argsort(draws.uniform(len(points)), kind="stable")
    return points[np.sort(order[:kept])].astype(np.float64)


def _drop_local(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Lose 100 to 500 points, in 1 to 7 clusters of nearest neighbours."""
    left = points.astype(np.float64)
    for size in draws.shares(min(100 * level, len(points) - 1)):
        middle = left[draws.below(len(left))]
        away = np.argsort(((left - middle) ** 2).sum(axis=1), kind="stable")
        left = left[np.sort(away[size:])]
    return left


def _add_global(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Add 10 to 50 points, anywhere in the unit ball."""
    count = 10 * level
    direction = draws.normal(count, 3)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    added = direction * np.cbrt(draws.uniform(count, 1))
    return np.concatenate([points, added])


def _add_local(points: Points, level: int, draws: _Draws) -> NDArray[np.float64]:
    """Add 100 to 500 points, in 1 to 7 normal clusters about points of the shape."""
    added = [points]
    for size in draws.shares(100 * level):
        middle = points[draws.below(len(points))]
        sigma = 0.075 + 0.05 * draws.uniform(1)[0]
        cluster = middle + sigma * draws.normal(size, 3)
        # What is beyond the unit sphere is pulled onto it.
        cluster /= np.maximum(np.linalg.norm(cluster, axis=1, keepdims=True), 1)
        added.append(cluster.astype(np.float32))
    return np.concatenate(added).astype(np.float64)


CORRUPTIONS: dict[str, Callable[[Points, int, _Draws], NDArray[np.float64]]] = {
    "scale": _scale,
    "jitter": _jitter,
    "rotate": _rotate,
    "drop-global": _drop_global,
    "drop-local": _drop_local,
    "add-global": _add_global,
    "add-local": _add_local,
}
"""By the names of the paper."""
DGCNN_CLEAN = 0.926
DGCNN = {
    "scale": 0.906,
    "jitter": 0.684,
    "rotate": 0.785,
    "drop-global": 0.752,
    "drop-local": 0.793,
    "add-global": 0.705,
    "add-local": 0.725,
}
"""Overall accuracy of DGCNN as published, the mean of the levels: what errors are divided by."""


def corrupt(points: Points, corruption: str, level: int, key: str) -> Points:
    """A cloud gone wrong.

    Args:
        points: (n, 3) in the unit sphere; 1,024 in the benchmark.
        corruption: a name in `CORRUPTIONS`.
        level: 1 to 5.
        key: names the draw, such as `0/airplane_0627`.

    Returns:
        (m, 3); points come and go.
    """
    draws = _Draws(f"modelnet-c:{corruption}:{level}:{key}", 6 * len(points) + 6 * 500 + 100)
    return CORRUPTIONS[corruption](points, level, draws).astype(np.float32)


def corruption_error(accuracy: dict[str, float]) -> dict[str, float]:
    """The corruption errors (CE): (1 - OA) / (1 - OA of DGCNN) of each, and `mCE`, their mean.

    Args:
        accuracy: of every corruption, the overall accuracy, a mean of the levels.

    >>> corruption_error(DGCNN)["mCE"]
    1.0
    """
    errors = {name: (1 - accuracy[name]) / (1 - DGCNN[name]) for name in CORRUPTIONS}
    return errors | {"mCE": sum(errors.values()) / len(errors)}


def relative_corruption_error(accuracy: dict[str, float], clean: float) -> dict[str, float]:
    """The same of what is lost against clean clouds (RCE), and `RmCE`, their mean.

    >>> round(relative_corruption_error(DGCNN, DGCNN_CLEAN)["RmCE"], 12)
    1.0
    """
    errors = {name: (clean - accuracy[name]) / (DGCNN_CLEAN - DGCNN[name]) for name in CORRUPTIONS}
    return errors | {"RmCE": sum(errors.values()) / len(errors)}
