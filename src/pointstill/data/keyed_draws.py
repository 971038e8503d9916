"""Keyed random draws for reading and splitting data: the same bits on every machine.

A draw is named by a string, not by a position in a stream, so that it depends on nothing that was
drawn before. (Augmentation has its own, vectorised generator: `pointstill.augment.key`.)
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError


def uniforms(key: str, count: int) -> NDArray[np.float64]:
    """Draw numbers (count,) in [0, 1), multiples of 2^-53, from Philox4x64-10 keyed by SHA-256."""
    digest = _sha256(key)
    raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: str, count: int) -> NDArray[np.int64]:
    """Draw an order (count,) of 0 ... count - 1."""
    return np.argsort(uniforms(key, count), kind="stable").astype(np.int64)


def shuffled(key: str, names: Iterable[str]) -> list[str]:
    """Order names by the SHA-256 of key and name: a name keeps its place when others come or go."""
    return sorted(names, key=lambda name: _sha256(f"{key}:{name}"))


def stratified(
    labels: ArrayLike, count: int | float, key: str, *, leave_one: bool = False
) -> NDArray[np.int64]:
    """Choose a subset in which every class has its share.

    Shares are those of Webster's method (Sainte-Lague): shapes are ranked by (place in the
    permutation of their class + 1/2) / (size of the class), the first of each class before all
    others. So subsets are nested: a smaller count gives a part of a larger.

    Args:
        labels: (S,) whole numbers.
        count: how many, or, as a float up to 1.0, which part of them (rounded, at least one).
        key: names the draw.
        leave_one: by shares alone, and never the last shape of a class: for what is taken away
            from the rest. Fewer than `count` are chosen where that asks for it.

    Returns:
        Sorted indices (count,) into `labels`.

    Raises:
        UsageError: a count outside 0 to S, or a fraction outside 0 to 1.
    """
    labels = np.asarray(labels)
    total = len(labels)
    if isinstance(count, float):
        if not 0 <= count <= 1:
            raise UsageError(f"a fraction of {count} cannot be chosen", fix="give 0.0 to 1.0")
        count = min(total, max(1, round(count * total))) if count else 0
    if not 0 <= count <= total:
        raise UsageError(f"{count} of {total} shapes cannot be chosen", fix=f"give 0 to {total}")
    place, share, last = np.empty(total, np.int64), np.empty(total), np.zeros(total, bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = permutation(f"{key}:{label}", len(members))
        place[members[order]] = np.arange(len(members))
        share[members] = (place[members] + 0.5) / len(members)
        last[members[order[-1]]] = True
    ties = uniforms(f"{key}:ties", total)
    if leave_one:
        return np.sort(np.lexsort((ties, share, last))[: min(count, total - last.sum())])
    return np.sort(np.lexsort((ties, share, place > 0))[:count])


def _sha256(text: str) -> bytes:
    # File names need not be valid Unicode.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
