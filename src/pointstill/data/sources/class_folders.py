"""A folder of class folders: one file a shape, of any kinds that `readers` reads, mixed."""

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from ...errors import DataError
from .. import readers
from ..keyed_draws import shuffled
from ..source import FOLDS, Shape, SplitName, refuse_fold

SPLITS: tuple[SplitName, ...] = ("train", "test")


@dataclass(frozen=True)
class ClassFolders:
    """Class folders, with `train/` and `test/` above or below them, or split by file names.

    Hidden files and unknown suffixes are ignored, and so are other folders beside `train/` and
    `test/`, with a warning. Coordinates are taken as they are in the files,
    except that glb files, y up by their standard, are turned to `up`.
    """

    root: Path
    classes: tuple[str, ...]
    key: str
    listing: dict[SplitName, list[tuple[int, Path]]]
    """(label, file) of every shape, by class, then file name."""
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

        Warns:
            UserWarning: folders beside `train/` and `test/`, which are ignored.

        Raises:
            DataError: a class folder without one, or some class folders split and others not.
            UsageError: a fold of a folder that has its own split.
        """
        found = [
            (split, name, folder, _readable(folder)) for split, name, folder in _folders_of(path)
        ]
        if not any(readable for *_, readable in found):
            return None
        for _, _, folder, readable in found:
            if not readable:
                raise DataError(
                    f"is an empty class (no file in it is {readers.SUFFIXES})",
                    where=folder,
                    fix="fill it, or move it away",
                )
        classes = tuple(sorted({name for _, name, _, _ in found}))
        listing: dict[SplitName, list[tuple[int, Path]]] = {"train": [], "test": []}
        own = {split for split, *_ in found}
        if None in own and len(own) > 1:
            odd = next(folder for split, _, folder, _ in found if split is None)
            raise DataError(
                "has neither train/ nor test/, which other classes have",
                where=odd,
                fix="split it as the others are",
            )
        if None not in own:
            refuse_fold(path, fold)
        if others := _no_splits(path):
            more = " and others" if len(others) > 3 else ""
            warnings.warn(
                f"{path}: {', '.join(others[:3])}{more} beside train/ and test/ is no split and is "
                "ignored: move what is in it into train/ to train on it",
                stacklevel=4,
            )
        for split, name, _, readable in sorted(found, key=lambda item: item[1]):
            label = classes.index(name)
            tested = set() if split else in_fold(name, [f.name for f in readable], fold)
            for file in readable:
                part: SplitName = split or ("test" if file.name in tested else "train")
                listing[part].append((label, file))
        return cls(
            path, classes, f"{readers.VERSION} {readers.MESH_POINTS} {fold}/{FOLDS}", listing
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


def _folders_of(root: Path) -> list[tuple[SplitName | None, str, Path]]:
    """(split or None, class, folder of its files), from the places where `train/` may be."""
    top = _folders(root)
    if set(SPLITS) <= set(top) or set(top) <= set(SPLITS):
        return [
            (split, name, folder)
            for split in SPLITS
            if split in top
            for name, folder in _folders(top[split]).items()
        ]
    found: list[tuple[SplitName | None, str, Path]] = []
    for name, folder in top.items():
        below = _folders(folder)
        splits = [(split, name, below[split]) for split in SPLITS if split in below]
        found += splits or [(None, name, folder)]
    return found


def _no_splits(root: Path) -> list[str]:
    """The folders, as `val/`, that lie beside both `train/` and `test/`, above or below classes."""
    found = []
    for place in (root, *_folders(root).values()):
        inside = _folders(place)
        if set(SPLITS) <= set(inside):
            others = [inside[name].relative_to(root) for name in inside if name not in SPLITS]
            found += [f"{folder.as_posix()}/" for folder in others]
    return found


def _folders(path: Path) -> dict[str, Path]:
    """The visible folders in a folder, sorted by name."""
    if not path.is_dir():
        return {}
    inside = sorted(path.iterdir())
    return {f.name: f for f in inside if not f.name.startswith(".") and f.is_dir()}


def _readable(folder: Path) -> list[Path]:
    """The visible files with a known suffix in a folder, sorted by name."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in readers.READERS
        and not file.name.startswith(".")
        and file.is_file()
    )
