"""A folder of clouds with `labels.csv`: a line a cloud, of its path and label."""

import csv
import io
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from ...errors import DataError, printable
from .. import readers
from ..source import FOLDS, Listed, PassedOver, Shape, SplitName, unreadable
from .contents import Contents, look
from .known import LONGEST, Known, check_splits, read_labels, some

TABLE = "labels.csv"
MOST = 256 << 20
"""Bytes of the table: about two million lines."""
NEEDED, KNOWN = ("path", "label"), ("path", "label", "split", "group")
"""Columns that must be there, and all that have a meaning."""


@dataclass(frozen=True)
class LabelTable:
    """Clouds anywhere in a folder, as its `labels.csv` says.

    The first line names the columns, in any order: `path` (below the folder, with `/`) and `label`
    (empty where there is none), and if need be `split` and `group`. Columns are parted by commas,
    semicolons or tabs. Others are passed over, but `--group` may name one.
    """

    root: Path
    columns: dict[str, list[str]]
    """All columns, by their names in small letters; lines in the order of their paths."""
    over: tuple[PassedOver, ...] = ()
    fold: int = 0
    up: str = "z"
    group: str | None = None

    kind: ClassVar[str] = "label-table"
    variants: ClassVar[tuple[str, ...]] = ()
    any_up: ClassVar[bool] = True
    looks_for: ClassVar[str] = "labels.csv, with columns path and label, beside clouds"

    @classmethod
    def find(cls, path: Path, fold: int) -> "LabelTable | None":
        """Recognise the folder by its table.

        Raises:
            DataError: the table cannot be read, or names what is not there, or is there twice, or
                lies outside of the folder.
            UsageError: a fold of data with its own split.
        """
        table = path / TABLE
        if not table.is_file():
            return None
        columns = _read(table)
        _check_paths(path, columns["path"])
        order = sorted(range(len(columns["path"])), key=lambda row: columns["path"][row])
        columns = {name: [values[row] for row in order] for name, values in columns.items()}
        if "split" in columns and any(columns["split"]):
            check_splits(table, columns["split"])
        over = tuple(_unnamed(look(path), {*columns["path"]}))
        found = cls(path, columns, over, fold)
        found.known  # noqa: B018 - refuses labels and folds
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return self.known.classes

    @property
    def key(self) -> str:
        """Reader, fold and group."""
        group = self.known.grouping("group")
        return f"{readers.VERSION} {readers.MESH_POINTS} {self.fold}/{FOLDS}{group}"

    @cached_property
    def known(self) -> Known:
        """Labels, splits and groups."""
        table, columns = self.root / TABLE, self.columns
        labels, classes = read_labels(table, np.array(columns["label"], np.str_))
        splits = columns.get("split")
        groups = columns.get(self.group or "group")
        return Known(
            table,
            classes,
            columns["path"],
            labels,
            splits if splits and any(splits) else None,
            [group or None for group in groups] if groups and any(groups) else None,
            self.group,
            self.fold,
        )

    @cached_property
    def listed(self) -> Listed:
        """What is said of the table, and its columns that tell groups."""
        other = [name for name in self.columns if name not in (*KNOWN, self.group)]
        remarks = [*self.known.remarks()]
        if self.over:
            count, first = len(self.over), printable(self.over[0].path)
            remarks.append(f"{TABLE} does not name {count:,} clouds, such as {first}")
        if other:
            remarks.append(f"columns of {TABLE} that have no meaning are not read: {some(other)}")
        return Listed(
            self.over,
            tuple(remarks),
            folded=self.known.splits is None,
            splits=tuple(self.known.rows),
            groups=tuple(name for name in self.columns if name not in ("path", "label", "split")),
        )

    def files(self, split: SplitName) -> list[Path]:
        """The table, and one file a shape."""
        paths = self.columns["path"]
        return [self.root / TABLE, *(self.root / paths[row] for row in self.known.rows[split])]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All shapes, in the order of their paths."""
        shapes = []
        for row in self.known.rows[split]:
            name = self.columns["path"][row]
            shapes.append(
                Shape(
                    name,
                    int(self.known.labels[row]),
                    partial(readers.read_cloud, self.root / name, self.up),
                    partial(readers.read_table, self.root / name, self.up),
                    self.known.groups[row] if self.known.groups else None,
                )
            )
        return shapes


def _read(table: Path) -> dict[str, list[str]]:
    """The columns of a table, by their names in small letters; paths as POSIX writes them.

    Raises:
        DataError: no such table.
    """
    try:
        if table.stat().st_size > MOST:
            raise DataError(f"has more than {MOST:,} bytes", where=table)
        text = table.read_text("utf-8-sig")
    except OSError as error:
        raise unreadable(table, error) from error
    except UnicodeDecodeError as error:
        raise DataError("is not in UTF-8", where=table, fix="save it as UTF-8") from error
    first = text.partition("\n")[0].rstrip("\r")
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice or not {*NEEDED} <= {*names}:
            what = f"has several columns {twice[0]!r}" if twice else "has no columns path and label"
            raise DataError(
                f"{what} (its first line is {printable(first)[:60]!r})",
                where=table,
                fix="begin it with a line such as path,label,split,group, or call it otherwise",
            )
        values: list[list[str]] = []
        for row in rows:
            if len(row) != len(names) and row:
                raise DataError(
                    f"has {len(row)} fields in line {rows.line_num}, but {len(names)} columns",
                    where=table,
                    fix="quote what holds a delimiter",
                )
            if row:
                values.append([field.strip() for field in row])
    except csv.Error as error:
        raise DataError(
            f"cannot be read in line {rows.line_num} ({error})", where=table, fix="mend it"
        ) from error
    if not values:
        raise DataError("names no cloud", where=table, fix="add a line for each")
    columns = {
        name: list(each) for name, each in zip(names, zip(*values, strict=True), strict=True)
    }
    columns["path"] = [_inside(table, path) for path in columns["path"]]
    # Before an array would give each as much room as the longest takes.
    columns["label"] = [label[: LONGEST + 1] for label in columns["label"]]
    return {name: each for name, each in columns.items() if name}


def _inside(table: Path, path: str) -> str:
    """A path as POSIX writes it, without `./`.

    Raises:
        DataError: it does not stay in the folder, or is none.
    """
    there = PurePosixPath(path)
    if not path or there.is_absolute() or ".." in there.parts or "\0" in path or str(there) == ".":
        raise DataError(
            f"names {printable(path)[:80]!r}, which is no path in this folder",
            where=table,
            fix="give paths below the folder of the table, such as scans/a.ply",
        )
    return str(there)


def _check_paths(root: Path, paths: list[str]) -> None:
    """Refuse a cloud that is named twice, is not there or not read, or lies elsewhere by a link.

    Raises:
        DataError: names one.
    """
    table, home = root / TABLE, root.resolve()

    @cache
    def inside(folder: Path) -> bool:
        return folder.resolve().is_relative_to(home)

    counts, missing, files = Counter(paths), [], dict[tuple[int, int], str]()
    for path in counts:
        file = root / path
        try:
            about, linked = file.stat(), file.is_symlink()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(path)
            continue
        if not stat.S_ISREG(about.st_mode) or file.suffix.lower() not in readers.READERS:
            raise DataError(
                f"names {printable(path)}, which is no file of a cloud",
                where=table,
                fix=f"name files of {readers.SUFFIXES} alone",
            )
        if not inside(file.resolve().parent if linked else file.parent):
            raise DataError(
                f"names {printable(path)}, which a link leads out of this folder",
                where=table,
                fix="copy or move the file into the folder",
            )
        other = files.setdefault((about.st_dev, about.st_ino), path)
        if about.st_ino and other != path:
            raise DataError(
                f"names one file twice, by a link, as {printable(other)} and {printable(path)}",
                where=table,
                fix="leave one out, as train and test could each have one of them",
            )
    if missing:
        more = f", and {len(missing) - 1:,} more" * (len(missing) > 1)
        slash = " with / between folders" * ("\\" in missing[0])
        raise DataError(
            f"names {printable(missing[0])}, which is not there{more}",
            where=table,
            fix=f"restore the file, or write its path{slash} below the folder of the table",
        )
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"names {printable(twice[0])} in {counts[twice[0]]} lines",
            where=table,
            fix="keep one of them",
        )


def _unnamed(top: Contents, named: set[str]) -> Iterator[PassedOver]:
    """Clouds in the folder that the table does not name; linked folders are not looked into."""
    rest = [top]
    while rest:
        contents = rest.pop(0)
        for file in contents.clouds:
            if (path := contents.prefix + file.name) not in named and path != TABLE:
                yield contents.note(file.name, f"clouds that {TABLE} does not name")
        for name in contents.folders:
            if not (contents.path / name).is_symlink():
                rest.append(contents.below(name))
