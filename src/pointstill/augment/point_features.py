"""Features of points beside xyz, on their way through the operations."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..points.features import Features, columns

PointFeatures = dict[str, Tensor]
"""Feature -> its numbers (B, N, 1 to 3), in order; without xyz."""


def split_features(points: Tensor, features: Features) -> tuple[Tensor, PointFeatures]:
    """Points (B, N, 3 + F) -> xyz (B, N, 3) and the other features."""
    if len(features) == 1:
        return points, {}
    parts = {name: points[..., place] for name, place in columns(features).items()}
    # In one piece, as arithmetic may round otherwise: views are those of xyz alone, bit for bit.
    return parts.pop("xyz").contiguous(), parts


def join_features(points: Tensor, features: PointFeatures) -> Tensor:
    """Xyz (B, N, 3) and the other features side by side: (B, N, 3 + F)."""
    return torch.cat((points, *features.values()), dim=2) if features else points


def with_normal(features: PointFeatures, change: Callable[[Tensor], Tensor]) -> PointFeatures:
    """The features with other normals, if there are any."""
    if "normal" not in features:
        return features
    return features | {"normal": change(features["normal"])}


def taken(values: Tensor, places: Tensor) -> Tensor:
    """Rows (B, N) of values (B, N, width)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))
