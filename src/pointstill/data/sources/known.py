"""What is known of all shapes of a source before they are read, and their cut into splits."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, UsageError, printable
from ..groups import grouped_folds, shared_groups
from ..keyed_draws import shuffled
from ..source import FOLDS, SPLITS, UNLABELLED, SplitName, refuse_fold
from .contents import alike

NAME = re.compile(r"[\w][\w.-]*")
"""What a split may be called."""
MOST_SPLITS = 100
LONGEST = 200
"""Characters of a label."""
VALIDATION = {"val", "valid", "validation"}


@dataclass(frozen=True)
class Known:
    """Labels, splits and groups of all shapes, in one order."""

    where: Path
    """The file or folder, for errors."""
    classes: tuple[str, ...]
    names: Sequence[str]
    """As folds are drawn by them: each once in its class."""
    labels: NDArray[np.int64]
    """(S,); `UNLABELLED` where there is none."""
    splits: Sequence[str] | None
    """(S,) of the data's own, or None: train and test are folds."""
    groups: Sequence[str | None] | None = None
    """(S,), where they are known; None is a group of its own."""
    kind: str | None = None
    """What the groups are called, where `--group` asks to keep them whole."""
    fold: int = 0

    def __post_init__(self) -> None:
        if self.splits is not None:
            refuse_fold(self.where, self.fold)

    @cached_property
    def rows(self) -> dict[SplitName, list[int]]:
        """Split -> its shapes, as places in the order of all; train and test first.

        Raises:
            DataError: too few groups to cut them into folds.
            UsageError: a fold beyond the number of groups.
        """
        found: dict[SplitName, list[int]] = {split: [] for split in SPLITS}
        splits = self.splits
        if splits is None:
            tested = self._tested()
            splits = ["test" if row in tested else "train" for row in range(len(self.names))]
        for name in sorted({*splits} - {*SPLITS}):
            found[name] = []
        for row, split in enumerate(splits):
            found[split].append(row)
        return found

    def _tested(self) -> set[int]:
        """The shapes of the fold that is the test split."""
        if self.kind is not None:
            return self._tested_groups(self.kind)
        tested: set[int] = set()
        for label, name in enumerate(self.classes):  # what has no label is to be learned from
            rows = np.flatnonzero(self.labels == label).tolist()
            members = {self.names[row]: row for row in rows}
            tested |= {members[each] for each in in_fold(name, list(members), self.fold)}
        return tested

    def _tested_groups(self, kind: str) -> set[int]:
        """The same, of whole groups; unlabelled shapes stay with theirs."""
        alone = [f"{label}/{name}" for label, name in zip(self.labels, self.names, strict=True)]
        groups = [
            name if group is None else group
            for name, group in zip(alone, self.groups or alone, strict=True)
        ]
        count = len(set(groups))
        if count < 2:
            raise DataError(
                f"has all its shapes in {count} group ({kind}), so that none can be held out",
                where=self.where,
                fix="leave out --group, or take what tells more of them apart",
            )
        parts = min(FOLDS, count)
        if self.fold >= parts:
            raise UsageError(
                f"has {count} groups ({kind}), and so as many folds",
                where=self.where,
                fix=f"choose fold 0 to {parts - 1}",
            )
        folds = grouped_folds(self.labels, groups, parts, "fold")
        return set(np.flatnonzero(folds == self.fold).tolist())

    def grouping(self, usual: str | None = None) -> str:
        """What a key says of the groups, where they decide what is read.

        Args:
            usual: what they are called where none was asked for.
        """
        other = self.kind is not None and (self.splits is None or self.kind != usual)
        return f" by {self.kind}" if other else ""

    def remarks(self, kind: str = "group") -> Iterator[str]:
        """What to say of the splits when the data is opened.

        Args:
            kind: what the groups are called, where none was asked for.
        """
        has = {split: {*self.labels[rows].tolist()} for split, rows in self.rows.items()}
        for split, other in (SPLITS, SPLITS[::-1]):
            alone = has[split] - has[other] - {UNLABELLED} if self.rows[other] else set()
            if alone and (self.splits is not None or self.kind is not None):
                names = some([self.classes[label] for label in sorted(alone)])
                yield f"{split}/ has classes that {other}/ has not: {names}"
        for name in self.rows:
            if alike(name) in VALIDATION:
                yield (
                    f"its split {name} is not what training validates on, which is a part of train "
                    f"(--val): `pointstill evaluate --split {name}` measures on it"
                )
        if self.groups is not None and self.splits is not None:
            groups = {
                split: {group for row in rows if (group := self.groups[row]) is not None}
                for split, rows in self.rows.items()
            }
            yield from shared_groups(groups, self.kind or kind)


