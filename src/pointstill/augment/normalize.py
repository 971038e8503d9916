"""Normalization: centred on the mean, scaled into the unit sphere, measured on the full cloud.

Version 1 measures all points; 2 leaves out strays (`points.strays`), of which no view shows any.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..points.strays import COUNT, QUANTILES, body, rank, spread

VERSION = 2
"""Of what is made now."""
VERSIONS = (1, 2)
"""Those that stores, runs and exported students may have."""


class Normalization(NamedTuple):
    """What normalises the clouds of a split."""

    parameters: np.ndarray
    """(S, 4) float32: the mean point and the largest distance from it."""
    strays: dict[int, np.ndarray]
    """Of clouds that have some: their places (k,) int64, in order."""


def sample(
    points: np.ndarray, offsets: np.ndarray, version: int = VERSION, chunk: int = 1 << 18
) -> Normalization:
    """Centre and radius of each cloud, and which of its points are strays.

    Args:
        points: (total, 3) float32, clouds end to end; may be memory-mapped.
        offsets: (S + 1,) where each cloud starts and ends.
        version: of the normalisation.
        chunk: points to read at once, about; bounds the memory.
    """
    parameters = np.empty((len(offsets) - 1, 4), np.float32)
    strays: dict[int, np.ndarray] = {}
    first = 0
    while first < len(parameters):
        last = int(np.searchsorted(offsets, offsets[first] + chunk, side="right")) - 1
        last = min(max(last, first + 1), len(parameters))
        starts = offsets[first:last] - offsets[first]
        sizes = np.diff(offsets[first : last + 1])
        block = np.asarray(points[offsets[first] : offsets[last]], np.float64)
        parameters[first:last] = _measure(block, starts, sizes)
        if version > 1:
            for number, places in _strays(block, starts, sizes).items():
                cloud = block[starts[number] : starts[number] + sizes[number]]
                rest = np.delete(cloud, places, axis=0)
                own = _measure(rest, np.zeros(1, np.int64), np.array([len(rest)]))
                parameters[first + number], strays[first + number] = own, places
        first = last
    return Normalization(parameters, strays)


def _measure(block: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean points and largest distances from them of clouds end to end: (S, 4) float32."""
    centre = (np.add.reduceat(block, starts) / sizes[:, None]).astype(np.float32)
    away = block - np.repeat(centre, sizes, axis=0)
    squared = np.maximum.reduceat((away * away).sum(axis=1), starts)
    return np.column_stack((centre, np.sqrt(squared).astype(np.float32)))


def _strays(block: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> dict[int, np.ndarray]:
    """Of clouds end to end that have strays: their places."""
    found = {}
    for size in np.unique(sizes):
        numbers = np.flatnonzero(sizes == size)
        step = max(1, (1 << 15) // max(size, COUNT))  # few at once: they stay in fast memory
        for some in np.split(numbers, range(step, len(numbers), step)):
            kept = body(block[starts[some, None] + np.arange(size)])
            for row in np.flatnonzero(~kept.all(axis=1)):
                found[int(some[row])] = np.flatnonzero(~kept[row])
    return found


def apply(points: Tensor, parameters: Tensor) -> Tensor:
    """Normalise (B, N, 3) points by (B, 4) centres and radii."""
    return (points - parameters[:, None, :3]) / parameters[:, None, 3:]


def unit_sphere(points: Tensor) -> Tensor:
    """Version 1 of (B, N, 3) points by themselves, with plain tensor operations (for export)."""
    # First to about one: in units far from that, squares and sums leave float32.
    points = points / points.abs().amax(dim=(1, 2), keepdim=True)
    # In float64, as in `sample`: a sum in float32 depends on the order of the points.
    points = points - points.double().mean(dim=1, keepdim=True).to(points.dtype)
    return points / torch.sqrt((points * points).sum(dim=2, keepdim=True).amax(dim=1, keepdim=True))


def without_strays(points: Tensor) -> tuple[Tensor, Tensor]:
    """Version 2 of (B, N, 3) points by themselves, with plain tensor operations (for export).

    The rule is that of `points.strays`, in float32: a point within rounding of its bounds may be a
    stray here and none there.

    Returns:
        The points, and which of them are no strays: (B, N, 3) and bool (B, N).
    """
    points = points / points.abs().amax(dim=(1, 2), keepdim=True)
    kept = _body(points)
    # Strays may be so far away that the rest, scaled with them, has squares of zero.
    there = kept[..., None]
    points = points / torch.where(there, points, 0.0).abs().amax(dim=(1, 2), keepdim=True)
    points = points - _mean(points.double(), kept).to(points.dtype)
    squared = torch.where(kept, (points * points).sum(dim=2), 0.0)
    return points / torch.sqrt(squared.amax(dim=1))[:, None, None], kept


def _body(points: Tensor) -> Tensor:
    """`points.strays.body`, of (B, N, 3) points: bool (B, N)."""
    places = spread(torch.arange(COUNT, device=points.device), points.shape[1])
    squared = _squares(points, points.mean(dim=1, keepdim=True))
    near = squared <= _beyond(squared[:, places], 10)[0]
    squared = _squares(points, _mean(points, near))
    bounds = _beyond(squared[:, places], *(part for part, _ in QUANTILES))
    kept = near.new_ones(())
    for (_, factor), bound in zip(QUANTILES, bounds, strict=True):
        kept = kept & (squared <= factor**2 * bound)
    return kept


def _squares(points: Tensor, middles: Tensor) -> Tensor:
    """Squared distances (B, N) of (B, N, 3) points from (B, 1, 3) middles."""
    return (points - middles).square().sum(dim=2)


def _mean(points: Tensor, some: Tensor) -> Tensor:
    """The mean (B, 1, 3) of some (B, N) of (B, N, 3) points."""
    total = torch.where(some[..., None], points, 0.0).sum(dim=1, keepdim=True)
    return total / some.sum(dim=1)[:, None, None]


def _beyond(squared: Tensor, *parts: int) -> list[Tensor]:
    """The values (B, 1) that a part-th of the values (B, COUNT) may be above, for each part."""
    largest = squared.topk(rank(min(parts)) + 1, dim=1).values
    return [largest[:, rank(part), None] for part in parts]
