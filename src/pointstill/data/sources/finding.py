"""Which source is at a path: the layouts that are known."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from ...errors import DataError, NoDataError, UsageError
from ...storage.paths import local
from ..source import Finder, Listed, Source, refuse_fold
from .class_folders import ClassFolders
from .contents import look
from .label_table import LabelTable
from .modelnet import ModelNetHDF5, ModelNetOFF, ModelNetText
from .scanobjectnn import ScanObjectNN
from .single_file import SingleFile

SOURCES: dict[str, type[Finder]] = {
    "arrays": SingleFile,
    "label-table": LabelTable,
    "modelnet-hdf5": ModelNetHDF5,
    "modelnet-text": ModelNetText,
    "modelnet-off": ModelNetOFF,
    "scanobjectnn": ScanObjectNN,
    "folder": ClassFolders,
}
"""Layouts by their `kind`, in the order in which they are tried."""


def _primitives(clean: bool = False) -> Source:
    from ..primitives import Primitives  # half of this package, which other data needs not

    return Primitives(clean)


def _strangers() -> Source:
    from ..strangers import Strangers

    return Strangers()


GENERATED: dict[str, Callable[[], Source]] = {
    "primitives": _primitives,
    "primitives-clean": partial(_primitives, clean=True),
    "strangers": _strangers,
}
"""Data sets without files, by what the user types."""


def find_source(
    source: str | Path, fold: int = 0, up: str | None = None, group: str | None = None
) -> Source:
    """Recognise what is at `source`, on this machine; see `open_dataset`."""
    if make := GENERATED.get(str(source)):
        refuse_fold(source, fold)
        return _with_group(_with_up(make(), source, up), source, group)
    path = (local(source) or Path(source)).expanduser()
    try:
        for layout in SOURCES.values():
            if found := layout.find(path, fold):
                return _with_group(_with_up(found, source, up, layout.any_up), source, group)
    except OSError as error:
        raise DataError(
            f"cannot be listed ({error.strerror})",
            where=error.filename or path,
            fix="mend its permissions",
        ) from error
    if not path.exists():
        raise NoDataError(
            "does not exist", where=path, fix="check the path, or use the built-in primitives"
        )
    if not path.is_dir():
        raise DataError(
            "is a file, but a data set is a folder, or a file of all its clouds "
            f"({', '.join(suffix[1:] for suffix in SingleFile.SUFFIXES)})",
            where=path,
            fix="give the folder that holds it",
        )
    if below := _below(path):
        fix = f"give the folder below, {below[0]}"
        more = f", or another of {len(below)}" * (len(below) > 1)
        raise DataError("has no known layout, but what it holds has", where=path, fix=fix + more)
    if look(path).clouds:
        raise DataError(
            "holds clouds, but no class folders",
            where=path,
            fix="put those of each class into a folder of its own, or give the folder above",
        )
    known = "; or ".join(layout.looks_for for layout in SOURCES.values())
    raise DataError("has no known layout", where=path, fix=f"give a folder that holds {known}")


def _below(path: Path) -> list[Path]:
    """The folders in a folder, of its first hundred, that have a known layout."""
    found = []
    for name in look(path).folders[:100]:
        for layout in SOURCES.values():
            with suppress(OSError, DataError):
                if layout.find(path / name, 0):
                    found.append(path / name)
                    break
    return found


def _with_up(found: Source, source: str | Path, up: str | None, any_up: bool = False) -> Source:
    """The source with the up axis that was asked for, if its layout leaves that open."""
    if up is None or up == found.up:
        return found
    if not any_up:
        raise UsageError(
            f"is {found.kind}, where {found.up} is up", where=source, fix=f"leave out up {up}"
        )
    return cast(Source, replace(cast(Any, found), up=up))


def _with_group(found: Source, source: str | Path, group: str | None) -> Source:
    """The source with the groups that were asked for, if it has them."""
    if group is None:
        return found
    there = getattr(found, "listed", Listed()).groups
    if group not in there:
        raise UsageError(
            f"has nothing called {group!r} that shapes could be grouped by",
            where=source,
            fix=f"choose from {', '.join(there)}" if there else "leave out the group",
        )
    return cast(Source, replace(cast(Any, found), group=group))
