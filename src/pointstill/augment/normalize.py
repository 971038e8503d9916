"""Normalization: centred on the mean, scaled into the unit sphere, measured on the full cloud."""

import numpy as np
import torch
from torch import Tensor

VERSION = 1


def sample(points: np.ndarray, offsets: np.ndarray, chunk: int = 1 << 18) -> np.ndarray:
    """Centre and radius of each cloud.

    Args:
        points: (total, 3) float32, clouds end to end; may be memory-mapped.
        offsets: (S + 1,) where each cloud starts and ends.
        chunk: points to read at once, about; bounds the memory.

    Returns:
        (S, 4) float32: the mean point and the largest distance from it.
    """
    parameters = np.empty((len(offsets) - 1, 4), np.float32)
    first = 0
    while first < len(parameters):
        last = int(np.searchsorted(offsets, offsets[first] + chunk, side="right")) - 1
        last = min(max(last, first + 1), len(parameters))
        starts = offsets[first:last] - offsets[first]
        sizes = np.diff(offsets[first : last + 1])
        block = np.asarray(points[offsets[first] : offsets[last]], np.float64)
        centre = (np.add.reduceat(block, starts) / sizes[:, None]).astype(np.float32)
        away = block - np.repeat(centre, sizes, axis=0)
        squared = np.maximum.reduceat((away * away).sum(axis=1), starts)
        parameters[first:last, :3], parameters[first:last, 3] = centre, np.sqrt(squared)
        first = last
    return parameters


def apply(points: Tensor, parameters: Tensor) -> Tensor:
    """Normalise (B, N, 3) points by (B, 4) centres and radii."""
    return (points - parameters[:, None, :3]) / parameters[:, None, 3:]


def unit_sphere(points: Tensor) -> Tensor:
    """Normalise (B, N, 3) points by themselves, with plain tensor operations (for export)."""
    # First to about one: in units far from that, squares and sums leave float32.
    points = points / points.abs().amax(dim=(1, 2), keepdim=True)
    # In float64, as in `sample`: a sum in float32 depends on the order of the points.
    points = points - points.double().mean(dim=1, keepdim=True).to(points.dtype)
    return points / torch.sqrt((points * points).sum(dim=2, keepdim=True).amax(dim=1, keepdim=True))
