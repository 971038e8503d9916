"""ModelNet40 and ModelNet10 (Wu et al., CVPR 2015) in the layouts that they are passed on in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .. import readers
from ..columns import Columns, Table, Wanted
from ..readers.announced import printable
from ..source import Shape, SplitName, refuse_fold, unreadable
from .class_folders import ClassFolders
from .hdf5 import numbers, opened

BLOCK = 256
"""Clouds of an HDF5 file that are read, and held, at a time."""


@dataclass(frozen=True)
class ModelNetHDF5:
    """The HDF5 release (`modelnet40_ply_hdf5_2048` and its like), any number of points."""

    root: Path
    classes: tuple[str, ...]

    kind: ClassVar[str] = "modelnet-hdf5"
    up: ClassVar[str] = "y"
    key: ClassVar[str] = "2"
    variants: ClassVar[tuple[str, ...]] = ()
    any_up: ClassVar[bool] = False
    looks_for: ClassVar[str] = "shape_names.txt with train_files.txt, test_files.txt (HDF5)"

    @classmethod
    def find(cls, path: Path, fold: int) -> "ModelNetHDF5 | None":
        """Recognise the folder by its lists."""
        lists = [path / f"{split}_files.txt" for split in ("train", "test")]
        names = path / "shape_names.txt"
        if not names.is_file() or not any(file.is_file() for file in lists):
            return None
        refuse_fold(path, fold)
        return cls(path, tuple(lines(names)))

    def files(self, split: SplitName) -> list[Path]:
        """The list of the split, the class names and the HDF5 files."""
        names = self.root / f"{split}_files.txt"
        return [names, self.root / "shape_names.txt", *self._h5(split)]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All clouds, file by file."""
        return h5_shapes(self._h5(split), len(self.classes))

    def _h5(self, split: SplitName) -> list[Path]:
        # Lists name the folder that they were made in, such as data/modelnet40_ply_hdf5_2048/.
        return [self.root / Path(line).name for line in lines(self.root / f"{split}_files.txt")]


@dataclass(frozen=True)
class ModelNetText:
    """`modelnet40_normal_resampled`: a text file a shape, of x,y,z,nx,ny,nz, as its authors say.

    The archive holds ModelNet10's lists too: `modelnet10` as the last part of the path asks for it.
    """

    root: Path
    prefix: str
    classes: tuple[str, ...]

    kind: ClassVar[str] = "modelnet-text"
    up: ClassVar[str] = "y"
    key: ClassVar[str] = readers.VERSION
    looks_for: ClassVar[str] = (
        "modelnet40_shape_names.txt with modelnet40_train.txt, modelnet40_test.txt (text)"
    )
    variants: ClassVar[tuple[str, ...]] = ("modelnet40", "modelnet10")
    any_up: ClassVar[bool] = False

    @classmethod
    def find(cls, path: Path, fold: int) -> "ModelNetText | None":
        """Recognise the folder by its lists; ModelNet40 comes first."""
        named = path.name in cls.variants and not path.exists()
        root, prefixes = (path.parent, (path.name,)) if named else (path, cls.variants)
        for prefix in prefixes:
            lists = [root / f"{prefix}_{split}.txt" for split in ("train", "test")]
            names = root / f"{prefix}_shape_names.txt"
            if names.is_file() and any(file.is_file() for file in lists):
                refuse_fold(path, fold)
                return cls(root, prefix, tuple(lines(names)))
        return None

    def files(self, split: SplitName) -> list[Path]:
        """The list of the split, the class names and one file a shape."""
        lists = [self._list(split), self.root / f"{self.prefix}_shape_names.txt"]
        return lists + [self._file(name) for name in lines(self._list(split))]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All shapes, in the order of the list."""
        labels = {name: label for label, name in enumerate(self.classes)}
        shapes = []
        for name in lines(self._list(split)):
            label = labels.get(class_of(name))
            if label is None:
                names = f"{self.prefix}_shape_names.txt"
                raise DataError(
                    f"lists {name}, which is of no class in {names}",
                    where=self._list(split),
                    fix="restore both",
                )
            file = self._file(name)
            table = partial(readers.read_table, file, None, names=("x", "y", "z", "nx", "ny", "nz"))
            shapes.append(Shape(name, label, partial(readers.read_cloud, file), table))
        return shapes

    def _list(self, split: SplitName) -> Path:
        return self.root / f"{self.prefix}_{split}.txt"

    def _file(self, name: str) -> Path:
        if Path(name).name != name:
            raise DataError(
                f"lists {name!a}, which is no name of a shape",
                where=self.root,
                fix="restore the lists",
            )
        return self.root / class_of(name) / f"{name}.txt"


def class_of(name: str) -> str:
    """The class of a shape's name: `night_stand_0012` is a `night_stand`."""
    return name.rpartition("_")[0]


