"""From the columns of a file to the features of a cloud: one unit for each, whatever the file."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ForbiddenError
from ..points.features import WIDTHS, Features, format_features
from ..points.validity import are_numbers, present
from .cache import Entry

if TYPE_CHECKING:
    from .dataset import Dataset, Shape, SplitName

Array = NDArray[Any]
VERSION = 1
"""Raised when the same file would give other features, so that caches are read again."""


def offered(shapes: Iterable["Shape"]) -> list[str]:
    """The features that can be asked for, in the usual order, told by the first readable shape.

    Of ten: where those cannot be read, nothing but xyz is known.
    """
    for shape in islice(shapes, 10):
        try:
            return _there(shape.table() if shape.table else {})
        except ForbiddenError:
            raise
        except DataError:
            continue
    return _there({})


def featured(
    data: "Dataset", split: "SplitName", entry: Entry
) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield (name, label, features (n, F)) of every cloud of a cached split, in its order.

    Raises:
        DataError: the data has not what was asked for, or a cloud holds what it cannot mean.
    """
    names, ends = entry.meta["names"], entry.offsets
    files = {*data.features} - {"xyz", "height"}
    there = data.offers(split) if files else ()
    if missing := [name for name in files if name not in there]:
        raise DataError(
            f"{data.name}: has no {' and no '.join(sorted(missing))}, but {format_features(there)}: give "
            "--features of these, or take data whose files name such columns"
        )
    kept = {*names}  # what was bad is left out here too
    shapes = (shape for shape in data.source.shapes(split) if shape.name in kept)
    tables = (shape.table() if shape.table else {} for shape in shapes)
    for i, table in enumerate(tables if files else [{}] * len(names)):
        points = entry.points[ends[i] : ends[i + 1]]
        if table and data.drop_missing:
            table = _present(table)
        yield (
            names[i],
            int(entry.labels[i]),
            channels(names[i], {**table, "xyz": points}, data.features, data.up),
        )
        if data.progress:
            data.progress(i + 1, len(names))


def channels(
    name: str, table: Mapping[str, Array], features: Features, up: str
) -> NDArray[np.float32]:
    """The features of a cloud beside xyz: (n, F) float32, in the order of `features`.

    Args:
        name: of the cloud, for the error.
        table: feature -> numbers as they are in the file, `xyz` among them.
        features: which are wanted, `xyz` first; height needs none of them.
        up: the axis along which height is measured.

    Raises:
        DataError: a feature that is not there, or holds what it cannot mean.
    """
    count = len(table["xyz"])
    parts = [np.empty((count, 0), np.float32)]
    for feature in features[1:]:
        if feature == "height":
            along = table["xyz"][:, "xyz".index(up)].astype(np.float64)
            parts.append((along - along.min())[:, None].astype(np.float32))
            continue
        values = table.get(feature)
        if values is None:
            raise DataError(f"{name}: has no {feature}; it has {format_features(_there(table))}")
        if values.shape != (count, WIDTHS[feature]) or not are_numbers(values):
            raise DataError(
                f"{name}: {feature} is an array of {values.dtype} {values.shape}, but must be "
                f"numbers ({count}, {WIDTHS[feature]})"
            )
        parts.append(UNITS[feature](name, values).astype(np.float32))
    return np.concatenate(parts, axis=1)


def _present(table: Mapping[str, Array]) -> dict[str, Array]:
    """A table without the points that are missing; what has another length is refused later."""
    kept = present(table["xyz"][:, :3])
    return {name: each[kept] if len(each) == len(kept) else each for name, each in table.items()}


def _there(table: Mapping[str, Array]) -> list[str]:
    return [name for name in WIDTHS if name in table or name in ("xyz", "height")]


def _normal(name: str, values: Array) -> Array:
    """Of unit length. A point whose normal is zero or not finite is unknown: it gets zeros."""
    values = values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    known = np.isfinite(lengths) & (lengths > 0)
    if not known.any():
        raise DataError(f"{name}: all normals are zero, NaN or infinite: compute them")
    unit: Array = np.divide(values, lengths, out=np.zeros_like(values), where=known)
    return unit


def _colour(name: str, values: Array) -> Array:
    """0 to 1: of 8 and 16 bits by their largest value; else 0 to 1 or 0 to 255, as it looks."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:  # of either byte order
        return values / np.float64(np.iinfo(values.dtype).max)
    values = values.astype(np.float64)
    if not (values.min() >= 0 and values.max() <= 255):  # NaN compares false
        raise DataError(
            f"{name}: colours run from {values.min():g} to {values.max():g}: they must be 0 to 1, "
            "0 to 255, or 16 bits without sign"
        )
    return values / (255 if values.max() > 1 else 1)


def _intensity(name: str, values: Array) -> Array:
    """0 to 1: divided by the cloud's largest, as sensors differ and files do not say their scale.

    All zero stays so.
    """
    values = values.astype(np.float64)
    if not (values.min() >= 0 and values.max() < np.inf):
        raise DataError(
            f"{name}: intensities run from {values.min():g} to {values.max():g}: they must be "
            "finite and not negative"
        )
    return values / (values.max() or 1)


UNITS = {"normal": _normal, "colour": _colour, "intensity": _intensity}
