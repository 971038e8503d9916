"""Stray points: false returns so far from a shape that, scaled with them, it would be a dot.

A point is a stray if its distance from the middle of its cloud is more than 1.7 times that which 98
in 100 points keep, or 2.5 times that which 90 in 100 keep. So up to a tenth of the points may be
strays. The middle is the mean of the nine tenths of the points that are nearest the mean of all,
which strays pull to themselves. Middle and distances are those of some points, spread over the
cloud. The exported graph has the same rule: `augment.normalize`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = ((50, 1.7), (10, 2.5))
"""With (k, factor): a k-th of the points are beyond a distance, and strays beyond factor times it.
Of 2,468 test shapes of ModelNet40, 7 lose 1 to 14 points."""
COUNT = 512
"""Points that are looked at, spread over the cloud; of a smaller cloud some are the same. Any cloud
has as many, so that the exported graph takes any number of points."""
TURN, WHOLE = 40503, 1 << 16
"""TURN / WHOLE is the golden ratio, whose multiples modulo 1 are even and follow no period."""
STRETCHES = np.arange(COUNT) * WHOLE + np.arange(COUNT) * TURN % WHOLE
"""Places in a cloud of COUNT * WHOLE points."""


def body(clouds: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points of clouds of one size are no strays: (S, n, 3) -> (S, n).

    The coordinates must be finite, and far enough from what their type can hold for squares.
    """
    places = spread(STRETCHES, clouds.shape[1])
    middle, bound = bounds(np.take(clouds, places, axis=1))
    kept: NDArray[np.bool_] = _squares(clouds, middle) <= bound[:, None]
    return kept


def bounds(some: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Middles (S, 3) and squared distances (S,) beyond which strays are.

    Args:
        some: (S, COUNT, 3), the points at the places of `spread` in each cloud.
    """
    squares = _squares(some, some.mean(axis=1))
    near = (squares <= _beyond(squares, 10)).astype(some.dtype)
    middle = np.einsum("sn,snc->sc", near, some) / near.sum(1)[:, None]
    squares = _squares(some, middle)
    farthest = [factor**2 * _beyond(squares, part) for part, factor in QUANTILES]
    return middle, np.minimum(*farthest)[:, 0]


def spread(stretches: Any, size: int) -> Any:
    """Places in a cloud of `size` points, one in each of `COUNT` equal stretches, at no period.

    A scanner may give its points in turns of 16 lines, and every 16th point would be of one line.

    Args:
        stretches: `STRETCHES`, of NumPy or torch.
        size: of the cloud.

    >>> spread(STRETCHES, 40 * COUNT)[:4]
    array([  0,  64,  89, 154])
    """
    return stretches * size // (COUNT * WHOLE)


def _squares(clouds: NDArray[Any], middles: NDArray[Any]) -> NDArray[Any]:
    """Squared distances (S, n) from middles (S, 3)."""
    away = clouds - middles[:, None]
    squares: NDArray[Any] = np.einsum("snc,snc->sn", away, away)
    return squares


def _beyond(squares: NDArray[Any], part: int) -> NDArray[Any]:
    """The value (S, 1) that a part-th of the values (S, COUNT) may be above."""
    place = COUNT - 1 - COUNT // part
    values: NDArray[Any] = np.partition(squares, place, axis=1)[:, place, None]
    return values
