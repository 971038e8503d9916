"""A folder of class folders: one file a shape, of any kinds that `readers` reads, mixed."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from ...errors import DataError, printable
from .. import readers
from ..source import FOLDS, SPLITS, UNLABELLED, Listed, PassedOver, Shape, SplitName
from .contents import Contents, alike, look, stem
from .known import VALIDATION, Known, pairs, refuse_look_alikes

SPLIT_NAMES = {*SPLITS, "training", "testing", *VALIDATION}
"""Names of folders, in small letters, that are never classes."""
WITHOUT_LABEL = "_unlabelled"
"""The folder, beside class folders, of shapes without a label."""
FOLDER = "folder"
"""What `--group` calls the folders below class folders."""

MOST_FOLDERS = 100_000
"""Below a class."""


class Found(NamedTuple):
    """A class folder, or a folder below one."""

    split: SplitName | None
    name: str
    """Of the class, or `WITHOUT_LABEL`."""
    contents: Contents
    below: str = ""
    """The path from the class folder to this one, with a slash at the end; empty for itself."""


@dataclass(frozen=True)
class ClassFolders:
    """Class folders, with `train/` and `test/` above or below them, or split by file names.

    Clouds may lie in folders below a class, at any depth; `_unlabelled/` beside the classes holds
    those without a label. What is no cloud is passed over, and listed. Coordinates are taken as
    they are in the files, except that glb files, y up by their standard, are turned to `up`.
    """

    root: Path
    classes: tuple[str, ...]
    found: tuple[Found, ...]
    """By class, then folder; those without a label last."""
    over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
    fold: int = 0
    up: str = "z"
    group: str | None = None

    kind: ClassVar[str] = "folder"
    variants: ClassVar[tuple[str, ...]] = ()
    any_up: ClassVar[bool] = True
    looks_for: ClassVar[str] = (
        f"class folders holding {readers.SUFFIXES}, with train/ and test/ above, below or neither"
    )

    @classmethod
    def find(cls, path: Path, fold: int) -> Self | None:
        """Recognise the folder by any readable file in a class folder.

        Raises:
            DataError: a class folder without one, or some class folders split and others not; a
                shape that would count twice, a class that would count as two, splits as classes.
            UsageError: a fold of a folder that has its own split.
        """
        if not path.is_dir():
            return None
        heads, over, ignored = _folders_of(look(path))
        found: list[Found] = []
        for head in heads:
            inside, linked = _and_below(head)
            found += inside
            over += linked
        named = {head.name for head in heads} - {WITHOUT_LABEL}
        if not any(each.contents.clouds for each in found if each.name in named):
            return None
        if len(named) == 1 and not any(each.contents.clouds for each in found if not each.below):
            return None  # the folder above one that holds class folders
        for head in heads:
            _refuse_empty(head, found)
        for each in found:
            _refuse_twice(each.contents)
            over += each.contents.others
        own = {head.split for head in heads if head.name in named}
        if None in own and len(own) > 1:
            odd = next(h.contents.path for h in heads if h.split is None and h.name in named)
            raise DataError(
                "has neither train/ nor test/, which other classes have",
                where=odd,
                fix="split it as the others are",
            )
        if None not in own:  # shapes without a label are to be learned from
            found = [each._replace(split=each.split or "train") for each in found]
        classes = tuple(sorted(named))
        refuse_look_alikes(path, classes)
        notes = [*_beside_splits(ignored), *_twice_by_links(path, found), *_summary(over)]
        found.sort(key=lambda each: (each.name == WITHOUT_LABEL, each.name, each.below))
        source = cls(path, classes, tuple(found), tuple(over), tuple(notes), fold)
        source.known  # noqa: B018 - refuses a fold
        return source

    @property
    def key(self) -> str:
        """Reader, fold and group."""
        group = self.known.grouping()
        return f"{readers.VERSION} {readers.MESH_POINTS} {self.fold}/{FOLDS}{group}"

    @cached_property
    def members(self) -> list[tuple[Path, str, str]]:
        """(file, its path below the class folder, class) of all shapes."""
        return [
            (each.contents.path / file.name, each.below + file.name, each.name)
            for each in self.found
            for file in each.contents.clouds
        ]

    @cached_property
    def known(self) -> Known:
        """Labels, splits and groups."""
        place = {WITHOUT_LABEL: UNLABELLED} | {name: i for i, name in enumerate(self.classes)}
        labels = np.array([place[name] for *_, name in self.members], np.int64)
        splits = [each.split for each in self.found for _ in each.contents.clouds]
        groups = [below.partition("/")[0] if "/" in below else None for _, below, _ in self.members]
        return Known(
            self.root,
            self.classes,
            [below for _, below, _ in self.members],
            labels,
            None if None in splits else [split for split in splits if split],
            groups if self.group else None,
            self.group,
            self.fold,
        )

    @cached_property
    def listed(self) -> Listed:
        """What is passed over and said, and whether there are folders to group by."""
        below = [each for each in self.found if each.below and each.contents.clouds]
        remarks = [*self.known.remarks(), *self.notes]
        if below and self.group is None:
            count = sum(len(each.contents.clouds) for each in below)
            remarks.append(
                f"{count:,} of {len(self.members):,} clouds are in folders below those of the "
                f"classes, such as {below[0].contents.prefix}: if each is a person, a site or a "
                "scan, --group folder keeps it on one side of train and test"
            )
        return Listed(
            self.over,
            tuple(remarks),
            folded=self.known.splits is None,
            groups=(FOLDER,) if below else (),
        )

    def files(self, split: SplitName) -> list[Path]:
        """One file a shape."""
        return [self.members[row][0] for row in self.known.rows[split]]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All shapes, by class, then folder and file name."""
        shapes = []
        for row in self.known.rows[split]:
            file = self.members[row][0]
            shapes.append(
                Shape(
                    file.relative_to(self.root).as_posix(),
                    int(self.known.labels[row]),
                    partial(readers.read_cloud, file, self.up),
                    partial(readers.read_table, file, self.up),
                    self.known.groups[row] if self.known.groups else None,
                )
            )
        return shapes


