"""How the channels of a data set are scaled: by middle and spread in the training shapes."""

import warnings

import numpy as np
from numpy.typing import NDArray

from ..data import Split
from ..points.features import WIDTHS, Scale, columns
from ..recipe import Scaling

SAMPLE = 1 << 20
"""Points that are looked at, where the shapes have more."""
RANGES = ((0.25, 0.75), (0.05, 0.95), (0.0, 1.0))
"""Parts of the points between which a spread is measured: the first that is more than nothing."""
GOLDEN = 0.6180339887498949


def channel_scales(
    split: Split, shapes: NDArray[np.int64], scaling: Scaling
) -> dict[str, Scale] | None:
    """Median and interquartile range of each channel over the points of some shapes.

    Every point counts alike, so large clouds more. Normals, colours, intensities and heights have
    units of their own (see `data.channels`), and none of these.

    Args:
        split: of the training shapes.
        shapes: (R,) those that are trained on.
        scaling: `robust`, or `none`: channels stay as they are.

    Returns:
        The scales by name; None where points have nothing beside x, y and z.

    Warns:
        UserWarning: a channel is one number everywhere, and tells nothing.
    """
    extra = split.extra
    if extra is None:
        return None
    channels = {n: place for n, place in columns(extra.names).items() if n not in WIDTHS}
    if scaling == "none" or not channels:
        return {}
    values = extra.values[_some_points(split, shapes)]
    return {name: _scale(name, values[:, p.start - 3]) for name, p in channels.items()}


def _some_points(split: Split, shapes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the split's points: all of the shapes', or `SAMPLE` spread by the golden ratio.

    Not at equal strides, as what a sensor writes ring by ring may repeat with any.
    """
    sizes = split.sizes[shapes]
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    if total <= SAMPLE:
        places = np.arange(total)
    else:
        places = np.sort((np.arange(SAMPLE) * GOLDEN % 1 * total).astype(np.int64))
    which = np.searchsorted(ends, places, side="right")
    rows: NDArray[np.int64] = split.offsets[shapes][which] + places - (ends - sizes)[which]
    return rows


def _scale(name: str, values: NDArray[np.float32]) -> Scale:
    """Of a channel (n,)."""
    wide = values.astype(np.float64)
    median = float(np.float32(np.median(wide)))
    for part in RANGES:
        low, high = np.quantile(wide, part)
        spread = float(np.float32(high - low))
        if spread >= np.finfo(np.float32).tiny:
            return Scale(median, spread)
    warnings.warn(
        f"{name} is {median:g} in all training shapes, and tells nothing: leave it out of "
        "--features",
        stacklevel=3,
    )
    return Scale(median, 1.0)
