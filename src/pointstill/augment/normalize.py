"""Normalization: centred on the mean, scaled into the unit sphere, measured on the full cloud.

Version 1 measures all points; 2 leaves out strays (`points.strays`), of which no view shows any.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..points.onnx_nodes import divided
from ..points.strays import COUNT, QUANTILES, STRETCHES, WHOLE, body, bounds, spread

VERSION = 2
"""Of what is made now."""
VERSIONS = (1, 2)
"""Those that stores, runs and exported students may have."""
FAR = 1e3
"""Strays are taken to be no farther along an axis, in sizes of the nearest nine tenths."""


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
            for number, places in _strays(block, starts, sizes, parameters[first:last]).items():
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


def _strays(
    block: np.ndarray, starts: np.ndarray, sizes: np.ndarray, parameters: np.ndarray
) -> dict[int, np.ndarray]:
    """Of clouds end to end that have strays: their places."""
    found = {}
    for size in np.unique(sizes):
        numbers, places = np.flatnonzero(sizes == size), spread(STRETCHES, int(size))
        for some in np.split(numbers, range(64, len(numbers), 64)):  # they stay in fast memory
            middle, bound = bounds(np.take(block, starts[some, None] + places, axis=0))
            # No point can be farther from the middle: of most clouds a few points tell enough.
            reach = np.linalg.norm(parameters[some, :3] - middle, axis=1) + parameters[some, 3]
            for number in some[(1 + 1e-6) * reach**2 > bound].tolist():
                cloud = block[starts[number] : starts[number] + size]
                if len(strays := np.flatnonzero(~body(cloud[None])[0])):
                    found[number] = strays
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
    # As planes (B, 3, n): ONNX Runtime is slow where three numbers go with each point. Stacked, not
    # transposed, as it would move a transposition behind all that follows.
    planes, places = torch.stack(points.unbind(2), 1), _spread(points)
    middle, size = _middle(planes.index_select(2, places))
    # Bounded, as strays may be so far away that their squares leave float32.
    planes = ((planes - middle) / size).clamp(-FAR, FAR)
    squared = (planes * planes).sum(dim=1)
    farthest = _largest(squared.index_select(1, places))
    bounds = [factor**2 * farthest[:, COUNT // part, None] for part, factor in QUANTILES]
    kept = squared <= torch.minimum(*bounds)
    # In float64, as in `sample`: a sum in float32 depends on the order of the points.
    there = kept.double()[:, None]
    count = there.sum(dim=2, keepdim=True)
    planes = planes - ((there * planes).sum(dim=2, keepdim=True) / count).float()
    radius = torch.sqrt(((planes * planes).sum(dim=1) * kept).amax(dim=1))
    return torch.stack((planes / radius[:, None, None]).unbind(1), 2), kept


def _spread(points: Tensor) -> Tensor:
    """Places of some of points (B, n, 3), as `strays.spread` has them: (COUNT,).

    In parts, so that up to 16 million points no product needs more than 32 bits: OpenVINO has no
    more, and would take other points without a word.
    """
    size = torch.scalar_tensor(points.shape[1], dtype=torch.int64, device=points.device)
    stretches = torch.from_numpy(STRETCHES).to(points.device)
    # (number + part / WHOLE) (whole + rest / COUNT), with the fractions of all products at the end.
    number, part = stretches // WHOLE, stretches % WHOLE
    whole, rest = divided(size, COUNT), torch.fmod(size, COUNT)
    first, second = part * whole, number * rest
    left = torch.fmod(first, WHOLE) * COUNT + torch.fmod(second, COUNT) * WHOLE + part * rest
    places = number * whole + divided(first, WHOLE) + divided(second, COUNT)
    return places + divided(left, COUNT * WHOLE)


def _middle(planes: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the nine tenths of some points (B, 3, COUNT) that are nearest the mean of all.

    Returns:
        It, (B, 3, 1), and how far those points are from it along an axis at most, (B, 1, 1).
    """
    # First to about one: in units far from that, squares and sums leave float32.
    size = planes.abs().amax(dim=(1, 2), keepdim=True)
    planes = planes / size
    away = planes - planes.mean(dim=2, keepdim=True)
    squared = (away * away).sum(dim=1)
    near = (squared <= _largest(squared)[:, -1:]).to(planes.dtype)[:, None]
    middle = (near * planes).sum(dim=2, keepdim=True) / near.sum(dim=2, keepdim=True)
    within = (near * (planes - middle)).abs().amax(dim=(1, 2), keepdim=True)
    return middle * size, within * size


def _largest(values: Tensor) -> Tensor:
    """The largest tenth of values (B, COUNT), and the next: (B, COUNT // 10 + 1)."""
    return values.topk(COUNT // 10 + 1, dim=1).values
