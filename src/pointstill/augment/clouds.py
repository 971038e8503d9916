"""The clouds of a split for the device that trains."""

import warnings
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..points.features import XYZ, Extra, Features, columns
from ..points.zorder import along_curve
from . import normalize, resample


class Ragged(Protocol):
    """What of a split makes its clouds; see `data.Split`."""

    @property
    def points(self) -> np.ndarray:
        """(total, 3) float32."""

    @property
    def offsets(self) -> np.ndarray:
        """(S + 1,)."""

    @property
    def extra(self) -> Extra | None:
        """Features beside the points."""


class Clouds:
    """All clouds of a split without their strays, with their centres and radii.

    On a CPU, and on a GPU that they would fill, the points stay where they are: of a memory-mapped
    file a batch reads its own points only, and what is read can leave memory again.
    """

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
        version: int = normalize.VERSION,
    ):
        """Take (total, 3) float32 points, which may be memory-mapped, and (S + 1,) offsets.

        Features beside them go with each point, height in radii of its cloud, above its lowest
        point that is no stray. From version 2 of the normalisation on, clouds are without their
        strays.
        """
        self.version = version
        normalization, strays = normalize.sample(points, offsets, version)
        sizes = np.diff(offsets).astype(np.int64)
        self.before: dict[int, Tensor] = {}
        """Of clouds that have strays: how many other points come before each."""
        for shape, places in strays.items():
            sizes[shape] -= len(places)
            self.before[shape] = torch.from_numpy(places - np.arange(len(places))).to(device)
        self.points = _as_they_are(np.asarray(points, np.float32))
        if _fits(points.nbytes + (extra.values.nbytes if extra else 0), torch.device(device)):
            self.points = self.points.to(device)
        self.starts = torch.from_numpy(np.asarray(offsets[:-1], np.int64).copy()).to(device)
        self.sizes = torch.from_numpy(sizes).to(device)
        self.normalization = torch.from_numpy(normalization).to(device)
        self.extra: Tensor | None = None
        self.height: int | None = None  # its place among the extra numbers
        if extra:
            self.features, self.up = extra.names, extra.up
            if place := columns(self.features).get("height"):
                self.height = place.start - 3
                self.lowest = _lowest(extra.values[:, self.height], offsets, strays).to(device)
            self.extra = _as_they_are(np.asarray(extra.values, np.float32)).to(self.points.device)

    @classmethod
    def of(
        cls, split: Ragged, device: str | torch.device = "cpu", version: int = normalize.VERSION
    ) -> "Clouds":
        """All clouds of a split, with whatever features it was opened with."""
        return cls(split.points, split.offsets, device, split.extra, version)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def device(self) -> torch.device:
        """Where views are made; the points themselves may be elsewhere."""
        return self.normalization.device

    def take(self, shapes: Tensor, indices: Tensor) -> Tensor:
        """Points `indices` (B, N) of clouds `shapes` (B,), normalised by the full cloud.

        Returns:
            (B, N, 3 + F), with the features of each point.
        """
        rows = self.starts[shapes][:, None] + self._places(shapes, indices)
        rows = rows.to(self.points.device)
        points = self.points.index_select(0, rows.reshape(-1)).reshape(*rows.shape, 3)
        points = normalize.apply(points.to(self.device), self.normalization[shapes])
        if self.extra is None:
            return points
        extra = self.extra.index_select(0, rows.reshape(-1)).reshape(*rows.shape, -1)
        extra = extra.to(self.device)
        if self.height is not None:
            extra[..., self.height] -= self.lowest[shapes, None]
            extra[..., self.height] /= self.normalization[shapes, 3:]
        return torch.cat((points, extra), dim=2)

    def _places(self, shapes: Tensor, indices: Tensor) -> Tensor:
        """Where points (B, N) are in their clouds, strays counted as well."""
        if not self.before:
            return indices
        places = indices.clone()
        for row, shape in zip(places, shapes.tolist(), strict=True):
            if shape in self.before:
                row += torch.searchsorted(self.before[shape], row, right=True)
        return places

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


def _lowest(height: np.ndarray, offsets: np.ndarray, strays: dict[int, np.ndarray]) -> Tensor:
    """The least height (S,) of a point that is no stray; 0 where there are none."""
    lowest = torch.zeros(len(offsets) - 1)
    for shape, places in strays.items():
        own = np.delete(height[offsets[shape] : offsets[shape + 1]], places)
        lowest[shape] = float(own.min())
    return lowest


def _as_they_are(points: np.ndarray) -> Tensor:
    """A tensor of the very memory of an array, or of its file."""
    with warnings.catch_warnings():
        # The file is open for reading alone; nothing here writes to points.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(points)


def _fits(size: int, device: torch.device) -> bool:
    """Whether a device has room for so many bytes, and as many again."""
    if device.type != "cuda":
        return True
    return size <= torch.cuda.mem_get_info(device)[0] / 2
