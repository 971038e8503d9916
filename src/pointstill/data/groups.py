"""Groups: shapes that are no independent samples of each other, kept on one side of every cut.

A person who was recorded a hundred times, a site, a scan: whoever has half of a group to learn from
knows the other half. Counts are whole numbers, so that a cut is the same on every machine.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .keyed_draws import shuffled

WHOLE = 1 << 20
"""Stands for all shapes of a class, where a group has a share of it."""


def grouped_folds(
    labels: ArrayLike, groups: Sequence[str], parts: int, key: str
) -> NDArray[np.int64]:
    """Part shapes into folds of nearly the same mixture, whole groups at a time.

    The largest group first, each goes to the fold that has least of the classes that it brings, as
    in the stratified group k-fold of scikit-learn; among equals to the smallest fold.

    Args:
        labels: (S,) whole numbers; `UNLABELLED` counts as a class.
        groups: (S,) what each shape shares with others.
        parts: the number of folds.
        key: names the draw that orders groups of one size.

    Returns:
        The fold of each shape (S,), 0 to `parts - 1`.
    """
    rows, _, shares = _shares(labels, groups, key)
    filled = np.zeros((parts, shares.shape[1]), np.int64)
    fold = np.zeros(len(shares), np.int64)
    for group in np.argsort(-shares.sum(axis=1), kind="stable").tolist():
        like = filled @ shares[group]
        fold[group] = np.lexsort((filled.sum(axis=1), like))[0]
        filled[fold[group]] += shares[group]
    return fold[rows]


def grouped_part(
    labels: ArrayLike, groups: Sequence[str], part: float, key: str
) -> NDArray[np.bool_]:
    """Choose whole groups that hold about `part` of each class: a mask (S,).

    In a keyed order, a group is taken if it brings the shares of the classes nearer to `part`; if
    none does, the one that misses it least. No group is taken that would leave a class without a
    shape outside; where every group would, none is.
    """
    rows, counts, shares = _shares(labels, groups, key)
    left, target = counts.sum(axis=0), round(part * WHOLE)
    held, taken = np.zeros(shares.shape[1], np.int64), np.zeros(len(shares), bool)
    best: tuple[int, int] | None = None
    for group, share in enumerate(shares):
        if (left == counts[group]).any():
            continue
        off = int(((held + share - target) ** 2).sum())
        if off < ((held - target) ** 2).sum():
            taken[group] = True
            held, left = held + share, left - counts[group]
        elif best is None or off < best[0]:
            best = (off, group)
    if best and not taken.any():
        taken[best[1]] = True
    return taken[rows]


def groups_digest(groups: Sequence[str]) -> str:
    """SHA-256 (hex) over the groups of all shapes, in order."""
    return hashlib.sha256(json.dumps(list(groups)).encode()).hexdigest()


def shared_groups(splits: Mapping[str, set[str]], kind: str) -> list[str]:
    """A line for every split that has groups of the training split.

    Args:
        splits: split -> its groups.
        kind: what the groups are called.
    """
    train, said = splits.get("train", set()), []
    for name, groups in splits.items():
        if name != "train" and (both := groups & train):
            said.append(
                f"{len(both):,} of {len(groups):,} groups ({kind}) of {name} are in train too, "
                f"such as {min(both)}: figures on {name} are not of groups that were never seen"
            )
    return said


def _shares(
    labels: ArrayLike, groups: Sequence[str], key: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The group of each shape (S,), in a keyed order; counts (G, C) of classes, and shares."""
    place = {name: index for index, name in enumerate(shuffled(key, set(groups)))}
    rows = np.array([place[name] for name in groups], np.int64)
    kinds, columns = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(place), len(kinds)), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return rows, counts, counts * WHOLE // np.maximum(counts.sum(axis=0), 1)
