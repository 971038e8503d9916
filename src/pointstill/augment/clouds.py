"""The clouds of a split on the device that trains."""

import numpy as np
import torch
from torch import Tensor

from ..curve import along_curve
from ..features import XYZ, Extra, Features, columns
from . import normalize, resample


class Clouds:
    """All clouds of a split on one device, with their centres and radii."""

    features: Features = XYZ
    """What the numbers of a point are."""
    up: str = "z"
    """The axis along which height is measured."""

    def __init__(
        self,
        points: np.ndarray,
        offsets: np.ndarray,
        device: str | torch.device = "cpu",
        extra: Extra | None = None,
    ):
        """Take (total, 3) float32 points, which may be memory-mapped, and (S + 1,) offsets.

        Features beside them go with each point, height in radii of its cloud.
        """
        frame = normalize.sample(points, offsets)
        self.points = torch.from_numpy(np.asarray(points, np.float32).copy()).to(device)
        self.starts = torch.from_numpy(np.asarray(offsets[:-1], np.int64).copy()).to(device)
        self.sizes = torch.from_numpy(np.diff(offsets).astype(np.int64)).to(device)
        self.frame = torch.from_numpy(frame).to(device)
        self.extra: torch.Tensor | None = None
        if extra:
            self.features, self.up = extra.names, extra.up
            values = np.array(extra.values, np.float32)
            if place := columns(self.features).get("height"):
                values[:, place.start - 3] /= np.repeat(frame[:, 3], np.diff(offsets))
            self.extra = torch.from_numpy(values).to(device)

    def __len__(self) -> int:
        return len(self.sizes)

    def take(self, shapes: Tensor, indices: Tensor) -> Tensor:
        """Points `indices` (B, N) of clouds `shapes` (B,), normalised by the full cloud.

        Returns:
            (B, N, 3 + F), with the features of each point.
        """
        rows = self.starts[shapes][:, None] + indices
        points = self.points.index_select(0, rows.reshape(-1)).reshape(*rows.shape, 3)
        points = normalize.apply(points, self.frame[shapes])
        if self.extra is None:
            return points
        extra = self.extra.index_select(0, rows.reshape(-1)).reshape(*rows.shape, -1)
        return torch.cat((points, extra), dim=2)

    def plain(self, shapes: Tensor, count: int) -> Tensor:
        """The view of evaluation, (B, count, 3 + F): no augmentation.

        A cloud of `count` points is taken as it is; of others, points at equal strides along a
        space-filling curve, so that their order does not matter.
        """
        indices = resample.stride(self.sizes[shapes], count)
        for row, size in enumerate(self.sizes[shapes].tolist()):
            if size != count:
                every = torch.arange(size, device=shapes.device)[None]
                order = along_curve(self.take(shapes[row, None], every))[0]
                indices[row] = order[indices[row]]
        return self.take(shapes, indices)
