"""A teacher, whatever it came from: clouds of the data set in, logits in its class order out."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import TeacherError
from .frame import Axes, turned
from .speak import Layout, Output, ask, logits_of


@dataclass(frozen=True)
class Teacher:
    """A classifier in eval mode, and how to speak to it; `load_teacher` makes it."""

    spec: str
    """What the user typed: a model, a run folder, or package.module:callable."""
    classes: tuple[str, ...]
    """Class names of the data, in the order of the logits."""
    module: nn.Module
    """The network itself, with its own layout, axes and class order."""
    device: torch.device
    """Where it runs."""
    points: int | None
    """Points per cloud that it was trained with, if known."""
    layout: Layout
    """Of its input."""
    output: Output
    """Whether it gives logits (or their log-softmax) or probabilities."""
    axes: Axes | None
    """Its axes in terms of the data's; None: the same."""
    order: tuple[int, ...] | None
    """Its columns in the data's class order; None: the same."""
    fingerprint: str
    """SHA-256 (hex) of all that decides its logits; see `fingerprint`."""

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def logits(self, points: Tensor) -> Tensor:
        """Clouds (B, N, 3) in the data's axes -> logits (B, C) float32 in the data's class order.

        Raises:
            TeacherError: a logit is not finite, or the output has not the shape of the dry run.
        """
        with torch.inference_mode():
            points = turned(points.to(self.device), self.axes)
            answer = ask(self.module, points, self.layout)
            logits = logits_of(answer, len(points), len(self.classes), self.output).float()
            bad = ~logits.isfinite().all(1)
            if bad.any():
                raise TeacherError(
                    f"teacher {self.spec} gives NaN or infinite logits for {int(bad.sum())} of "
                    f"{len(points)} clouds: check its weights, --frame and --layout"
                )
            return logits if self.order is None else logits[:, list(self.order)]


def fingerprint(
    module: nn.Module,
    layout: Layout,
    output: Output,
    axes: Axes | None,
    order: tuple[int, ...] | None,
) -> str:
    """SHA-256 (hex) of all named tensors, sorted by name, and of how the network is spoken to."""
    digest = hashlib.sha256(repr((layout, output, axes, order)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy())
    return digest.hexdigest()


def batch_dependence(teacher: Teacher, points: Tensor) -> float:
    """Largest difference between a logit of a cloud alone and in a batch: (B, N, 3) -> number.

    Infinite when the teacher cannot classify a cloud alone (BatchNorm in training needs two).
    """
    together = teacher.logits(points)
    try:
        alone = torch.cat([teacher.logits(cloud) for cloud in torch.split(points, 1)])
    except ValueError:  # of torch.nn.functional.batch_norm
        return float("inf")
    return float((together - alone).abs().max())