def _folders_of(top: Contents) -> tuple[list[Found], list[PassedOver], list[str]]:
    """The class folders, from the places where `train/` may be.

    Returns:
        They, and the folder of what has no label; what lies around them; and the folders, as
        `val/`, beside both `train/` and `test/`.
    """
    found: list[Found] = []
    over, ignored = top.around("class folders"), list[str]()

    def pass_by(contents: Contents) -> None:
        """Folders beside `train/` and `test/`."""
        both = set(SPLITS) <= set(contents.folders)
        for name in contents.folders:
            if name not in (*SPLITS, WITHOUT_LABEL):
                over.append(
                    contents.note(f"{name}/", "folders beside train/ and test/", said=not both)
                )
                ignored.extend([over[-1].path] * both)

    named = {*top.folders} - {WITHOUT_LABEL}
    if set(SPLITS) <= named or named <= set(SPLITS):
        pass_by(top)
        if WITHOUT_LABEL in top.folders:
            found.append(Found("train", WITHOUT_LABEL, top.below(WITHOUT_LABEL)))
        for split in SPLITS:
            if split in top.folders:
                contents = top.below(split)
                over += contents.around("class folders")
                classes = [Found(split, name, contents.below(name)) for name in contents.folders]
                if contents.clouds and not any(each.contents.clouds for each in classes):
                    raise _without_classes(top.path, [split])
                found += classes
        return found, over, ignored
    inside = {name: top.below(name) for name in top.folders}
    _refuse_split_names(top, inside)
    for name, contents in inside.items():
        splits = [split for split in SPLITS if split in contents.folders]
        found += [Found(split, name, contents.below(split)) for split in splits]
        if splits:
            over += contents.around("train/ and test/")
            pass_by(contents)
        else:
            found.append(Found(None, name, contents))
    return found, over, ignored


def _and_below(head: Found) -> tuple[list[Found], list[PassedOver]]:
    """A folder and those in it, at any depth; folders by a link, which may be circles, are not.

    Raises:
        DataError: there are too many for class folders.
    """
    found, linked, rest = list[Found](), list[PassedOver](), [head]
    while rest:
        folder = rest.pop()
        found.append(folder)
        if len(found) + len(rest) > MOST_FOLDERS:
            raise DataError(
                f"holds more than {MOST_FOLDERS:,} folders",
                where=head.contents.path,
                fix="give the folder right above the class folders",
            )
        for name in folder.contents.folders:
            if (folder.contents.path / name).is_symlink():
                linked.append(folder.contents.note(f"{name}/", "linked folders below a class"))
            else:
                inside, below = folder.contents.below(name), f"{folder.below}{name}/"
                rest.append(folder._replace(contents=inside, below=below))
    return found, linked


# What is refused.


