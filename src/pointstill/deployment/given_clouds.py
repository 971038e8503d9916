"""A cloud as a user gives it, an array or columns by name, as the features that a student takes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import ARRAYS, COLUMNS, Columns
from ..errors import DataError, one_line
from ..points.features import WIDTHS, XYZ, Features, columns, format_features, width
from ..points.validity import MIN_POINTS, is_numeric, transpose_fix

Array = NDArray[Any]


def read_given(points: Any, features: Features, called: Columns) -> dict[str, Array]:
    """The features of a cloud, as they are in what was given.

    Args:
        points: (n, 3 + F) numbers in the order of `features`; or, in any order and among others, a
            mapping of our names to arrays, or the columns of a structured array or a table.
        features: which are wanted.
        called: what columns of structured arrays and tables are called, where that is not our name.

    Returns:
        Feature -> (n, 1 to 3), without the points of which something is masked.

    Raises:
        DataError: nothing that can be read so, not numbers, a feature that is not there or twice,
            or all points masked.
    """
    if type(points) is np.ndarray and not points.dtype.names:
        found = _in_order(points, features)
    else:
        try:
            if named := _by_name(points, called):
                found = _wanted(named, features)
            else:
                found = _in_order(_array(points), features)
        except DataError:
            raise
        except Exception as error:  # whatever else makes arrays raises what it likes
            raise DataError(
                f"a cloud cannot be read ({one_line(error)})", fix=f"give {_form(features)}"
            ) from error
    return _unmasked(found)


def _in_order(array: Array, features: Features) -> dict[str, Array]:
    """The parts of an array (n, 3 + F).

    Raises:
        DataError: it is none.
    """
    if not is_numeric(array):
        raise _no_numbers(array, features)
    wide = width(features)
    if array.ndim != 2 or array.shape[1] != wide:
        order = "" if features == XYZ else f": {format_features(features)}"
        raise DataError(
            f"a cloud of shape {array.shape} was given; it must be (n, {wide}), n >= {MIN_POINTS}"
            f"{order}",
            fix=transpose_fix(array, wide),
        )
    if features == XYZ:
        return {"xyz": array}
    return {name: array[:, place] for name, place in columns(features).items()}


def _by_name(points: Any, called: Columns) -> "Named | None":
    """What is given by name; None for what has no names, or none of x, y and z."""
    if isinstance(points, Mapping):
        return Named({name: partial(points.__getitem__, name) for name in points}, {})
    fields = getattr(getattr(points, "dtype", None), "names", None)
    listed: Any = getattr(points, "columns", ()) if fields is None else fields
    named = Named({name: partial(_column, points, name) for name in listed}, called)
    return named if named.names_of("xyz") else None


def _column(points: Any, name: Any) -> Array:
    """A column of a structured array of any shape, or of a table."""
    values = points[name]
    if getattr(points, "dtype", None) is None or not hasattr(points, "size"):
        return np.asarray(values)
    return values.reshape(points.size, *values.shape[points.ndim :])  # type: ignore[no-any-return]


class Named:
    """Arrays by name, of which case does not matter.

    Args:
        arrays: name -> what reads it.
        called: our name -> theirs, where they differ; ours counts too.
    """

    def __init__(self, arrays: Mapping[Any, Any], called: Columns):
        self.arrays, self.called = arrays, called
        self.places: dict[str, list[Any]] = {}
        for name in arrays:
            self.places.setdefault(str(name).lower(), []).append(name)

    def names_of(self, feature: str) -> tuple[str, ...] | None:
        """The names that make a feature, as they are in `places`; None if it is not there."""
        for choice in self._choices(feature):
            theirs = tuple(str(self.called.get(ours, ours)).lower() for ours in choice)
            for names in (theirs, choice):
                if {*names} <= self.places.keys():
                    return names
        return None

    def _choices(self, feature: str) -> Iterator[tuple[str, ...]]:
        yield from COLUMNS.get(feature, ())
        yield (feature,)
        yield from ((name,) for name in ARRAYS.get(feature, ()))

    def values(self, feature: str, names: Sequence[str]) -> Array:
        """The numbers (n, 1 to 3) of a feature.

        Raises:
            DataError: there are several of one name, or they are not numbers, or of another shape.
        """
        parts = []
        for name in names:
            if len(self.places[name]) > 1:
                raise DataError(
                    f"has several columns called {name}",
                    where="the cloud",
                    fix="give each its own name",
                )
            part = _array(self.arrays[self.places[name][0]]())
            if not is_numeric(part):
                raise DataError(
                    f"has {name} as {part.dtype}", where="the cloud", fix="give numbers"
                )
            parts.append(part[:, None] if part.ndim == 1 else part)
        if len({part.shape for part in parts}) > 1:
            sizes = " and ".join(f"{n} {p.shape}" for n, p in zip(names, parts, strict=True))
            raise DataError(f"has {sizes}", where="the cloud", fix="give as many numbers of each")
        joined: Array = parts[0] if len(parts) == 1 else _side_by_side(parts)
        wide = WIDTHS.get(feature, 1)
        if joined.ndim != 2 or joined.shape[1] != wide:
            raise DataError(
                f"has for {feature} an array of shape {joined.shape}, but it must be (n, {wide})",
                where="the cloud",
                fix=transpose_fix(joined, wide),
            )
        return joined


def _wanted(named: Named, features: Features) -> dict[str, Array]:
    """The features of named arrays.

    Raises:
        DataError: one that is not there, with what is; or see `Named.values`.
    """
    places = {feature: named.names_of(feature) for feature in features}
    if lacking := [feature for feature, names in places.items() if names is None]:
        if lacking[0] == "xyz":
            lacking[:1] = [axis for axis in "xyz" if axis not in named.places]
        there = ", ".join(map(str, named.arrays))[:160] or "nothing"
        raise DataError(
            f"has no {' and no '.join(lacking)}, but {there}",
            where="the cloud",
            fix=f"give {_form(features)}, or all of these by name",
        )
    found = {name: named.values(name, names) for name, names in places.items() if names}
    count = len(found["xyz"])
    for name, values in found.items():
        if len(values) != count:
            raise DataError(
                f"has {count} points and {len(values)} of {name}",
                where="the cloud",
                fix="give as many numbers of each",
            )
    return found


def _side_by_side(parts: list[Array]) -> Array:
    """Columns (n, 1) as (n, k), masked where one is."""
    values = np.concatenate([np.ma.getdata(part) for part in parts], axis=1)
    if not any(map(np.ma.isMaskedArray, parts)):
        return values
    masks = [np.ma.getmaskarray(part) for part in parts]
    masked: Array = np.ma.array(values, mask=np.concatenate(masks, axis=1))
    return masked


def _array(points: Any) -> Array:
    """An array of whatever may be one, masked where some of it is."""
    some_masked = isinstance(points, list | tuple) and any(map(np.ma.isMaskedArray, points))
    if some_masked or np.ma.isMaskedArray(points):
        masked: Array = np.ma.asarray(points)
        return masked
    return np.asarray(points)


def _unmasked(found: dict[str, Array]) -> dict[str, Array]:
    """The points of which nothing is masked.

    Raises:
        DataError: there are none.
    """
    masked = {name: each for name, each in found.items() if isinstance(each, np.ma.MaskedArray)}
    if not masked:
        return found
    count = len(found["xyz"])
    there = np.ones(count, bool)
    for each in masked.values():
        there &= ~np.ma.getmaskarray(each).any(axis=1)
    if count and not there.any():
        raise DataError(
            f"has {count} points, all masked", where="the cloud", fix="give one with points"
        )
    return {name: np.ma.getdata(each)[there] for name, each in found.items()}


def _form(features: Features) -> str:
    order = "" if features == XYZ else f", {format_features(features)}"
    return f"an (n, {width(features)}) array of numbers{order}"


def _no_numbers(array: Array, features: Features) -> DataError:
    names = array.dtype.names
    of = f"the fields {', '.join(names)[:80]}" if names else str(array.dtype)
    return DataError(f"a cloud of {of} was given", fix=f"give {_form(features)}")
