"""Asking a network of unknown habits: which layout its input has, what its output means."""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import TeacherError

Layout = Literal["bn3", "b3n"]
Output = Literal["logits", "probabilities"]


def ask(module: nn.Module, points: Tensor, layout: Layout) -> object:
    """Whatever the network returns for clouds (B, N, 3)."""
    return module(points if layout == "bn3" else points.transpose(1, 2).contiguous())


def logits_of(answer: object, batch: int, classes: int, output: Output) -> Tensor:
    """The first (batch, classes) tensor in the answer, as logits.

    A log-softmax is kept as it is, since the softmax of it at any temperature is that of the
    logits; of probabilities the logarithm is taken.

    Raises:
        TeacherError: the answer has no such tensor.
    """
    tensors = list(_tensors(answer))
    for tensor in tensors:
        if tensor.shape == (batch, classes):
            # A probability can be too small for a float; its logarithm must stay finite.
            return tensor if output == "logits" else tensor.float().clamp_min(1e-38).log()
    rows = [tensor for tensor in tensors if tensor.ndim == 2 and len(tensor) == batch]
    if rows:
        raise TeacherError(
            f"it gives {rows[0].shape[1]} numbers a cloud, and the data has {classes} classes: "
            "choose the data set that it was trained on"
        )
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or type(answer).__name__
    raise TeacherError(
        f"its output ({shapes}) holds no tensor of shape (clouds, classes) = "
        f"({batch}, {classes}): wrap it in a module that returns the logits"
    )


def _tensors(answer: object) -> Iterator[Tensor]:
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for value in answer.values():
            yield from _tensors(value)
    elif isinstance(answer, (tuple, list)):
        for value in answer:
            yield from _tensors(value)


def sample_clouds(device: torch.device) -> Tensor:
    """Two clouds of 1,024 points on bumpy unit spheres, always the same: (2, 1024, 3)."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(2, 1024, 3, generator=generator)
    directions /= directions.square().sum(2, keepdim=True).sqrt()
    heights = 0.8 + 0.2 * torch.sin(4 * directions[:, :, :1] + 3 * directions[:, :, 1:2])
    return (directions * heights).to(device)


def find_layout(
    module: nn.Module, points: Tensor, classes: int, layout: Literal["auto", "bn3", "b3n"]
) -> Layout:
    """The layout with which a dry run on clouds (B, N, 3) gives (B, classes).

    Raises:
        TeacherError: neither layout works, or both do and differ.
    """
    candidates: list[Layout] = ["bn3", "b3n"] if layout == "auto" else [layout]
    works: dict[Layout, Tensor] = {}
    failures: list[str] = []
    misfit: TeacherError | None = None
    for candidate in candidates:
        try:
            answer = ask(module, points, candidate)
        except Exception as error:  # any code may be in there
            reason = (str(error).splitlines() or [""])[0]
            failures.append(f"{candidate}: {type(error).__name__}: {reason}")
            continue
        try:
            works[candidate] = logits_of(answer, len(points), classes, "logits")
        except TeacherError as error:
            misfit = error
    if not works:
        raise misfit or TeacherError(
            f"a dry run on two clouds failed ({'; '.join(failures)}): "
            "it must take points (B, N, 3), or (B, 3, N), and return logits"
        )
    if len(works) == 2 and not torch.allclose(works["bn3"], works["b3n"], rtol=1e-3, atol=1e-5):
        raise TeacherError(
            "it takes points (B, N, 3) and (B, 3, N) alike, with different results: "
            "say which one is meant by --layout bn3 or b3n"
        )
    return next(iter(works))


def find_output(scores: Tensor) -> Output:
    """What (B, C) numbers look like: probabilities when non-negative with rows that sum to 1."""
    sums = scores.float().sum(1)
    if bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return "probabilities"
    return "logits"
