"""Features of points on their way through the operations."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..points.features import Features, columns

Carried = dict[str, Tensor]
"""Feature -> its numbers (B, N, 1 to 3), in order; without xyz."""


def apart(points: Tensor, features: Features) -> tuple[Tensor, Carried]:
    """Points (B, N, 3 + F) -> xyz (B, N, 3) and the other features."""
    if len(features) == 1:
        return points, {}
    parts = {name: points[..., place] for name, place in columns(features).items()}
    # In one piece, as arithmetic may round otherwise: views are those of xyz alone, bit for bit.
    return parts.pop("xyz").contiguous(), parts


def joined(points: Tensor, features: Carried) -> Tensor:
    """Xyz (B, N, 3) and the other features side by side: (B, N, 3 + F)."""
    return torch.cat((points, *features.values()), dim=2) if features else points


def with_normal(features: Carried, change: Callable[[Tensor], Tensor]) -> Carried:
    """The features with other normals, if there are any."""
    if "normal" not in features:
        return features
    return features | {"normal": change(features["normal"])}
