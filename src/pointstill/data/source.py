"""What a source of clouds is: shapes with labels, in splits, and how its layout is recognised."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from numpy.typing import NDArray

from ..errors import DataError, ForbiddenError, PointstillError, UsageError
from ..storage.files import forbidden
from .columns import Columns

FOLDS = 5
"""Parts of a folder without a split of its own; each is the test split once."""

SplitName = str
SPLITS = ("train", "test")
"""The splits that every source has; data that bring others name them in `Listed.splits`."""
UNLABELLED = -1
"""The label of a shape that has none."""


@dataclass(frozen=True)
class Shape:
    """One object; `load` reads its points (n, 3), as they are in the file."""

    name: str
    label: int
    """`UNLABELLED` where it has none."""
    load: Callable[[], NDArray[Any]]
    table: "TableReader | None" = None
    """Reads what its file has beside the points. None: points alone."""
    group: str | None = None
    """What it shares with shapes that are no independent sample: a person, a site, a scan."""


class TableReader(Protocol):
    """Reads features of a shape: feature -> numbers, as they are in its file, `xyz` among them."""

    def __call__(
        self, features: Iterable[str] | None, /, *, columns: Columns | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Without `columns`, `xyz` are the same points as `load` reads.

        Args:
            features: those that are read, if they are there; None: all.
            columns: what the file calls some columns; see `columns.parse_columns`.
        """


class PassedOver(NamedTuple):
    """What lies in the folder of a source and is no cloud of it."""

    path: str
    """Below the folder; of a folder it ends with a slash."""
    reason: str
    """What it is."""
    said: bool
    """Whether every command tells of it, as it may have been meant; `data info` counts all."""


@dataclass(frozen=True)
class Listed:
    """What a source that lists a folder knows of it."""

    passed_over: tuple[PassedOver, ...] = ()
    remarks: tuple[str, ...] = ()
    """Lines to say when it is opened."""
    folded: bool = False
    """Whether train and test are parts that `fold` chooses."""
    splits: tuple[str, ...] = SPLITS
    """The names of all splits."""
    groups: tuple[str, ...] = ()
    """What `--group` may name: from where groups of shapes can be taken. A source with some is a
    dataclass with a field `group`, which holds the one that was asked for, and a part of `key`."""


class Source(Protocol):
    """Where clouds come from: one class per layout.

    One that lists a folder has what it knows of it as `listed`, see `Listed`.
    """

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
    """How a layout is recognised: what its class offers, beside the source that it makes."""

    looks_for: ClassVar[str]
    """The files that tell it, for the error where no layout is known."""
    variants: ClassVar[tuple[str, ...]]
    """What the last part of a path may choose in a folder that holds several data sets."""
    any_up: ClassVar[bool]
    """Whether the user may say which axis points up, as the files do not; a field `up` holds it."""

    @classmethod
    def find(cls, path: Path, fold: int) -> Source | None:
        """Return the source at `path`, or None when something else, or nothing, is there."""


def refuse_fold(source: str | Path, fold: int) -> None:
    """Say that a source with a split of its own has no folds.

    Raises:
        UsageError: a fold other than 0.
    """
    if fold:
        raise UsageError(
            "comes with its own train and test split", where=source, fix=f"leave out fold {fold}"
        )


def unreadable(file: Path, error: OSError) -> PointstillError:
    """The error for a file of a source that is not there, or may not be read."""
    if isinstance(error, PermissionError):
        return forbidden(file, error, ForbiddenError)
    return DataError(f"cannot be read ({error.strerror})", where=file, fix="restore it")
