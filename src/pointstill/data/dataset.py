"""Labelled clouds of any size: what a source of them offers, and how they are opened."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import length_hint
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EmptySplitError, ForbiddenError, NoDataError, UsageError
from ..points.features import XYZ, Extra, Features, parse_features, width
from ..storage.paths import local
from . import cache as store
from .channels import VERSION, featured, offered
from .checking import check_cloud

FOLDS = 5

SplitName = Literal["train", "test"]
Progress = Callable[[int, int], None]
"""Called with (clouds done, clouds in all; 0 when unknown) while a source is first read."""


@dataclass(frozen=True)
class Shape:
    """One labelled object; `load` reads its points (n, 3), as they are in the file."""

    name: str
    label: int
    load: Callable[[], NDArray[Any]]
    table: Callable[[], Mapping[str, NDArray[Any]]] | None = None
    """Reads all that its file has: feature -> numbers, as they are in it; `xyz` among them, the
    same points as `load` reads. None: points alone."""


class Source(Protocol):
    """Where clouds come from: one class per layout."""

    @property
    def kind(self) -> str:
        """Name of the layout, such as `modelnet-hdf5`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""

    @property
    def up(self) -> str:
        """The axis that points up: x, y or z."""

    @property
    def key(self) -> str:
        """Whatever decides what is read, besides the files: options, fold, reader version."""

    def files(self, split: SplitName) -> list[Path]:
        """List the files that `shapes(split)` reads, and no others."""

    def shapes(self, split: SplitName) -> Iterable[Shape]:
        """List the shapes, in a fixed order; files of the other split stay closed.

        Raises, as `Shape.load` does, DataError whatever is wrong.
        """


class Finder(Protocol):
    """The door of a layout."""

    looks_for: ClassVar[str]

    @classmethod
    def find(cls, path: Path, fold: int) -> Source | None:
        """Return the source at `path`, or None when something else, or nothing, is there."""


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
    """SHA-256 (hex) over points, offsets, labels, class names, split name and frame."""
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
        for said, values in found.items():
            about = meta | {"fingerprint": said}
            if not store.sound(store.Entry(values, self.offsets, self.labels, about)):
                fix = "`pointstill data info DATA --verify` reads them anew"
                raise DataError(f"the {self.name} clouds in the cache are damaged: {fix}")


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
        """The features that can be asked for, told by the first file of a split."""
        return offered(self.source.shapes(split))

    def split(self, name: SplitName) -> Split:
        """Open one split, from the cache if it is there; files of the other are not touched.

        Raises:
            DataError: a file is missing, a cloud is bad, or the cache cannot be written.
            ForbiddenError: the permissions of a file do not let it be read; not skipped as bad.
            EmptySplitError: nothing is listed for the split.
        """
        if name not in ("train", "test"):
            raise UsageError(f"split is {name!r}; choose train or test")
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
            clouds = partial(featured, self, name, entry)
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
        clouds: Callable[[], Iterator[tuple[str, int, NDArray[np.float32]]]],
        about: dict[str, Any],
        width: int = 3,
    ) -> store.Entry:
        """An entry of the cache, made of `clouds` if it is not there; `more` is part of its key."""
        source = self.source
        if self.drop_missing:  # said only then, so that entries made without stay what they are
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
                    f"{self.name}: the {name} clouds in the cache were damaged, and are mended: "
                    "run again, and make again whatever was made from them"
                )
            if before and before != entry.meta["fingerprint"]:
                raise DataError(
                    f"{self.name}: the {name} clouds are not those read before, though sizes and "
                    "times of the files are; the cache now holds what is there: run again, and "
                    "record again whatever was made from it"
                )
        return entry

    def _checked(
        self, name: SplitName, bad: list[str], missing: list[int]
    ) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
        """Yield (name, label, points) of every good cloud; stop at a bad one, or list it."""
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
                if not self.skip_bad:
                    raise DataError(f"{error}; pass --skip-bad to leave the cloud out") from error
                bad.append(str(error))
            else:
                good += 1
                if lost := len(loaded) - len(cloud):
                    missing.append(lost)
                yield shape.name, shape.label, cloud
            if self.progress:
                self.progress(done, total)
        if not good:
            said = f"{self.name}: no shape in the {name} split"
            if not bad:
                raise EmptySplitError(f"{said} (nothing is listed for it)")
            raise DataError(f"{said} (all {len(bad)} are bad, first {bad[0]})")


