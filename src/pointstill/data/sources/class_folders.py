"""A folder of class folders: one file a shape, of any kinds that `readers` reads, mixed."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from ...errors import DataError, printable
from .. import readers
from ..keyed_draws import shuffled
from ..source import FOLDS, SPLITS, Listed, PassedOver, Shape, SplitName, refuse_fold
from .contents import Contents, alike, look, stem

SPLIT_NAMES = {*SPLITS, "training", "testing", "val", "valid", "validation"}
"""Names of folders, in small letters, that are never classes."""
Found = list[tuple[SplitName | None, str, Contents]]
"""(split or None, class, folder of its files)."""


@dataclass(frozen=True)
class ClassFolders:
    """Class folders, with `train/` and `test/` above or below them, or split by file names.

    What is no cloud is passed over, and listed. Coordinates are taken as they are in the files,
    except that glb files, y up by their standard, are turned to `up`.
    """

    root: Path
    classes: tuple[str, ...]
    key: str
    listing: dict[SplitName, list[tuple[int, Path]]]
    """(label, file) of every shape, by class, then file name."""
    listed: Listed
    up: str = "z"

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
        found, over, ignored = _folders_of(look(path))
        if not any(contents.clouds for *_, contents in found):
            return None
        for *_, contents in found:
            _refuse_empty(contents)
            _refuse_twice(contents)
            over += contents.others
            over += [
                contents.note(f"{name}/", "folders below a class") for name in contents.folders
            ]
        own = {split for split, *_ in found}
        if None in own and len(own) > 1:
            odd = next(contents.path for split, _, contents in found if split is None)
            raise DataError(
                "has neither train/ nor test/, which other classes have",
                where=odd,
                fix="split it as the others are",
            )
        if None not in own:
            refuse_fold(path, fold)
        classes = tuple(sorted({name for _, name, _ in found}))
        _refuse_look_alikes(path, classes)
        remarks = [*_beside_splits(ignored), *_in_one_split(found), *_twice_by_links(path, found)]
        remarks += _summary(over)
        listing: dict[SplitName, list[tuple[int, Path]]] = {"train": [], "test": []}
        for split, name, contents in sorted(found, key=lambda item: item[1]):
            label, names = classes.index(name), [file.name for file in contents.clouds]
            tested = set() if split else in_fold(name, names, fold)
            for each in names:
                part: SplitName = split or ("test" if each in tested else "train")
                listing[part].append((label, contents.path / each))
        return cls(
            root=path,
            classes=classes,
            key=f"{readers.VERSION} {readers.MESH_POINTS} {fold}/{FOLDS}",
            listing=listing,
            listed=Listed(tuple(over), tuple(remarks), folded=None in own),
        )

    def files(self, split: SplitName) -> list[Path]:
        """One file a shape."""
        return [file for _, file in self.listing[split]]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All shapes, by class, then file name."""
        return [
            Shape(
                file.relative_to(self.root).as_posix(),
                label,
                partial(readers.read_cloud, file, self.up),
                partial(readers.read_table, file, self.up),
            )
            for label, file in self.listing[split]
        ]


def in_fold(name: str, members: list[str], fold: int) -> set[str]:
    """Choose the members of a class that fold 0 to 4 holds out, by their names alone.

    The five folds part a class of five or more. A smaller one has a member in every fold, so some
    are in several; a single one is never held out.
    """
    parts = min(FOLDS, len(members))
    if parts < 2:
        return set()
    return set(shuffled(f"fold:{name}", members)[fold % parts :: parts])


