"""A data set and its splits: read once, checked, cached and memory-mapped."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EmptySplitError, ForbiddenError, UsageError
from ..points.features import XYZ, Extra, Features, width
from ..points.validity import check_cloud, finite
from . import cache as store
from .channels import VERSION, feature_values, features_in, no_feature
from .columns import Columns
from .groups import groups_digest
from .source import Listed, Shape, Source, SplitName

Progress = Callable[[int, int], None]
"""Called with (clouds done, clouds in all; 0 when unknown) while a source is first read."""
CloudStream = Iterator[tuple[str, int, NDArray[np.float32]]]
"""(name, label, numbers (n, width)) of the clouds of a split, as the cache takes them."""


@dataclass(frozen=True, eq=False)
class Split:
    """The clouds of one split, ragged, memory-mapped and in a fixed order.

    Names, labels and offsets were compared with what was written when it was opened; the numbers
    of points are when they are first asked for.
    """

    entry: store.Entry
    more: store.Entry | None = None
    """The features beside the points, where the data set was opened with some."""
    group: str | None = None
    """What `--group` named: shapes of one group stay together."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def points(self) -> NDArray[np.float32]:
        """(total, 3).

        Raises:
            DataError: the cache is damaged, and the source cannot be read again.
        """
        return self.entry.points

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(S + 1,): cloud i is points[offsets[i] : offsets[i + 1]]."""
        return self.entry.offsets

    @property
    def labels(self) -> NDArray[np.int64]:
        """(S,); `source.UNLABELLED` (-1) where there is none."""
        return self.entry.labels

    @property
    def names(self) -> list[str]:
        """Of the shapes."""
        return self.entry.names

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return tuple(self.entry.meta["classes"])

    @property
    def up(self) -> str:
        """The axis that points up: x, y or z."""
        return self.entry.meta["up"]

    @property
    def groups(self) -> list[str] | None:
        """What each shape (S,) shares with others that are no independent samples, if known."""
        return self.entry.groups

    @property
    def kept_together(self) -> list[str]:
        """The group of each shape (S,), where `--group` was given; else each is one by itself."""
        return self.names if self.group is None or self.groups is None else self.groups

    @property
    def groups_fingerprint(self) -> str | None:
        """SHA-256 (hex) over the groups, where `--group` decides what is trained on; else None."""
        return None if self.group is None else groups_digest(self.kept_together)

    @property
    def name(self) -> SplitName:
        """`train`, `test`, or another that the data bring."""
        return self.entry.meta["name"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over points, offsets, labels, class names, split name and up axis."""
        return self.entry.meta["fingerprint"]

    @property
    def bad(self) -> tuple[str, ...]:
        """What was left out by `skip_bad`: one line each, naming the cloud and what is wrong."""
        return tuple(self.entry.meta.get("bad", ()))

    @property
    def missing(self) -> tuple[int, ...]:
        """Points left out by `drop_missing`, of each cloud that lost some."""
        return tuple(self.entry.meta.get("missing", ()))

    @property
    def extra(self) -> Extra | None:
        """Features beside the points; see `points`."""
        if self.more is None:
            return None
        meta = self.more.meta
        names = tuple(meta.get("features", ()))
        return Extra(self.more.points, names, meta["up"], meta["fingerprint"])

    def cloud(self, index: int) -> NDArray[np.float32]:
        """Copy out the points (n, 3) of one shape."""
        if not 0 <= index < len(self):
            raise IndexError(f"shape {index} of {len(self)}")
        return np.array(self.entry.rows(int(self.offsets[index]), int(self.offsets[index + 1])))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Points per shape (S,)."""
        return np.diff(self.offsets)

    def check(self) -> None:
        """Read all of it, as opening does not; see `points`."""
        for entry in (self.entry, self.more):
            if entry:
                entry.points  # noqa: B018


@dataclass(frozen=True, eq=False)
class Dataset:
    """A recognised source; each split is read when it is first asked for, and on its own."""

    name: str
    """As the user typed it."""
    source: Source
    fold: int = 0
    asked_up: str | None = None
    """The up axis that was asked for, where the layout does not fix it."""
    group: str | None = None
    """What tells the groups whose shapes are kept on one side of every split."""
    features: Features = XYZ
    """What a point of a view has, `xyz` first; see `features.WIDTHS`."""
    columns: Columns | None = None
    """What its files call some columns, where that was said; see `columns.parse_columns`."""
    skip_bad: bool = False
    drop_missing: bool = False
    verify: bool = False
    cache: Path = field(default_factory=store.default_root)
    progress: Progress | None = None
    _opened: dict[str, Split] = field(default_factory=dict, init=False, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.source.classes

    @property
    def up(self) -> str:
        """The axis that points up: x, y or z."""
        return self.source.up

    @property
    def kind(self) -> str:
        """Name of the layout, such as `modelnet-hdf5`."""
        return self.source.kind

    @property
    def listed(self) -> Listed:
        """What is known of the folder that it was found in."""
        return getattr(self.source, "listed", Listed())

    @property
    def train(self) -> Split:
        """The training split."""
        return self.split("train")

    @property
    def test(self) -> Split:
        """The test split: for evaluation alone."""
        return self.split("test")

    def offers(self, split: SplitName = "train") -> list[str]:
        """The features that can be asked for, told by the first readable file of a split.

        Of ten: where those cannot be read, nothing but xyz, and so height, is known.
        """
        return self._offered(split, None)

    def _offered(self, split: SplitName, features: Features | None) -> list[str]:
        """Those of some features that can be asked for; None: of all.

        Raises:
            DataError: what is wrong with the first file, where none of ten can be asked for them.
        """
        first: DataError | None = None
        for shape in islice(self.source.shapes(split), 10):
            try:
                return features_in(self._table(shape, features))
            except ForbiddenError:
                raise
            except DataError as error:
                first = first or error.but(where=error.where or self._place(shape.name))
        if first and features is not None:
            raise first
        return features_in({})

    def split(self, name: SplitName) -> Split:
        """Open one split, from the cache if it is there; files of the other are not touched.

        Raises:
            DataError: a file is missing, a cloud is bad, or the cache cannot be written.
            ForbiddenError: the permissions of a file do not let it be read; not skipped as bad.
            EmptySplitError: nothing is listed for the split.
        """
        if name not in (splits := self.listed.splits):
            raise UsageError(f"split is {name!r}", fix=f"choose from {', '.join(splits)}")
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def count(self) -> int:
        """Shapes in all splits, as they are listed: bad ones count."""
        return sum(length_hint(self.source.shapes(name)) for name in self.listed.splits)

    def leak(self, measured: SplitName = "test") -> str | None:
        """A line on clouds of a split whose very points are in the training split as well.

        Of what is in the cache: nothing is read for it, and where a split was never read, or its
        files are gone, there is nothing to compare.
        """
        entries = []
        for name in ("train", measured):
            split = self._opened.get(name)
            try:
                # Of data by URL, as far as it was fetched.
                files = getattr(self.source, "source", self.source).files(name)
                key = self._key(name, {}, files)
                entry = split.entry if split else store.read(self.cache / key)
            except DataError:
                entry = None
            if entry is None:
                return None
            entries.append(entry)
        train, other = entries
        known = dict(zip(map(bytes, train.clouds), train.names, strict=True))
        seen = [i for i, digest in enumerate(map(bytes, other.clouds)) if digest in known]
        if not seen:
            return None
        twin, first = known[bytes(other.clouds[seen[0]])], other.names[seen[0]]
        return (
            f"{len(seen):,} of {len(other.names):,} {measured} clouds are in the training split "
            f"too, point by point, such as {first} and {twin}"
        )

    def _open(self, name: SplitName) -> Split:
        entry = self._entry(name, {}, partial(self._checked, name))
        if self.features == XYZ:
            return Split(entry, group=self.group)
        # An entry of its own, so that points and fingerprint are those of xyz alone.
        more = {"features": self.features, "channels": VERSION}
        return Split(
            entry, self._entry(name, more, partial(self._featured, name, entry)), self.group
        )

    def _entry(
        self,
        name: SplitName,
        more: dict[str, Any],
        clouds: Callable[[dict[str, Any]], CloudStream],
    ) -> store.Entry:
        """An entry of the cache, made of `clouds` if it is not there, or not as it was written.

        Args:
            name: the split.
            more: what is part of its key, and of what it says of itself, beside what all have.
            clouds: makes its clouds, and adds to what it says of itself.
        """
        key = self._key(name, more)
        entry = store.read(self.cache / key)
        make = partial(self._make, name, key, more, clouds)
        if entry is None:
            if (self.cache / key).exists():
                self._say_damaged(name)
            entry = make()
        elif self.verify:
            before, damaged = entry.meta["fingerprint"], not entry.sound()
            entry = make(replace=True)
            if damaged:
                raise DataError(
                    f"has {name} clouds in the cache that were damaged, and are mended",
                    where=self.name,
                    fix="run again, and make again whatever was made from them",
                )
            self._same(name, entry, before, "though sizes and times of the files are")
        entry.remake = partial(self._again, name, key, make, entry.meta["fingerprint"])
        return entry

    def _key(self, name: SplitName, more: dict[str, Any], files: list[Path] | None = None) -> str:
        """The key of an entry, which is made of some files."""
        source = self.source
        if self.drop_missing:  # in the key only then, so that entries made without stay
            more = more | {"drop_missing": True}
        if self.columns:
            more = more | {"columns": dict(self.columns)}
        return store.entry_key(
            source.files(name) if files is None else files,
            kind=source.kind,
            key=source.key,
            classes=source.classes,
            up=source.up,
            split=name,
            skip_bad=self.skip_bad,
            **more,
        )

    def _make(
        self,
        name: SplitName,
        key: str,
        more: dict[str, Any],
        clouds: Callable[[dict[str, Any]], CloudStream],
        replace: bool = False,
    ) -> store.Entry:
        """Write an entry."""
        about: dict[str, Any] = {"classes": self.classes, "name": name, "up": self.up, **more}
        wide = width(more["features"]) - 3 if more else 3
        return store.write(self.cache, key, clouds(about), about, width=wide, replace=replace)

    def _again(
        self, name: SplitName, key: str, make: Callable[..., store.Entry], before: str
    ) -> store.Entry:
        """A sound entry in place of one that is damaged, with the same fingerprint."""
        entry = store.read(self.cache / key)
        if entry is None or not entry.sound():  # else another process was faster
            self._say_damaged(name)
            entry = make(replace=True)
        self._same(name, entry, before, "which were damaged in the cache")
        return entry

    def _say_damaged(self, name: SplitName) -> None:
        warnings.warn(
            f"{self.name}: its {name} clouds in the cache were damaged, and are read again from "
            "their source",
            stacklevel=1,
        )

    def _same(self, name: SplitName, entry: store.Entry, before: str, why: str) -> None:
        """See that the source gives what was read before."""
        if entry.meta["fingerprint"] != before:
            raise DataError(
                f"has {name} clouds that are not those read before, {why}",
                where=self.name,
                fix="run again, as the cache now holds what is there, and record again "
                "whatever was made from it",
            )

    def _checked(self, name: SplitName, about: dict[str, Any]) -> CloudStream:
        """Yield the points (n, 3) of every good cloud; stop at a bad one, or list it."""
        bad: list[str] = about.setdefault("bad", [])
        missing: list[int] = about.setdefault("missing", [])
        groups: list[str] = []
        grouped = False
        shapes = self.source.shapes(name)
        total = length_hint(shapes)
        good = 0
        for done, shape in enumerate(shapes, 1):
            try:
                loaded = self._table(shape, ())["xyz"] if self.columns else shape.load()
                cloud = check_cloud(shape.name, loaded, self.drop_missing)
            except ForbiddenError:
                raise
            except DataError as error:
                where = error.where or shape.name
                if not self.skip_bad:
                    where = self._place(shape.name) if where == shape.name else where
                    skip = "pass --skip-bad to leave the cloud out"
                    fix = f"{error.fix}, or {skip}" if error.fix else skip
                    raise DataError(error.what, where=where, fix=fix) from error
                bad.append(str(error.but(where=where)))
            else:
                good += 1
                if lost := len(loaded) - len(cloud):
                    missing.append(lost)
                grouped |= shape.group is not None
                # Of no group: one by itself.
                groups.append(shape.name if shape.group is None else shape.group)
                yield shape.name, shape.label, cloud
            if self.progress:
                self.progress(done, total)
        if grouped:
            about["groups"] = groups
        if good:
            return
        if not bad:
            raise EmptySplitError(
                f"has no shape in the {name} split (nothing is listed for it)", where=self.name
            )
        raise DataError(
            f"has no shape in the {name} split (all {len(bad)} are bad, first {bad[0]})",
            where=self.name,
        )

    def _featured(self, name: SplitName, entry: store.Entry, about: dict[str, Any]) -> CloudStream:
        """Yield the features (n, F) beside xyz of every cloud of a cached split, in its order.

        Raises:
            DataError: the data has not what was asked for, or a cloud holds what it cannot mean.
        """
        names, ends = entry.names, entry.offsets
        from_files = {*self.features} - {"xyz", "height"}
        there = self._offered(name, self.features) if from_files else []
        if lacking := from_files - {*there}:
            raise no_feature(lacking, self.offers(name)).but(where=self.name)
        tables = self._tables(name, {*names}) if from_files else iter([{}] * len(names))
        for i, table in enumerate(tables):
            points = entry.rows(int(ends[i]), int(ends[i + 1]))
            try:
                values = feature_values({**table, "xyz": points}, self.features, self.up)
            except DataError as error:
                raise error.but(where=self._place(names[i])) from error
            yield names[i], int(entry.labels[i]), values
            if self.progress:
                self.progress(i + 1, len(names))

    def _tables(self, name: SplitName, kept: set[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """All that the files of the clouds `kept` have, without points that are left out."""
        for shape in self.source.shapes(name):
            if shape.name in kept:  # what was bad is left out here too
                table = self._table(shape, self.features)
                if gone := {*self.features} - {"xyz", "height", *table}:
                    there = features_in(self._table(shape, None))
                    raise no_feature(gone, there).but(where=self._place(shape.name))
                yield _without_missing(table) if table and self.drop_missing else table

    def _place(self, name: str) -> str:
        """A shape, with the data set that it is of, for errors."""
        return f"{self.name.rstrip('/')}/{name}"

    def _table(self, shape: Shape, features: Features | None) -> Mapping[str, NDArray[Any]]:
        """What a shape's file has of some features; None: all.

        Raises:
            UsageError: it has points alone, but its columns were named.
        """
        if shape.table:
            return shape.table(features, columns=self.columns)
        if self.columns:
            raise UsageError(
                "has points alone, without columns", where=self.name, fix="leave out --columns"
            )
        return {}


def _without_missing(table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A table without the points that are missing; what has another length is refused later."""
    kept = finite(table["xyz"][:, :3])
    return {name: each[kept] if len(each) == len(kept) else each for name, each in table.items()}
