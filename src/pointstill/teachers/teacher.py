"""What a teacher is, whatever it came from: clouds of the data in, logits in its order out."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..augment import resample
from ..errors import TeacherError
from ..points.features import XYZ, Features, columns
from ..run import TrainedOn
from ..storage.calibration import AS_THEY_ARE, Calibration
from .axes import Axes, permute_axes
from .classes import Columns, select_columns
from .network import Layout, Network, Output, as_logits, ask, error_summary


class Teacher(Protocol):
    """All that recording and evaluation ask of a teacher; `load_teacher` makes them."""

    @property
    def spec(self) -> str:
        """What the user typed, in short."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the data, in the order of the logits."""

    @property
    def points(self) -> int | None:
        """Points per cloud that it was made for, if known."""

    @property
    def device(self) -> torch.device:
        """Where it runs, and where clouds are best put."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides its logits."""

    @property
    def parameters(self) -> int | None:
        """Number of weights, if known."""

    @property
    def nbytes(self) -> int | None:
        """Size of weights and buffers, if known."""

    @property
    def counted(self) -> bool:
        """Whether torch does the arithmetic, and so can count its operations."""

    @property
    def votes(self) -> int:
        """Views of a cloud that its logits are the mean of; 1 without voting."""

    def logits(self, points: Tensor) -> Tensor:
        """Clouds (B, N, 3) in the data's axes -> logits (B, C) float32 in the data's class order.

        One that was loaded for data with features is given those too: (B, N, 3 + F).

        Raises:
            TeacherError: it fails, or a logit is not finite.
        """


@dataclass(frozen=True, eq=False)
class NetworkTeacher:
    """One network in eval mode, and how it is asked."""

    spec: str
    classes: tuple[str, ...]
    network: Network
    points: int | None
    layout: Layout
    output: Output
    """Whether it gives logits (or their log-softmax) or probabilities."""
    axes: Axes | None
    """Its axes in terms of the data's; None: the same."""
    columns: Columns
    """Which of its answers make each class of the data; None: they are the same."""
    names: tuple[str, ...]
    """Its own class names, in the order of its answer."""
    fingerprint: str
    """See the function of that name."""
    checked_on: str | None = None
    """Fingerprint of a training split on which its axes are known to be right."""
    trained_on: TrainedOn | None = None
    """What it has seen, if it is a run or an exported student."""
    data_features: Features = XYZ
    """What it is given of each point: the features that the data was opened with."""
    features: Features = XYZ
    """What of that its network takes, in the network's order."""
    calibration: Calibration = AS_THEY_ARE
    """How its logits are read, if it is a run or an exported student of the data's classes."""

    votes = 1

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.network.device

    @property
    def parameters(self) -> int | None:
        """Number of weights, if known."""
        return self.network.parameters

    @property
    def nbytes(self) -> int | None:
        """Size of weights and buffers, if known."""
        return self.network.nbytes

    @property
    def counted(self) -> bool:
        """Whether torch does the arithmetic."""
        return self.network.counted

    def logits(self, points: Tensor) -> Tensor:
        """See `Teacher.logits`; of a network of fixed size, only so many of the points are seen."""
        with torch.inference_mode():
            points = select_features(points.to(self.device), self.data_features, self.features)
            points = permute_axes(points, self.axes, self.features)
            scores = self._asked(self._sized(points))
            logits = select_columns(as_logits(scores, self.output).float(), self.columns)
            bad = ~logits.isfinite().all(1)
            if bad.any():
                raise TeacherError(
                    f"gives NaN or infinite logits for {int(bad.sum())} of {len(points)} clouds",
                    where=f"teacher {self.spec}",
                    fix="check its weights, --axes and --layout",
                )
            return logits

    def _asked(self, points: Tensor) -> Tensor:
        """Its scores (B, own classes), with any failure named."""
        where = f"teacher {self.spec}"
        try:
            return ask(self.network, points, self.layout, len(self.names))
        except TeacherError as error:
            raise error.but(where=where) from error
        except Exception as error:  # any code may be in there
            raise TeacherError(
                f"fails on {len(points)} clouds of {points.shape[1]} points "
                f"({error_summary(error)})",
                where=where,
                fix="try another --batch-size or --points",
            ) from error

    def _sized(self, points: Tensor) -> Tensor:
        """As many of the points as a network of fixed size takes."""
        wanted, found = self.network.points, points.shape[1]
        if wanted and found < wanted:
            raise TeacherError(
                f"takes {wanted} points, neither more nor fewer, and was given {found}",
                where=f"teacher {self.spec}",
                fix=f"give --points {wanted} or more (students may see fewer)",
            )
        return subsample(points, wanted)


def select_features(points: Tensor, features: Features, wanted: Features) -> Tensor:
    """Some of the features of points (B, N, 3 + F), in another order."""
    if features == wanted:
        return points
    places = columns(features)
    return torch.cat([points[..., places[name]] for name in wanted], 2)


def subsample(points: Tensor, count: int | None) -> Tensor:
    """At most `count` of the points (B, N, 3 + F), at equal strides in the order of the view.

    A view of records is in keyed order, so that the part is a keyed draw too.
    """
    if count is None or points.shape[1] <= count:
        return points
    size = torch.tensor([points.shape[1]], device=points.device)
    return points[:, resample.stride(size, count)[0]]


def fingerprint(
    network: Network,
    layout: Layout,
    output: Output,
    axes: Axes | None,
    columns: Columns,
    features: Features = XYZ,
) -> str:
    """SHA-256 (hex) of what decides the network's answers, and of how it is asked."""
    habits = (layout, output, axes, columns, *((features,) if features != XYZ else ()))
    digest = hashlib.sha256(repr(habits).encode())
    for part in network.identity():
        digest.update(part)
    return digest.hexdigest()
