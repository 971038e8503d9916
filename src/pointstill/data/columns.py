"""What columns and arrays of files are called, and which of them are wanted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from ..points.features import CHANNEL, WIDTHS
from ..points.validity import is_numeric

Array = NDArray[Any]
Table = dict[str, Array]
"""Feature -> its numbers (n, 1 to 3) as they are in the file, `xyz` among them."""
Columns = Mapping[str, str | int]
"""What we call a column (x, nx, red, intensity, a channel) -> what the file does: a name, in any
case, or a number from 0 where it has no names."""

COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "xyz": (("x", "y", "z"),),
    "normal": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
    "colour": (("red", "green", "blue"), ("r", "g", "b")),
    "intensity": (("intensity",), ("scalar_intensity",)),
}
"""What columns are called, in small letters, by PLY, PCD, LAS and text files."""
ARRAYS = {
    "normal": ("normal", "normals"),
    "colour": ("colour", "colours", "color", "colors", "rgb"),
    "intensity": ("intensity", "intensities"),
}
"""What arrays beside the points are called in NPZ and HDF5 files."""


def parse_columns(text: str | Columns) -> dict[str, str | int]:
    """What the columns of files are called, such as `x=origin_x,y=origin_y,z=origin_z`.

    Raises:
        UsageError: a part that is no `ours=theirs`, a name of ours that cannot be one or is there
            twice, or one column for two axes.

    >>> parse_columns("x=0, y=1, z=2, doppler=v_r")
    {'x': 0, 'y': 1, 'z': 2, 'doppler': 'v_r'}
    """
    found: dict[str, str | int] = {}
    parts = text.split(",") if isinstance(text, str) else [f"{a}={b}" for a, b in text.items()]
    for part in parts:
        ours, equal, theirs = (each.strip() for each in part.partition("="))
        ours = "colour" if ours.lower() == "color" else ours.lower()
        if not (ours and equal and theirs):
            raise UsageError(f"columns have {part.strip()!r}", fix=f"write {_EXAMPLE}")
        if not CHANNEL.fullmatch(ours) or ours == "height":
            raise UsageError(
                f"no column can be called {ours!r} here",
                fix="put the name first that --features has, and then that of the file",
            )
        if ours in found:
            raise UsageError(f"columns have {ours} twice", fix="name each once")
        if "," in theirs:  # of a mapping, which could not be written as text
            raise UsageError(f"columns have {theirs!r}", fix="give a number, or rename it")
        found[ours] = int(theirs) if theirs.isascii() and theirs.isdigit() else theirs
    axes = [str(found[axis]).lower() for axis in "xyz" if axis in found]
    if len(set(axes)) < len(axes):
        raise UsageError("columns have one column for two axes", fix=f"write {_EXAMPLE}")
    return found


_EXAMPLE = "them as x=origin_x,y=origin_y,z=origin_z,doppler=v_r, or by number, x=0,y=1,z=2"


def format_columns(columns: Columns) -> str:
    """Columns as `parse_columns` reads them."""
    return ",".join(f"{ours}={theirs}" for ours, theirs in columns.items())


@dataclass(frozen=True)
class Wanted:
    """What a reader is asked for."""

    features: tuple[str, ...] | None = ()
    """Beside xyz, those that are there; None: all of them."""
    columns: Columns = field(default_factory=dict, hash=False)
    """Those that the file calls otherwise; all of them must be there."""

    @property
    def axes(self) -> set[str]:
        """The names that tell a line of names, in small letters: those of x, y and z."""
        named = (self.columns.get(axis, axis) for axis in "xyz")
        return {name.lower() for name in named if isinstance(name, str)}

    @property
    def usual(self) -> bool:
        """Whether columns of known names are all that is wanted."""
        return self.features is not None and not self.columns and {*self.features} <= {*WIDTHS}

    def among(self, there: Sequence[str]) -> dict[str, int]:
        """Our name of a column -> its place in a file that names its columns; case is the same.

        An empty first name is that of row names, which do not count in numbers.

        Raises:
            DataError: no x, y or z; several columns of one name that is wanted; or none of one that
                `columns` has.
        """
        small = [name.lower() for name in there]
        places = {}
        for ours, theirs in self.columns.items():
            if ours in COLUMNS and len(COLUMNS[ours][0]) > 1:
                raise _several(ours)
            places[ours] = _named(theirs, small, there)
        axes = {place for ours, place in places.items() if ours in ("x", "y", "z")}
        others = [name for place, name in enumerate(small) if place not in axes]
        for name in others if self.features is None else self._names():
            if name in small and name not in places:
                if small.count(name) == 1:
                    places[name] = small.index(name)
                elif name in "xyz" or self.features is not None:
                    raise DataError(
                        f"has several columns called {name}", fix="give each its own name"
                    )
        if gone := [axis for axis in "xyz" if axis not in places]:
            listed = ", ".join(list(there)[:9]) or "none"
            raise DataError(
                f"has no {' and no '.join(gone)} among its columns ({listed[:160]})",
                fix="say which they are, as in --columns x=origin_x,y=origin_y,z=origin_z",
            )
        return self._kept(places)

    def numbered(self, width: int) -> dict[str, int]:
        """Our name of a column -> its place in a file of so many columns without names.

        Raises:
            DataError: `columns` has a name, a number beyond the last, or one that is several.
        """
        places = {"x": 0, "y": 1, "z": 2}
        for ours, theirs in self.columns.items():
            if ours in COLUMNS and len(COLUMNS[ours][0]) > 1:
                raise _several(ours)
            if isinstance(theirs, str):
                raise DataError(
                    f"names no columns, so that none is called {theirs}",
                    fix="give numbers from 0, as in --columns x=0,y=1,z=2,doppler=3",
                )
            places[ours] = _numbered(theirs, width)
        return self._kept(places)

    def parted(self, inside: Sequence[str], beside: Iterable[str]) -> "tuple[Wanted, Wanted]":
        """What is wanted of an array of points, and of arrays beside it.

        What `columns` says is in one of them is not looked for in the other.

        Args:
            inside: the names of the columns of the points, if they have names.
            beside: those of the arrays.
        """
        columns, arrays = ({name.lower() for name in names} for names in (inside, beside))
        within = {
            ours: theirs
            for ours, theirs in self.columns.items()
            if isinstance(theirs, int)
            or theirs.lower() in columns
            or (columns and theirs.lower() not in arrays)
        }
        rest = {ours: each for ours, each in self.columns.items() if ours not in within}
        return self._but(within, rest), self._but(rest, within)

    def _but(self, columns: Columns, elsewhere: Columns) -> "Wanted":
        """The same with other `columns`, less the features that are elsewhere."""
        if self.features is None:
            return replace(self, columns=columns)
        kept = [
            feature
            for feature in self.features
            if elsewhere.keys().isdisjoint((feature, *chain(*COLUMNS.get(feature, ()))))
        ]
        return replace(self, columns=columns, features=tuple(kept))

    def joined(self, within: Table, beside: Table) -> Table:
        """A table of what is among the columns of the points and of what is beside them.

        Raises:
            DataError: a feature that is wanted is in both.
        """
        both = sorted(within.keys() & beside.keys() - {"xyz"})
        if both and self.features is not None:
            raise DataError(
                f"has {both[0]} among the columns of its points and in an array beside them",
                fix="give each its own name",
            )
        return self.offered(within | beside)

    def arrays(self, there: Iterable[str]) -> dict[str, str]:
        """Feature -> the array beside the points that holds it, of those that are wanted and there.

        Raises:
            DataError: none, or several, of a name that is wanted, or one for a single axis.
        """
        names = sorted(there)
        small = [name.lower() for name in names]
        found = {}
        for ours, theirs in self.columns.items():
            if ours in ("x", "y", "z"):
                raise DataError(
                    f"has no {ours} among the columns of its points that is called {theirs}",
                    fix="name or number columns of the points, and whole arrays for channels",
                )
            if ours != "xyz":
                found[ours] = names[_named(theirs, small, names, "array")]
        known = {name for choice in ARRAYS.values() for name in choice}
        others = [name for name in small if name not in known and small.count(name) == 1]
        for feature in [*ARRAYS, *others] if self.features is None else self.features:
            choices = [name for name in ARRAYS.get(feature, ()) if name in names]
            if feature not in ARRAYS and feature in small:
                choices = [names[_named(feature, small, names, "array")]]
            if choices and feature != "xyz":
                found.setdefault(feature, choices[0])
        return self._kept(found)

    def offered(self, table: Table) -> Table:
        """A table without what no feature is, where all that is there was asked for."""
        if self.features is not None:
            return table
        return {
            feature: values
            for feature, values in table.items()
            if feature == "xyz"
            or (values.shape[-1] == WIDTHS.get(feature, 1) and is_numeric(values))
        }

    def table(self, columns: Mapping[str, Array]) -> Table:
        """Put columns (n,) together, which have our names, x, y and z among them."""
        features = [*COLUMNS, *columns] if self.features is None else self.features
        known = {}
        for feature in dict.fromkeys(("xyz", *features)):
            for names in COLUMNS.get(feature, ((feature,),)):
                if {*names} <= columns.keys():
                    known[feature] = names
                    break
        if self.features is None:  # what a known feature is made of is no channel
            parts = {name for feature in COLUMNS for name in known.get(feature, ())}
            known = {
                feature: names
                for feature, names in known.items()
                if feature in COLUMNS or not (feature in parts or not CHANNEL.fullmatch(feature))
            }
        return self.offered(
            {
                feature: np.stack([columns[name] for name in names], axis=1)
                for feature, names in known.items()
            }
        )

    def _names(self) -> list[str]:
        """What the columns of xyz and of the features may be called, in small letters."""
        features = ("xyz", *(self.features or ()))
        choices = [choice for each in features for choice in COLUMNS.get(each, ((each,),))]
        return list(dict.fromkeys(name for choice in choices for name in choice))

    def _kept(self, places: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are wanted, of columns or arrays that were all looked for."""
        names = {*self._names(), *(self.features or ())}
        return {
            name: each for name, each in places.items() if self.features is None or name in names
        }


