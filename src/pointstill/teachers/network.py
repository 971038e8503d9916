"""A network: what somebody's code or file computes, and how it is asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..errors import TeacherError
from ..points.features import Features
from ..run import TrainedOn
from ..storage.calibration import AS_THEY_ARE, Calibration

Layout = Literal["bn3", "b3n"]
"""Of the input: (B, N, 3 + F) or (B, 3 + F, N)."""
Output = Literal["logits", "probabilities"]


class Network(Protocol):
    """What code or a file computes, with its own layout, axes and class order; the narrow part."""

    device: torch.device
    batch: int | None
    """Clouds that it takes at once, neither more nor fewer; None: any number."""
    points: int | None
    """Points that it takes of a cloud, neither more nor fewer; None: any number."""
    layout: Layout | None
    """Of its input, if it says."""
    channels: int | None
    """Numbers a point that it takes, if it says."""
    counted: bool
    """Whether torch does its arithmetic, and so can count its operations."""

    @property
    def parameters(self) -> int | None:
        """Number of weights, if known."""

    @property
    def nbytes(self) -> int | None:
        """Size of weights and buffers, if known."""

    def __call__(self, points: Tensor) -> object:
        """Whatever it answers to clouds in its layout."""

    def identity(self) -> Iterator[bytes]:
        """What decides its answers: the bytes to hash."""


@dataclass(frozen=True)
class Loaded:
    """A network, and what its file or folder says of it."""

    network: Network
    classes: Sequence[str] | None = None
    """Its class names, in the order of its answer."""
    points: int | None = None
    """Points per cloud that it was trained on."""
    up: str | None = None
    """The up axis of the data that it was trained on."""
    trained_on: TrainedOn | None = None
    features: Features | None = None
    """What it takes of each point."""
    calibration: Calibration = AS_THEY_ARE
    """How its logits are read."""


def ask(network: Network, points: Tensor, layout: Layout, classes: int) -> Tensor:
    """The first (B, classes) tensor in the network's answer to clouds (B, N, 3 + F).

    A network that takes a fixed number of clouds is asked as often as needed; the last batch is
    filled up with copies of its last cloud.

    Raises:
        TeacherError: the answer has no such tensor; without `where`.
        Exception: whatever the network raises.
    """
    if layout == "b3n":
        points = points.transpose(1, 2).contiguous()
    if network.batch is None:
        return scores_of(network(points), len(points), classes)
    scores = []
    for some in torch.split(points, network.batch):
        filled = torch.cat([some, some[-1:].expand(network.batch - len(some), -1, -1)])
        scores.append(scores_of(network(filled), network.batch, classes)[: len(some)])
    return torch.cat(scores)


def scores_of(answer: object, batch: int, classes: int) -> Tensor:
    """The first (batch, classes) tensor in an answer.

    Raises:
        TeacherError: there is none; without `where`.
    """
    tensors = list(_tensors(answer))
    for tensor in tensors:
        if tensor.shape == (batch, classes):
            return tensor
    rows = [tensor for tensor in tensors if tensor.ndim == 2 and len(tensor) == batch]
    if rows:
        raise TeacherError(
            f"gives {rows[0].shape[1]} numbers a cloud, and there are {classes} classes",
            fix="choose the data set that it was trained on, or name its own classes by "
            "--class-names and map them by --class-map",
        )
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or type(answer).__name__
    raise TeacherError(
        f"has an output ({shapes}) that holds no tensor of shape (clouds, classes) = "
        f"({batch}, {classes})",
        fix="wrap it in a module that returns the logits",
    )


def as_logits(scores: Tensor, output: Output) -> Tensor:
    """Scores (B, C) as logits.

    A log-softmax is kept as it is, since the softmax of it at any temperature is that of the
    logits; of probabilities the logarithm is taken.
    """
    if output == "logits":
        return scores
    # A probability can be too small for a float; its logarithm must stay finite.
    return scores.float().clamp_min(1e-38).log()


def error_summary(error: BaseException) -> str:
    """An error of foreign code in one line."""
    return f"{type(error).__name__}: {' '.join((str(error).splitlines() or [''])[0].split())[:200]}"


def _tensors(answer: object) -> Iterator[Tensor]:
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for value in answer.values():
            yield from _tensors(value)
    elif isinstance(answer, (tuple, list)):
        for value in answer:
            yield from _tensors(value)
