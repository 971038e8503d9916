"""From the columns of a file to the features of a cloud: one unit for each, whatever the file."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..points.features import WIDTHS, Features, format_features
from ..points.validity import STEPS, finite, is_numeric

Array = NDArray[Any]
VERSION = 2
"""Raised when the same file would give other features, so that caches are read again."""
BEYOND = float(1 << 24)
"""Where float32 has no step of 1 any more: times since 1970 or 1980 are beyond, in any unit."""


def features_in(table: Mapping[str, Array]) -> list[str]:
    """The features that a table gives, in the usual order; height follows from xyz.

    Channels come last, by name.
    """
    known = [name for name in WIDTHS if name in table or name in ("xyz", "height")]
    return known + sorted(table.keys() - WIDTHS.keys())


def no_feature(asked: Iterable[str], there: Iterable[str]) -> DataError:
    """The error for features that are not there; the fix has the nearest names."""
    asked, there = sorted(asked), list(there)
    near = [get_close_matches(name, there, n=1) for name in asked]
    meant = ", ".join(f"did you mean {names[0]}" for names in near if names)
    return DataError(
        f"has no {' and no '.join(asked)}, but {format_features(there)[:600]}",
        fix=(f"{meant}? Or " if meant else "") + "give --features of these, or name a column in "
        "--columns",
    )


def feature_values(table: Mapping[str, Array], features: Features, up: str) -> NDArray[np.float32]:
    """The features of a cloud beside xyz: (n, F) float32, in the order of `features`.

    Args:
        table: feature -> numbers as they are in the file, `xyz` among them.
        features: which are wanted, `xyz` first; height needs none of them.
        up: the axis along which height is measured.

    Raises:
        DataError: a feature that is not there, or holds what it cannot mean: a predicate of the
            cloud, which the caller names.

    Warns:
        UserWarning: a channel that float32 rounds; see `_channel`.
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
            raise no_feature([feature], features_in(table))
        if values.shape != (count, WIDTHS.get(feature, 1)) or not is_numeric(values):
            raise DataError(
                f"has for {feature} an array of {values.dtype} {values.shape}, but it must be "
                f"numbers ({count}, {WIDTHS.get(feature, 1)})"
            )
        units = UNITS.get(feature) or partial(_channel, feature)
        parts.append(units(values).astype(np.float32))
    return np.concatenate(parts, axis=1)


def _normal(values: Array) -> Array:
    """Of unit length. A point whose normal is zero or not finite is unknown: it gets zeros."""
    values = values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    known = np.isfinite(lengths) & (lengths > 0)
    if not known.any():
        raise DataError("has normals that are all zero, NaN or infinite", fix="compute them")
    unit: Array = np.divide(values, lengths, out=np.zeros_like(values), where=known)
    return unit


def _colour(values: Array) -> Array:
    """0 to 1: of 8 and 16 bits by their largest value; else 0 to 1 or 0 to 255, as it looks.

    In 16 bits a cloud with none above 255 has colours of 8, as many writers of LAS leave them.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:  # of either byte order
        wide = values.dtype.itemsize == 2 and values.max() > 255
        return values / np.float64(65535 if wide else 255)
    values = values.astype(np.float64)
    if not (values.min() >= 0 and values.max() <= 255):  # NaN compares false
        raise DataError(
            f"has colours from {values.min():g} to {values.max():g}",
            fix="give 0 to 1, 0 to 255, or 16 bits without sign",
        )
    return values / (255 if values.max() > 1 else 1)


def _intensity(values: Array) -> Array:
    """0 to 1: divided by the cloud's largest, as sensors differ and files do not say their scale.

    All zero stays so.
    """
    values = values.astype(np.float64)
    if not (values.min() >= 0 and values.max() < np.inf):
        raise DataError(
            f"has intensities from {values.min():g} to {values.max():g}",
            fix="give finite ones, not negative",
        )
    return values / (values.max() or 1)


def _channel(name: str, values: Array) -> Array:
    """As it is in the file; one that lies beyond `BEYOND` runs from the cloud's smallest.

    Of such numbers, mostly times, float32 would keep nothing.
    """
    there = finite(values)
    if not there.all():
        raise DataError(
            f"has {np.sum(~there)} of {len(values)} points whose {name} is NaN or infinite",
            fix=f"remove those points, or leave {name} out (--drop-missing looks at coordinates)",
        )
    low, high = values.min(), values.max()
    beyond = low >= BEYOND or high <= -BEYOND
    # In their own type, as whole numbers of 64 bits are finer than float64.
    moved = (values - low if beyond else values).astype(np.float64)
    step = np.spacing(np.float32(max(abs(float(low)), abs(float(high)))))
    few = values.dtype.kind == "f" and 0 < float(high) - float(low) < STEPS * step
    # What stays is rounded now, and what is moved was before if it is float32 already.
    if few and (values.astype(np.float32) == values).all() == beyond:
        warnings.warn(
            f"{name} is so far from 0 that float32 has less than {STEPS} steps for it within a "
            "cloud: keep it in float64, and subtract a number from it",
            stacklevel=2,
        )
    return moved


UNITS: dict[str, Callable[[Array], Array]] = {
    "normal": _normal,
    "colour": _colour,
    "intensity": _intensity,
}
"""Of features whose meaning is known."""