def open_dataset(
    source: str | Path,
    *,
    fold: int = 0,
    up: str | None = None,
    features: str | Iterable[str] = XYZ,
    skip_bad: bool = False,
    drop_missing: bool = False,
    verify: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Recognise a data set; nothing of it is read before `.train` or `.test` is asked for.

    Args:
        source: a folder or its URL, or `primitives`, or `primitives-clean`. A folder that holds
            several variants takes one as the last part of its path: `ScanObjectNN/pb_t50_rs`.
        fold: which of five stratified parts is the test split (0 to 4), for a folder without a
            split of its own.
        up: which axis of a folder of class folders points up: x, y or z; z if nothing is said.
        features: what a point of a view has: `xyz`, then any of `normal`, `colour`, `intensity` and
            `height`, such as `("xyz", "normal")`.
        skip_bad: leave out clouds that cannot be used, and list them in `Split.bad`.
        drop_missing: first leave out points with a NaN or infinite coordinate, and what else they
            have; `Split.missing` counts them.
        verify: read the source again and compare it with the cache.
        cache: folder of parsed splits; `$POINTSTILL_CACHE` or `~/.cache/pointstill` by default.
        progress: called with (done, total) while a split is first read; total 0 is unknown.

    Raises:
        DataError: nothing known is at `source`; the message lists what was looked for. If there is
            nothing at all, a NoDataError, which is a UsageError as well.
        RemoteError: an object store cannot be listed.
        UsageError: a fold that does not exist, an up axis that is none or is fixed, or a feature
            that is none.
    """
    if not 0 <= fold < FOLDS:
        raise UsageError(f"fold is {fold}; choose 0 to {FOLDS - 1}")
    if up not in (None, "x", "y", "z"):
        raise UsageError(f"up is {up!r}; choose x, y or z")
    from .remote_folder import find_anywhere  # built on this file, as the layouts are

    root = cache or store.default_root()
    return Dataset(
        name=str(source),
        source=find_anywhere(source, fold, up, root, quiet=progress is None),
        fold=fold,
        asked_up=up,
        features=parse_features(features),
        skip_bad=skip_bad,
        drop_missing=drop_missing,
        verify=verify,
        cache=root,
        progress=progress,
    )


def find_source(source: str | Path, fold: int = 0, up: str | None = None) -> Source:
    """Recognise what is at `source`, on this machine; see `open_dataset`."""
    # Here, not above: the layouts are built on this file, and most runs need one of them.
    if str(source) in ("primitives", "primitives-clean"):
        from .primitives import Primitives

        refuse_fold(source, fold)
        return _with_up(Primitives(clean=str(source) == "primitives-clean"), source, up)

    from .sources.class_folders import ClassFolders
    from .sources.modelnet import ModelNetHDF5, ModelNetOFF, ModelNetText
    from .sources.scanobjectnn import ScanObjectNN

    layouts: tuple[type[Finder], ...] = (
        ModelNetHDF5,
        ModelNetText,
        ModelNetOFF,
        ScanObjectNN,
        ClassFolders,
    )
    path = (local(source) or Path(source)).expanduser()
    try:
        for layout in layouts:
            if found := layout.find(path, fold):
                return _with_up(found, source, up)
    except OSError as error:
        raise DataError(f"{path}: cannot be listed ({error}); mend its permissions") from error
    if not path.exists():
        raise NoDataError(f"{path}: no such folder; check the path, or use the built-in primitives")
    if not path.is_dir():
        raise DataError(
            f"{path}: a file, but a data set is a folder; give the folder that holds it"
        )
    wanted = "; ".join(layout.looks_for for layout in layouts)
    raise DataError(f"{path}: no known layout; looked for {wanted}")


def _with_up(found: Source, source: str | Path, up: str | None) -> Source:
    """The source with the up axis that was asked for, if its layout leaves that open."""
    from .sources.class_folders import ClassFolders

    if up is None or up == found.up:
        return found
    if type(found) is not ClassFolders:
        raise UsageError(f"{source}: {found.up} is up in {found.kind}; leave out up {up}")
    return replace(found, up=up)


def refuse_fold(source: str | Path, fold: int) -> None:
    """Say that a source with a split of its own has no folds."""
    if fold:
        raise UsageError(
            f"{source}: comes with its own train and test split; leave out fold {fold}"
        )