class ModelNetOFF(ClassFolders):
    """The original meshes, `<class>/{train,test}/*.off`, sampled uniformly by area.

    Their axes are z up; the HDF5 release is (x, z, y) of them.
    """

    kind: ClassVar[str] = "modelnet-off"
    any_up: ClassVar[bool] = False
    looks_for: ClassVar[str] = "<class>/train/*.off, <class>/test/*.off"

    @classmethod
    def find(cls, path: Path, fold: int) -> Self | None:
        """Recognise class folders with a split below, of OFF files alone."""
        if not any(any(path.glob(f"*/{split}/*.off")) for split in ("train", "test")):
            return None
        found = super().find(path, fold)
        every = [file for file, *_ in found.members] if found else []
        return found if all(file.suffix == ".off" for file in every) else None


def h5_shapes(paths: list[Path], classes: int) -> list[Shape]:
    """List the clouds of HDF5 files with `data` (n, P, 3) and `label` (n,) or (n, 1).

    Features are in arrays beside them, such as `normal` (n, P, 3) or `doppler` (n, P).

    Raises:
        DataError: damaged, without these arrays, with a label that is no class, or with numbers
            that lie elsewhere than in the file.
    """

    @lru_cache(maxsize=1)  # read in order, a block is read once, and one is held
    def block(file: Path, start: int) -> NDArray[Any]:
        with opened(file) as arrays:
            return np.asarray(numbers(arrays, "data")[start : start + BLOCK])

    def cloud(file: Path, index: int) -> NDArray[Any]:
        points: NDArray[Any] = block(file, index - index % BLOCK)[index % BLOCK]  # (P, 3)
        return points

    @lru_cache(maxsize=1)
    def tables(file: Path, start: int, beside: Wanted) -> Table:
        rows = slice(start, start + BLOCK)
        with opened(file) as arrays:
            points = numbers(arrays, "data")
            table = {"xyz": points[rows]}
            for feature, name in beside.arrays(arrays.keys() - {"data", "label"}).items():
                try:
                    values = numbers(arrays, name)
                except DataError:
                    if beside.features is None:  # what cannot be had is not offered
                        continue
                    raise
                if values.shape[:2] == points.shape[:2]:
                    table[feature] = values[rows].reshape(*table["xyz"].shape[:2], -1)
        return beside.offered(table)

    def table(
        file: Path, index: int, features: Iterable[str] | None, /, *, columns: Columns | None = None
    ) -> Table:
        wanted = Wanted(None if features is None else tuple(features), columns or {})
        within, beside = wanted.parted((), ())
        found = tables(file, index - index % BLOCK, beside)
        each = {name: values[index % BLOCK] for name, values in found.items()}
        return each | readers.points_table(each["xyz"], within)

    return [
        Shape(
            f"{file.name}#{index}",
            int(label),
            partial(cloud, file, index),
            partial(table, file, index),
        )
        for file in paths
        for index, label in enumerate(_h5_labels(file, classes))
    ]


def _h5_labels(file: Path, classes: int) -> NDArray[np.int64]:
    with opened(file) as arrays:
        shape = numbers(arrays, "data").shape
        given = numbers(arrays, "label")
        fits = given.size == given.shape[0] == shape[0]
        if len(shape) != 3 or shape[2] < 3 or not fits:
            raise DataError(
                f"has data {shape} and label {given.shape}, which are not (n, P, 3) and (n,)"
            )
        labels = np.asarray(given).reshape(-1)
    if not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise DataError("has labels that are no whole numbers", where=file, fix="restore it")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"has labels from {labels.min():g} to {labels.max():g}, but {classes} classes are "
            "named",
            where=file,
            fix="restore it, or shape_names.txt",
        )
    return labels.astype(np.int64)


def lines(file: Path) -> list[str]:
    """The lines of a list file, stripped, empty ones left out.

    Raises:
        DataError: it cannot be read, or a line is there twice, or is no name.
    """
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise DataError("is not a text file", where=file, fix="restore it") from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    twice = next((name for name, count in Counter(found).items() if count > 1), None)
    if twice or "\0" in text:
        what = f"lists {printable(twice)} twice" if twice else "is not a text file"
        raise DataError(what, where=file, fix="restore it")
    return found
