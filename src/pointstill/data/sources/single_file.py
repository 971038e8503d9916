"""All clouds of a data set in one NPZ or HDF5 file: points, labels and what else is known of them.

The arrays carry the names that are looked for, or a YAML file beside them says which is which.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, one_line, printable
from ...points.features import CHANNEL, WIDTHS
from ...points.validity import MIN_POINTS
from ...storage.documents import check, parse_yaml
from ...storage.files import read_bounded
from ..columns import ARRAYS, Columns, Table, Wanted
from ..source import FOLDS, UNLABELLED, Listed, Shape, SplitName, unreadable
from .array_file import SUFFIXES, ArrayFile, open_arrays
from .known import Known, check_splits, read_labels, some

Array = NDArray[Any]
FEATURES = {name: feature for feature, names in ARRAYS.items() for name in names}


@dataclass(frozen=True)
class Description:
    """Which array is what: the entries of a YAML file, and the names where there is none."""

    data: str = ""
    """The file of the arrays, beside the description."""
    points: str = "points"
    """(S, P, F), or (total, F) end to end; x, y and z first, unless `columns` says otherwise."""
    counts: str = "counts"
    """(S,) points of each shape; what lies behind them in (S, P, F) is padding, and never read."""
    offsets: str = "offsets"
    """(S + 1,) where each shape begins in (total, F), and where the last ends."""
    labels: str = "labels"
    """(S,) names, "" for none, or whole numbers, -1 for none."""
    classes: str = "classes"
    """(C,) names, in the order of the numbers."""
    split: str = "split"
    """(S,) names of splits."""
    group: str = "group"
    """(S,) what a shape shares with others: names or whole numbers."""
    name: str = "name"
    """(S,) of the shapes."""
    columns: str | dict[str, int] = "columns"
    """Name of a column -> its place among the F; or an array (F,) of their names."""
    given: frozenset[str] = field(default=frozenset(), metadata={"own": True})
    """The entries that a description has."""


ENTRIES = [each.name for each in fields(Description) if not each.metadata]


@dataclass(frozen=True)
class SingleFile:
    """Clouds of equal size, padded to it, or end to end; in splits of their own, or folds."""

    path: Path
    """The file of the arrays."""
    described: Path | None
    """The file that says which is which."""
    about: Description
    arrays: ArrayFile
    fold: int = 0
    up: str = "z"
    group: str | None = None

    SUFFIXES: ClassVar[tuple[str, ...]] = (*SUFFIXES, ".yaml", ".yml")
    kind: ClassVar[str] = "arrays"
    variants: ClassVar[tuple[str, ...]] = ()
    any_up: ClassVar[bool] = True
    looks_for: ClassVar[str] = "one .npz or .h5 file of all clouds (give its path)"

    @classmethod
    def find(cls, path: Path, fold: int) -> "SingleFile | None":
        """Recognise a file by its suffix.

        Raises:
            DataError: arrays are missing, do not fit each other, or hold what they cannot mean.
            UsageError: a fold of data with its own split.
        """
        if path.suffix.lower() not in cls.SUFFIXES or not path.is_file():
            return None
        described, about = None, Description()
        if path.suffix.lower() not in SUFFIXES:
            described, about = path, read_description(path)
            path = path.parent / about.data
        found = cls(path, described, about, open_arrays(path), fold)
        found.known  # noqa: B018 - reads labels and splits
        found.bounds  # noqa: B018 - and counts
        found.columns  # noqa: B018
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.known.classes

    @property
    def key(self) -> str:
        """Version, fold and group."""
        return f"1 {self.fold}/{FOLDS}{self.known.grouping(self.about.group)}"

    @cached_property
    def count(self) -> int:
        """Of the shapes."""
        if not self._there("points"):
            raise self._lacking("points")
        shape, kind = self.arrays.shapes[self.about.points]
        if len(shape) not in (2, 3) or shape[-1] < 3 or kind not in "iuf":
            raise DataError(
                f"has for {self.about.points} an array {shape} of kind {kind}, but points are "
                "numbers (shapes, points, 3 or more), or (points, 3 or more) end to end",
                where=self.path,
            )
        counts, offsets = self._there("counts"), self._there("offsets")
        if len(shape) == 3:
            if offsets:
                raise DataError(
                    f"has offsets, but points {shape} that are not end to end",
                    where=self.path,
                    fix="give counts, where some of them are padding",
                )
            return self._enough(shape[0], shape[0] * shape[1])
        if counts == offsets:
            raise DataError(
                f"has points {shape} end to end, and {'both' if counts else 'neither'} offsets "
                f"{'and' if counts else 'nor'} counts",
                where=self.path,
                fix="give one of them, to tell where each shape ends",
            )
        name = self.about.counts if counts else self.about.offsets
        return self._enough(math.prod(self.arrays.shapes[name][0]) - int(offsets), shape[0])

    def _enough(self, count: int, points: int) -> int:
        """The number of shapes, unless they are more than so many points could be of.

        Raises:
            DataError: they are: before as many labels, names and splits are held.
        """
        if count < 1 or count * MIN_POINTS > points:
            raise DataError(
                f"has {points:,} points for {count:,} shapes, and a cloud needs {MIN_POINTS}",
                where=self.path,
                fix="mend its points, counts or offsets",
            )
        return count

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Where each shape begins and ends: of points end to end, or in its own row."""
        shape, _ = self.arrays.shapes[self.about.points]
        if self._there("offsets"):
            offsets = self._whole_numbers("offsets", self.count + 1)
            starts, ends, last = offsets[:-1], offsets[1:], int(offsets[-1])
            bad = bool((ends < starts).any()) or offsets[0] != 0 or last != shape[0]
            said = f"offsets from {offsets[0]} to {last} that do not part"
        elif not self._there("counts"):
            return np.zeros(self.count, np.int64), np.full(self.count, shape[1])
        else:
            counts = self._whole_numbers("counts", self.count)
            bad = bool(counts.min(initial=0) < 0)
            if len(shape) == 3:
                starts, ends = np.zeros_like(counts), counts
                bad |= bool(counts.max(initial=0) > shape[1])
            else:
                ends = np.cumsum(counts)
                starts = ends - counts
                bad |= int(counts.sum()) != shape[0]
            low, high = counts.min(initial=0), counts.max(initial=0)
            said = f"counts of {low} to {high}, {counts.sum()} in all, that do not fit"
        if bad:
            raise DataError(f"has {said} points {shape}", where=self.path, fix="mend them")
        return starts, ends

    @cached_property
    def known(self) -> Known:
        """Labels, splits and groups.

        Raises:
            DataError: they are not what they should be.
        """
        self.count  # noqa: B018 - without points, nothing else is looked for
        names = self._optional("classes")
        classes = None if names is None else [str(name) for name in self._texts("classes", names)]
        if self._there("labels"):
            given = self.arrays.whole(self.about.labels)
            if given.size != self.count:
                raise DataError(
                    f"has labels {given.shape} of {self.count:,} shapes", where=self.path
                )
            labels, named = read_labels(self.path, given.reshape(-1), classes)
        elif classes is None:  # without both, nothing tells what they are
            raise self._lacking("labels")
        else:
            labels = np.full(self.count, UNLABELLED)
            labels, named = read_labels(self.path, labels, classes)
        splits = self._optional("split")
        if splits is not None:
            splits = self._per_shape("split", self._texts("split", splits)).tolist()
            check_splits(self.path, splits)
        return Known(
            self.described or self.path,
            named,
            [str(row) for row in range(self.count)],
            labels,
            splits,
            self._groups(),
            None if self.group is None else self._group_array,
            self.fold,
        )

    @property
    def _group_array(self) -> str:
        """The array that groups are taken from."""
        return self.about.group if self.group in (None, "group") else str(self.group)

    def _groups(self) -> list[str | None] | None:
        if self._group_array not in self.arrays.shapes:
            return None
        given = self.arrays.whole(self._group_array)
        if given.dtype.kind not in "iuU" or given.shape != (self.count,):
            raise DataError(
                f"has groups ({self._group_array}) of {given.dtype} {given.shape}",
                where=self.path,
                fix=f"give a name, or a whole number, for each of {self.count:,} shapes",
            )
        return [str(group) or None for group in given.tolist()]

    @cached_property
    def listed(self) -> Listed:
        """What is said of the file, and the arrays that tell groups."""
        used = {getattr(self.about, name) for name in ENTRIES if name not in ("columns", "group")}
        groups = [
            name
            for name, (shape, kind) in self.arrays.shapes.items()
            if kind in "iuU" and shape == (self.count,) and name not in used
        ]
        if self._there("group") and "group" not in groups:
            groups.insert(0, "group")
        return Listed(
            remarks=tuple(self.known.remarks(self._group_array)),
            folded=self.known.splits is None,
            splits=tuple(self.known.rows),
            groups=tuple(groups),
        )

    @cached_property
    def columns(self) -> dict[str, int]:
        """Column of the points -> its place; x, y and z among them.

        Raises:
            DataError: they are not as many as there are, or none of them is x, y or z.
        """
        (*_, wide), _ = self.arrays.shapes[self.about.points]
        if isinstance(self.about.columns, dict):
            found = {name.strip().lower(): place for name, place in self.about.columns.items()}
            if len({*found.values()}) < len(self.about.columns) or not all(
                0 <= place < wide for place in found.values()
            ):
                raise DataError(
                    f"has columns {self.about.columns}, but points of {wide} numbers",
                    where=self.described,
                    fix=f"give each a place of its own, 0 to {wide - 1}",
                )
        elif (given := self._optional("columns")) is not None:
            names = [str(name).strip().lower() for name in self._texts("columns", given)]
            if len({*names}) < len(names) or len(names) != wide:
                raise DataError(
                    f"has {len(names)} columns ({some(names)}) of points of {wide} numbers",
                    where=self.path,
                    fix="name each once",
                )
            found = {name: place for place, name in enumerate(names)}
        else:
            return {"x": 0, "y": 1, "z": 2}
        if lacking := {*"xyz"} - {*found}:
            raise DataError(
                f"has no {' and no '.join(sorted(lacking))} among its columns ({some([*found])})",
                where=self.described or self.path,
                fix="name all three",
            )
        return found

    @cached_property
    def channels(self) -> list[str]:
        """The arrays that may be features, a row a point."""
        shape, _ = self.arrays.shapes[self.about.points]
        used = {getattr(self.about, name) for name in ENTRIES if name != "columns"}
        found = []
        for name, (other, kind) in self.arrays.shapes.items():
            feature = FEATURES.get(name.lower(), name.lower())
            wide = WIDTHS.get(feature, 1)
            fits = other == (*shape[:-1], wide) or (wide == 1 and other == shape[:-1])
            if fits and kind in "iuf" and name not in used and CHANNEL.fullmatch(feature):
                found.append(name)
        return found

    def files(self, split: SplitName) -> list[Path]:
        """The file, and its description."""
        return [self.path, *([self.described] if self.described else [])]

    def shapes(self, split: SplitName) -> Sequence[Shape]:
        """The shapes of a split, in the order of the file, which is read piece by piece."""
        read = self.arrays.rows(self.about.points)
        more = {name: self.arrays.rows(name) for name in self.channels}
        rows = self.known.rows[split]
        names = self._names(rows, split)
        return [
            Shape(
                name,
                int(self.known.labels[row]),
                partial(self._load, read, row),
                partial(self._table, read, more, row),
                self.known.groups[row] if self.known.groups else None,
            )
            for row, name in zip(rows, names, strict=True)
        ]

    def _names(self, rows: list[int], split: SplitName) -> list[str]:
        """The names of shapes, or their split and number in the file."""
        given = self._optional("name")
        if given is None:
            part = "" if self.known.splits is None else f"{split}/"
            return [f"{part}{row:06}" for row in rows]
        names = self._per_shape("name", self._texts("name", given)).tolist()
        if len({*names}) < len(names):
            raise DataError("has shapes of one name", where=self.path, fix="name each anew")
        return [names[row] for row in rows]

    def _points(self, read: Callable[[int, int], Array], row: int) -> Array:
        """What an array has of a shape: (n, ...)."""
        start, stop = int(self.bounds[0][row]), int(self.bounds[1][row])
        if len(self.arrays.shapes[self.about.points][0]) == 2:
            return read(start, stop)
        part: Array = read(row, row + 1)[0][:stop]
        return part

    def _load(self, read: Callable[[int, int], Array], row: int) -> Array:
        return self._points(read, row)[:, [self.columns[axis] for axis in "xyz"]]

    def _table(
        self,
        read: Callable[[int, int], Array],
        more: Mapping[str, Callable[[int, int], Array]],
        row: int,
        features: Iterable[str] | None,
        /,
        *,
        columns: Columns | None = None,
    ) -> Table:
        points = self._points(read, row)
        inside = [f"#{place}" for place in range(points.shape[1])]
        for name, place in self.columns.items():
            inside[place] = name
        wanted = Wanted(None if features is None else tuple(features), columns or {})
        within, beside = wanted.parted(inside, more)
        places = within.among(inside)
        table = within.table({name: points[:, place] for name, place in places.items()})
        arrays = {}
        for feature, array in beside.arrays(more).items():
            values = self._points(more[array], row)
            arrays[feature] = values.reshape(len(values), -1)
        return wanted.joined(table, arrays)

    # How arrays are read.

    def _there(self, entry: str) -> bool:
        """Whether there is an array for an entry; a description must not name what is not there."""
        name = getattr(self.about, entry)
        if name in self.arrays.shapes:
            return True
        if entry in self.about.given:
            raise self._lacking(entry)
        return False

    def _optional(self, entry: str) -> Array | None:
        return self.arrays.whole(getattr(self.about, entry)) if self._there(entry) else None

    def _lacking(self, entry: str) -> DataError:
        name, there = getattr(self.about, entry), printable(", ".join(self.arrays.shapes))
        return DataError(
            f"has no array called {printable(name)}, but {there or 'none at all'}",
            where=self.path,
            fix=f"mend {self.described}"
            if self.described
            else "name it so, or say which array is what in a YAML file, and give that",
        )

    def _texts(self, entry: str, given: Array) -> Array:
        if given.dtype.kind != "U" or given.ndim != 1 or any("\0" in text for text in given):
            raise DataError(
                f"has for {entry} an array of {given.dtype} {given.shape}",
                where=self.path,
                fix="give texts, one after the other",
            )
        return given

    def _per_shape(self, entry: str, given: Array) -> Array:
        if given.shape != (self.count,):
            raise DataError(
                f"has for {entry} an array {given.shape} of {self.count:,} shapes", where=self.path
            )
        return given

    def _whole_numbers(self, entry: str, count: int) -> Array:
        given = self.arrays.whole(getattr(self.about, entry))
        if given.dtype.kind not in "iu" or given.shape != (count,):
            raise DataError(
                f"has for {entry} an array of {given.dtype} {given.shape}",
                where=self.path,
                fix=f"give {count:,} whole numbers",
            )
        return given.astype(np.int64)


def read_description(path: Path) -> Description:
    """What a YAML file says of the arrays beside it.

    Raises:
        DataError: it cannot be read, has an entry that is none, or names a file elsewhere.
    """
    try:
        said = parse_yaml(read_bounded(path))
        if not isinstance(said, dict) or "data" not in said:
            raise ValueError("it has no line `data: FILE`")
        for entry in said:
            if entry not in ENTRIES:
                near = get_close_matches(str(entry), ENTRIES, n=1)
                meant = f"is {near[0]} meant?" if near else f"there are {', '.join(ENTRIES)}"
                raise ValueError(f"no entry is called {entry!r}: {meant}")
        about = check(said | {"given": [*said]}, Description)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise DataError(
            f"is no description of data ({one_line(error)})",
            where=path,
            fix="give lines such as `data: FILE.npz` and `points: x`",
        ) from error
    if Path(about.data).name != about.data or Path(about.data).suffix.lower() not in SUFFIXES:
        raise DataError(
            f"names {printable(about.data)!r} as its data",
            where=path,
            fix=f"name a file beside it, of {', '.join(each[1:] for each in SUFFIXES)}",
        )
    return about