def in_fold(name: str, members: list[str], fold: int) -> set[str]:
    """Choose the members of a class that fold 0 to 4 holds out, by their names alone.

    The five folds part a class of five or more. A smaller one has a member in every fold, so some
    are in several; a single one is never held out.
    """
    parts = min(FOLDS, len(members))
    if parts < 2:
        return set()
    return set(shuffled(f"fold:{name}", members)[fold % parts :: parts])


def read_labels(
    where: Path, given: NDArray[Any], classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels (S,) and the classes, from labels as data give them.

    Args:
        where: the file, for errors.
        given: (S,) names, "" where there is none; or whole numbers, -1 where there is none.
        classes: their names, in the order of the numbers; if they are not given, those that occur.

    Raises:
        DataError: fractions, a label that is no class, or classes that look alike.
    """
    if given.dtype.kind not in "iuU":
        raise DataError(
            f"has labels of {given.dtype}",
            where=where,
            fix="give names of classes, or whole numbers and -1 for none",
        )
    if given.dtype.kind == "U":
        if given.size and np.char.str_len(given).max() > LONGEST:
            raise DataError(
                f"has labels of more than {LONGEST} characters",
                where=where,
                fix="give classes shorter names",
            )
        names = {name for name in given.tolist() if name}
        if odd := next((name for name in sorted(names) if _is_fraction(name)), None):
            raise DataError(
                f"has labels such as {odd}, which are no whole numbers",
                where=where,
                fix="give names of classes or whole numbers, and leave the label empty for none",
            )
        if names and all(_is_whole(name) for name in names):
            given = np.array([int(name or UNLABELLED) for name in given.tolist()], np.int64)
    if classes is not None and (len(set(classes)) < len(classes) or "" in classes):
        raise DataError("has a class without a name, or twice", where=where)
    if given.dtype.kind == "U":
        classes = sorted(names) if classes is None else classes
        place = {"": UNLABELLED} | {name: label for label, name in enumerate(classes)}
        if unknown := sorted(names - {*place}):
            raise DataError(
                f"has labels that are no class, such as {unknown[0]!r}",
                where=where,
                fix=f"mend them, or the classes ({some(list(classes))})",
            )
        labels = np.array([place[name] for name in given.tolist()], np.int64)
    else:
        low, high = (int(given.min()), int(given.max())) if given.size else (0, 0)
        if low < UNLABELLED or (classes is not None and high >= len(classes)):
            known = f", but {len(classes)} classes are named" if classes is not None else ""
            raise DataError(
                f"has labels from {low} to {high}{known}",
                where=where,
                fix="give each shape the number of its class, counted from 0, or -1 for none",
            )
        labels = given.astype(np.int64)
        if classes is None:
            kinds = np.unique(labels[labels != UNLABELLED])
            labels = np.where(labels == UNLABELLED, UNLABELLED, np.searchsorted(kinds, labels))
            classes = [str(kind) for kind in kinds.tolist()]
    refuse_look_alikes(where, classes)
    return labels, tuple(classes)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}", text) is not None


def _is_fraction(text: str) -> bool:
    """Whether a label is a number with a fraction, or what programs write for a missing one."""
    return alike(text) == "nan" or bool(
        re.fullmatch(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", text.lower())
    )


def check_splits(where: Path, splits: Iterable[str]) -> None:
    """Refuse names of splits that are none, or that are meant for train or test.

    Raises:
        DataError: names one.
    """
    names = sorted({*splits})
    if len(names) > MOST_SPLITS:
        raise DataError(
            f"has {len(names):,} splits, such as {printable(names[0])}: is that what they are?",
            where=where,
        )
    for name in names:
        if not name:
            raise DataError(
                "has shapes without a split, and others with one",
                where=where,
                fix="name a split for each, such as train",
            )
        if not NAME.fullmatch(name) or name == "all":
            raise DataError(
                f"has a split called {name!r}",
                where=where,
                fix="call it train, test, or by another word of letters and digits",
            )
        meant = {"training": "train", "testing": "test"}.get(alike(name), alike(name))
        if meant in SPLITS and meant != name:
            raise DataError(f"has a split called {name}", where=where, fix=f"call it {meant}")


def refuse_look_alikes(where: Path, classes: Iterable[str]) -> None:
    """Refuse classes that people, or another file system, would take for one.

    Raises:
        DataError: names two.
    """
    for one, other in pairs(classes, alike):
        raise DataError(
            f"has classes {one!r} and {other!r}, whose names differ in case or blanks alone",
            where=where,
            fix="give both one name if they are one class, and else names that tell them apart",
        )


def pairs(names: Iterable[str], key: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Names with the key of an earlier one, after that."""
    known: dict[str, str] = {}
    for name in names:
        first = known.setdefault(key(name), name)
        if first != name:
            yield first, name


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many there are beside them."""
    more = f" and {len(names) - most:,} others" * (len(names) > most)
    return ", ".join(names[:most]) + more