def _folders_of(top: Contents) -> tuple[Found, list[PassedOver], list[str]]:
    """The class folders, from the places where `train/` may be.

    Returns:
        They; what lies around them; and the folders, as `val/`, beside both `train/` and `test/`.
    """
    found: Found = []
    over, ignored = top.around("class folders"), list[str]()

    def pass_by(contents: Contents) -> None:
        """Folders beside `train/` and `test/`."""
        both = set(SPLITS) <= set(contents.folders)
        for name in contents.folders:
            if name not in SPLITS:
                over.append(
                    contents.note(f"{name}/", "folders beside train/ and test/", said=not both)
                )
                ignored.extend([over[-1].path] * both)

    if set(SPLITS) <= set(top.folders) or set(top.folders) <= set(SPLITS):
        pass_by(top)
        for split in SPLITS:
            if split in top.folders:
                contents = top.below(split)
                over += contents.around("class folders")
                classes: Found = [(split, name, contents.below(name)) for name in contents.folders]
                if contents.clouds and not any(inside.clouds for *_, inside in classes):
                    raise _without_classes(top.path, [split])
                found += classes
        return found, over, ignored
    inside = {name: top.below(name) for name in top.folders}
    _refuse_split_names(top, inside)
    for name, contents in inside.items():
        splits = [split for split in SPLITS if split in contents.folders]
        found += [(split, name, contents.below(split)) for split in splits]
        if splits:
            over += contents.around("train/ and test/")
            pass_by(contents)
        else:
            found.append((None, name, contents))
    return found, over, ignored


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


def _refuse_empty(contents: Contents) -> None:
    """Refuse a class without a cloud.

    Raises:
        DataError: names it, and the folder below it that holds them.
    """
    if contents.clouds:
        return
    for name in contents.folders:
        if contents.below(name).clouds:
            raise DataError(
                f"holds its clouds in folders, such as {name}/, which are not looked into",
                where=contents.path,
                fix="move them up into it, or give the folder right above the class folders",
            )
    raise DataError(
        f"is an empty class (no file in it is {readers.SUFFIXES})",
        where=contents.path,
        fix="fill it, or move it away",
    )


def _refuse_look_alikes(root: Path, classes: Iterable[str]) -> None:
    """Refuse classes that people, or another file system, would take for one.

    Raises:
        DataError: names two.
    """
    for one, other in _pairs(classes, alike):
        raise DataError(
            f"has classes {one!r} and {other!r}, whose names differ in case or blanks alone",
            where=root,
            fix="give both folders one name if they are one class, and else names that tell them "
            "apart",
        )


def _refuse_twice(contents: Contents) -> None:
    """Refuse the same object in two formats, which train and test could have one of each.

    Raises:
        DataError: names two files.
    """
    pairs = list(_pairs((file.name for file in contents.clouds), lambda name: alike(stem(name))))
    if pairs:
        (one, other), more = pairs[0], f", and {len(pairs) - 1:,} more so" * (len(pairs) > 1)
        raise DataError(
            f"holds an object twice, as {one} and {other}{more}",
            where=contents.path,
            fix="move one of each two away, as train and test could each have one of them",
        )


def _pairs(names: Iterable[str], key: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Names with the key of an earlier one, after that."""
    known: dict[str, str] = {}
    for name in names:
        first = known.setdefault(key(name), name)
        if first != name:
            yield first, name


def _twice_by_links(root: Path, found: Found) -> Iterator[str]:
    """Refuse a file under two names, of which train could have one and test the other.

    Returns:
        What to say of files that are twice in a split of the folder's own.

    Raises:
        DataError: names two.
    """
    known: dict[int, tuple[SplitName | None, os.DirEntry[str]]] = {}
    same = []
    for split, _, contents in found:
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


def _in_one_split(found: Found) -> Iterator[str]:
    """Classes that cannot be learned, or are not measured."""
    has = {split: {name for each, name, _ in found if each == split} for split in SPLITS}
    for split, other in (SPLITS, SPLITS[::-1]):
        alone = sorted(has[split] - has[other]) if has[other] else []
        if alone:
            yield f"{split}/ has classes that {other}/ has not: {_some(alone)}"


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


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + f" and {len(names) - most:,} others" * (len(names) > most)