def _several(feature: str) -> DataError:
    parts = COLUMNS[feature][0]
    return DataError(
        f"has no single column that is {feature}",
        fix=f"name those of {', '.join(parts)} in --columns",
    )


def _named(
    theirs: str | int, small: Sequence[str], there: Sequence[str], kind: str = "column"
) -> int:
    """The place of a column, or array, that a file calls so."""
    if isinstance(theirs, int) and str(theirs) not in small:
        unnamed = int(small[:1] == [""])
        return unnamed + _numbered(theirs, len(small) - unnamed)
    name = str(theirs).lower()
    if small.count(name) != 1:
        raise lacking(kind, str(theirs), there, several=name in small)
    return small.index(name)


def _numbered(place: int, width: int) -> int:
    if place >= width:
        raise DataError(
            f"has {width} columns, so that none has the number {place}", fix="count them from 0"
        )
    return place


def lacking(kind: str, name: str, there: Iterable[str], several: bool = False) -> DataError:
    """The error for a column, array or feature that is asked for and not there.

    Args:
        kind: what it is.
        name: as it was asked for.
        there: what the file has instead; the nearest name is the fix.
        several: whether it is there, but more than once.
    """
    if several:
        return DataError(f"has several {kind}s called {name}", fix="give each its own name")
    names = [each for each in there if each]
    listed = ", ".join(names[:40])[:300] or "none"
    near = get_close_matches(name.lower(), map(str.lower, names), n=1)
    return DataError(
        f"has no {kind} {name}, but {listed}", fix=f"did you mean {near[0]}?" if near else None
    )