def _refuse_split_names(top: Contents, inside: dict[str, Contents]) -> None:
    """Refuse to take splits for classes.

    Raises:
        DataError: a folder with clouds, in it or in folders there, has the name of a split.
    """
    named = [name for name in inside if name.lower() in SPLIT_NAMES]
    if any(inside[name].clouds for name in named):
        raise _without_classes(top.path, named)
    if not any(inside[name].below(each).clouds for name in named for each in inside[name].folders):
        return
    listed = " and ".join(f"{name}/" for name in named)
    if len(named) == len(inside) == 2 and "train" in named:
        (other,) = {*named} - {"train"}
        fix = f"call {other}/ test/ to measure on it, or give {top.path / 'train'}, which is cut by"
        raise DataError(f"has {listed}, but no test/", where=top.path, fix=f"{fix} --fold")
    raise DataError(
        f"has {listed}, as splits are called, without both train/ and test/",
        where=top.path,
        fix="call the splits train/ and test/, or rename what is a class",
    )


def _without_classes(root: Path, splits: list[str]) -> DataError:
    listed = " and ".join(f"{name}/" for name in splits)
    return DataError(
        f"holds clouds right in {listed}, as splits are called, so that no folder says their class",
        where=root,
        fix=f"put those of each class into a folder, as in {splits[0]}/chair/, and call the splits "
        "train/ and test/",
    )


def _refuse_empty(folder: Found, found: list[Found]) -> None:
    """Refuse a class without a cloud.

    Raises:
        DataError: names it.
    """
    same = (folder.split, folder.name)
    if not any(each.contents.clouds for each in found if (each.split, each.name) == same):
        raise DataError(
            f"is an empty class (no file in it is {readers.SUFFIXES})",
            where=folder.contents.path,
            fix="fill it, or move it away",
        )


def _refuse_twice(contents: Contents) -> None:
    """Refuse the same object in two formats, which train and test could have one of each.

    Raises:
        DataError: names two files.
    """
    twice = list(pairs((file.name for file in contents.clouds), lambda name: alike(stem(name))))
    if twice:
        (one, other), more = twice[0], f", and {len(twice) - 1:,} more so" * (len(twice) > 1)
        raise DataError(
            f"holds an object twice, as {one} and {other}{more}",
            where=contents.path,
            fix="move one of each two away, as train and test could each have one of them",
        )


def _twice_by_links(root: Path, found: list[Found]) -> Iterator[str]:
    """Refuse a file under two names, of which train could have one and test the other.

    Returns:
        What to say of files that are twice in a split of the folder's own.

    Raises:
        DataError: names two.
    """
    known: dict[int, tuple[SplitName | None, os.DirEntry[str]]] = {}
    same = []
    for split, _, contents, _ in found:
        for file in contents.clouds:
            number = file.stat().st_ino if file.is_symlink() else file.inode()
            other, first = known.setdefault(number, (split, file))
            if first is file or not _linked(first, file):
                continue
            names = " and ".join(
                Path(each.path).relative_to(root).as_posix() for each in (first, file)
            )
            if split is None or other != split:
                raise DataError(
                    f"has one file, by a link, as {names}",
                    where=root,
                    fix="move one away, as train and test could each have one of them",
                )
            same.append(names)
    if same:
        yield f"{len(same):,} files are twice in a split, by links, such as {same[0]}"


def _linked(one: os.DirEntry[str], other: os.DirEntry[str]) -> bool:
    """Whether two entries with one number are one file: not every file system has such numbers."""
    first, second = Path(one.path), Path(other.path)
    if not first.samefile(second):
        return False
    return first.stat().st_nlink > 1 or first.resolve() == second.resolve()


# What is said.


def _beside_splits(folders: list[str]) -> Iterator[str]:
    if folders:
        more = " and others" if len(folders) > 3 else ""
        yield (
            f"{', '.join(folders[:3])}{more} beside train/ and test/ is no split and is ignored: "
            "move what is in it into train/ to train on it"
        )


def _summary(over: list[PassedOver]) -> Iterator[str]:
    """One line on what was passed over and may have been meant."""
    said = [each for each in over if each.said]
    first = {each.reason: each.path for each in reversed(said)}
    counts = Counter(each.reason for each in said).most_common()
    parts = [
        f"{reason} ({count:,}, such as {printable(first[reason])})" for reason, count in counts
    ]
    if parts:
        yield f"passed over {', '.join(parts)}: `pointstill data info` counts all"
