"""A data set and its splits: read once, checked, cached and memory-mapped."""

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
from ..points.features import XYZ, Extra, Features, format_features, width
from ..points.validity import check_cloud, finite
from . import cache as store
from .channels import VERSION, feature_values, features_in
from .source import Source, SplitName

Progress = Callable[[int, int], None]
"""Called with (clouds done, clouds in all; 0 when unknown) while a source is first read."""
CloudStream = Iterator[tuple[str, int, NDArray[np.float32]]]
"""(name, label, numbers (n, width)) of the clouds of a split, as the cache takes them."""


@dataclass(frozen=True, eq=False)
class Split:
    """The clouds of one split, ragged, memory-mapped and in a fixed order."""

    points: NDArray[np.float32]  # (total, 3)
    offsets: NDArray[np.int64]  # (S + 1,): cloud i is points[offsets[i] : offsets[i + 1]]
    labels: NDArray[np.int64]  # (S,)
    names: list[str]
    classes: tuple[str, ...]
    up: str
    name: SplitName
    fingerprint: str
    """SHA-256 (hex) over points, offsets, labels, class names, split name and up axis."""
    bad: tuple[str, ...] = ()
    """What was left out by `skip_bad`: one line each, naming the cloud and what is wrong."""
    missing: tuple[int, ...] = ()
    """Points left out by `drop_missing`, of each cloud that lost some."""
    extra: Extra | None = None
    """Features beside the points, where the data set was opened with some."""

    def __len__(self) -> int:
        return len(self.labels)

    def cloud(self, index: int) -> NDArray[np.float32]:
        """Copy out the points (n, 3) of one shape."""
        if not 0 <= index < len(self):
            raise IndexError(f"shape {index} of {len(self)}")
        return np.array(self.points[self.offsets[index] : self.offsets[index + 1]])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Points per shape (S,)."""
        return np.diff(self.offsets)

    def check(self) -> None:
        """Read all of it, as opening does not.

        Raises:
            DataError: the cache does not hold what the fingerprints say.
        """
        meta = {"classes": self.classes, "name": self.name, "up": self.up}
        found = {self.fingerprint: self.points}
        if self.extra:
            found[self.extra.fingerprint] = self.extra.values
        for fingerprint, values in found.items():
            about = meta | {"fingerprint": fingerprint}
            if not store.sound(store.Entry(values, self.offsets, self.labels, about)):
                raise DataError(
                    f"the {self.name} clouds in the cache are damaged",
                    fix="read them anew with `pointstill data info DATA --verify`",
                )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A recognised source; each split is read when it is first asked for, and on its own."""

    name: str
    """As the user typed it."""
    source: Source
    fold: int = 0
    asked_up: str | None = None
    """The up axis that was asked for, where the layout does not fix it."""
    features: Features = XYZ
    """What a point of a view has, `xyz` first; see `features.WIDTHS`."""
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
        for shape in islice(self.source.shapes(split), 10):
            try:
                return features_in(shape.table() if shape.table else {})
            except ForbiddenError:
                raise
            except DataError:
                continue
        return features_in({})

    def split(self, name: SplitName) -> Split:
        """Open one split, from the cache if it is there; files of the other are not touched.

        Raises:
            DataError: a file is missing, a cloud is bad, or the cache cannot be written.
            ForbiddenError: the permissions of a file do not let it be read; not skipped as bad.
            EmptySplitError: nothing is listed for the split.
        """
        if name not in ("train", "test"):
            raise UsageError(f"split is {name!r}", fix="choose train or test")
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: SplitName) -> Split:
        source = self.source
        bad: list[str] = []
        missing: list[int] = []
        about: dict[str, Any] = {"classes": source.classes, "name": name, "up": source.up}
        about |= {"bad": bad, "missing": missing}
        entry = self._entry(name, {}, lambda: self._checked(name, bad, missing), about)
        meta = entry.meta
        extra = None
        if self.features != XYZ:
            # An entry of its own, so that points and fingerprint are those of xyz alone.
            more = {"features": self.features, "channels": VERSION}
            clouds = partial(self._featured, name, entry)
            found = self._entry(name, more, clouds, about | more, width(self.features) - 3)
            extra = Extra(found.points, self.features, source.up, found.meta["fingerprint"])
        return Split(
            points=entry.points,
            offsets=entry.offsets,
            labels=entry.labels,
            names=meta["names"],
            classes=tuple(meta["classes"]),
            up=meta["up"],
            name=name,
            fingerprint=meta["fingerprint"],
            bad=tuple(meta["bad"]),
            missing=tuple(meta.get("missing", ())),  # entries of before the option have none
            extra=extra,
        )

    def _entry(
        self,
        name: SplitName,
        more: dict[str, Any],
        clouds: Callable[[], CloudStream],
        about: dict[str, Any],
        width: int = 3,
    ) -> store.Entry:
        """An entry of the cache, made of `clouds` if it is not there; `more` is part of its key."""
        source = self.source
        if self.drop_missing:  # in the key only then, so that entries made without stay
            more = more | {"drop_missing": True}
        key = store.entry_key(
            source.files(name),
            kind=source.kind,
            key=source.key,
            classes=source.classes,
            up=source.up,
            split=name,
            skip_bad=self.skip_bad,
            **more,
        )
        entry = store.read(self.cache / key)
        if entry is None or self.verify:
            before = entry and entry.meta["fingerprint"]
            damaged = entry is not None and not store.sound(entry)
            entry = store.write(self.cache, key, clouds(), about, width=width, replace=self.verify)
            if damaged:
                raise DataError(
                    f"has {name} clouds in the cache that were damaged, and are mended",
                    where=self.name,
                    fix="run again, and make again whatever was made from them",
                )
            if before and before != entry.meta["fingerprint"]:
                raise DataError(
                    f"has {name} clouds that are not those read before, though sizes and times of "
                    "the files are",
                    where=self.name,
                    fix="run again, as the cache now holds what is there, and record again "
                    "whatever was made from it",
                )
        return entry

    def _checked(self, name: SplitName, bad: list[str], missing: list[int]) -> CloudStream:
        """Yield the points (n, 3) of every good cloud; stop at a bad one, or list it."""
        shapes = self.source.shapes(name)
        total = length_hint(shapes)
        good = 0
        for done, shape in enumerate(shapes, 1):
            try:
                loaded = shape.load()
                cloud = check_cloud(shape.name, loaded, self.drop_missing)
            except ForbiddenError:
                raise
            except DataError as error:
                where = error.where or shape.name
                if not self.skip_bad:
                    skip = "pass --skip-bad to leave the cloud out"
                    fix = f"{error.fix}, or {skip}" if error.fix else skip
                    raise DataError(error.what, where=where, fix=fix) from error
                bad.append(str(error.but(where=where)))
            else:
                good += 1
                if lost := len(loaded) - len(cloud):
                    missing.append(lost)
                yield shape.name, shape.label, cloud
            if self.progress:
                self.progress(done, total)
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

    def _featured(self, name: SplitName, entry: store.Entry) -> CloudStream:
        """Yield the features (n, F) beside xyz of every cloud of a cached split, in its order.

        Raises:
            DataError: the data has not what was asked for, or a cloud holds what it cannot mean.
        """
        names, ends = entry.meta["names"], entry.offsets
        from_files = {*self.features} - {"xyz", "height"}
        there = self.offers(name) if from_files else []
        if lacking := sorted(from_files - {*there}):
            raise DataError(
                f"has no {' and no '.join(lacking)}, but {format_features(there)}",
                where=self.name,
                fix="give --features of these, or take data whose files name such columns",
            )
        tables = self._tables(name, {*names}) if from_files else iter([{}] * len(names))
        for i, table in enumerate(tables):
            points = entry.points[ends[i] : ends[i + 1]]
            try:
                values = feature_values({**table, "xyz": points}, self.features, self.up)
            except DataError as error:
                raise error.but(where=names[i]) from error
            yield names[i], int(entry.labels[i]), values
            if self.progress:
                self.progress(i + 1, len(names))

    def _tables(self, name: SplitName, kept: set[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """All that the files of the clouds `kept` have, without points that are left out."""
        for shape in self.source.shapes(name):
            if shape.name in kept:  # what was bad is left out here too
                table = shape.table() if shape.table else {}
                yield _without_missing(table) if table and self.drop_missing else table


def _without_missing(table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A table without the points that are missing; what has another length is refused later."""
    kept = finite(table["xyz"][:, :3])
    return {name: each[kept] if len(each) == len(kept) else each for name, each in table.items()}
