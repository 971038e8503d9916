"""The clouds of a split on the device that trains."""

import numpy as np
import torch
from torch import Tensor

from ..curve import along_curve
from . import normalize, resample


class Clouds:
    """All clouds of a split on one device, with their centres and radii."""

    def __init__(self, points: np.ndarray, offsets: np.ndarray, device: str | torch.device = "cpu"):
        """Take (total, 3) float32 points, which may be memory-mapped, and (S + 1,) offsets."""
        frame = normalize.sample(points, offsets)
        self.points = torch.from_numpy(np.asarray(points, np.float32).copy()).to(device)
        self.starts = torch.from_numpy(np.asarray(offsets[:-1], np.int64).copy()).to(device)
        self.sizes = torch.from_numpy(np.diff(offsets).astype(np.int64)).to(device)
        self.frame = torch.from_numpy(frame).to(device)

    def __len__(self) -> int:
        return len(self.sizes)

    def take(self, shapes: Tensor, indices: Tensor) -> Tensor:
        """Points `indices` (B, N) of clouds `shapes` (B,), normalised by the full cloud."""
        rows = self.starts[shapes][:, None] + indices
        points = self.points.index_select(0, rows.reshape(-1)).reshape(*rows.shape, 3)
        return normalize.apply(points, self.frame[shapes])

    def plain(self, shapes: Tensor, count: int) -> Tensor:
        """The view of evaluation, (B, count, 3): no augmentation.

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
