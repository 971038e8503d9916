"""Asking a network of unknown habits: which layout its input has, what its output means."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import TeacherError

if TYPE_CHECKING:
    from .teacher import Network

Layout = Literal["bn3", "b3n"]
Output = Literal["logits", "probabilities"]
MORE = range(4, 12)
"""Numbers a point that features may make of the three of xyz."""


def ask(network: "Network", points: Tensor, layout: Layout, classes: int) -> Tensor:
    """The first (B, classes) tensor in the network's answer to clouds (B, N, 3 + F).

    A network that takes a fixed number of clouds is asked as often as needed; the last batch is
    filled up with copies of its last cloud.

    Raises:
        TeacherError: the answer has no such tensor.
        Exception: whatever the network raises.
    """
    if layout == "b3n":
        points = points.transpose(1, 2).contiguous()
    if network.batch is None:
        return scores_of(network(points), len(points), classes)
    found = []
    for some in torch.split(points, network.batch):
        filled = torch.cat([some, some[-1:].expand(network.batch - len(some), -1, -1)])
        found.append(scores_of(network(filled), network.batch, classes)[: len(some)])
    return torch.cat(found)


def scores_of(answer: object, batch: int, classes: int) -> Tensor:
    """The first (batch, classes) tensor in an answer.

    Raises:
        TeacherError: there is none.
    """
    tensors = list(_tensors(answer))
    for tensor in tensors:
        if tensor.shape == (batch, classes):
            return tensor
    rows = [tensor for tensor in tensors if tensor.ndim == 2 and len(tensor) == batch]
    if rows:
        raise TeacherError(
            f"it gives {rows[0].shape[1]} numbers a cloud, and there are {classes} classes: choose "
            "the data set that it was trained on, or name its own classes by --class-names and "
            "map them by --class-map"
        )
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or type(answer).__name__
    raise TeacherError(
        f"its output ({shapes}) holds no tensor of shape (clouds, classes) = "
        f"({batch}, {classes}): wrap it in a module that returns the logits"
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


def _tensors(answer: object) -> Iterator[Tensor]:
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for value in answer.values():
            yield from _tensors(value)
    elif isinstance(answer, (tuple, list)):
        for value in answer:
            yield from _tensors(value)


def sample_clouds(device: torch.device, points: int = 1024, channels: int = 3) -> Tensor:
    """Two clouds on bumpy unit spheres, always the same: (2, points, channels).

    Features are stood for by directions, which are between -1 and 1.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(2, points, 3, generator=generator)
    directions /= directions.square().sum(2, keepdim=True).sqrt()
    heights = 0.8 + 0.2 * torch.sin(4 * directions[:, :, :1] + 3 * directions[:, :, 1:2])
    features = directions[..., torch.arange(channels - 3) % 3]
    return torch.cat((directions * heights, features), 2).to(device)


class Input(NamedTuple):
    """What an input declares; None: free, or unknown."""

    batch: int | None
    points: int | None
    layout: Layout | None
    channels: int | None


def input_shape(shape: Sequence[int | None], channels: int = 3) -> Input:
    """Read a declared input, of 3 numbers a point or of as many as the data has.

    Raises:
        TeacherError: it is no input for clouds.

    >>> input_shape((None, None, 3))
    Input(batch=None, points=None, layout='bn3', channels=3)
    >>> input_shape((1, 6, 2048), channels=6)
    Input(batch=1, points=2048, layout='b3n', channels=6)
    """
    for width in (3, channels):
        if len(shape) == 3 and shape[2] == width:
            return Input(shape[0], shape[1], "bn3", width)
        if len(shape) == 3 and shape[1] == width:
            return Input(shape[0], shape[2], "b3n", width)
    more = [size for size in shape[1:] if size in MORE]
    if len(shape) == 3 and len(more) == 1:
        raise TeacherError(
            f"it takes {more[0]} numbers a point, and is given {channels}: give --features of so "
            "many, as it was made for"
        )
    if len(shape) == 3 and None in shape[1:]:
        return Input(shape[0], None, None, None)
    said = ", ".join("any" if size is None else str(size) for size in shape)
    raise TeacherError(f"it takes an input of shape ({said}): it must be (B, N, 3) or (B, 3, N)")


def find_layout(
    network: "Network", points: Tensor, classes: int, layout: Literal["auto", "bn3", "b3n"]
) -> tuple[Layout, Tensor]:
    """The layout with which a dry run on clouds (B, N, 3 + F) gives (B, classes), and its scores.

    Raises:
        TeacherError: neither layout works, or both do and differ.
    """
    known: list[Layout] = [network.layout] if network.layout else ["bn3", "b3n"]
    candidates: list[Layout] = known if layout == "auto" else [layout]
    works: dict[Layout, Tensor] = {}
    failures: list[str] = []
    misfit: TeacherError | None = None
    for candidate in candidates:
        try:
            works[candidate] = ask(network, points, candidate, classes)
        except TeacherError as error:
            misfit = error
        except Exception as error:  # any code may be in there
            reason = (str(error).splitlines() or [""])[0]
            failures.append(f"{candidate}: {type(error).__name__}: {reason}")
    if not works:
        width = points.shape[2]
        alone = "; if it takes xyz alone, say `features: [xyz]` in its description"
        alone = alone if width > 3 else ""
        raise misfit or TeacherError(
            f"a dry run on two clouds of {points.shape[1]} points failed ({'; '.join(failures)}): "
            f"it must take points (B, N, {width}), or (B, {width}, N), and return logits{alone}"
        )
    if len(works) == 2 and not torch.allclose(works["bn3"], works["b3n"], rtol=1e-3, atol=1e-5):
        raise TeacherError(
            "it takes points (B, N, 3) and (B, 3, N) alike, with different results: "
            "say which one is meant by --layout bn3 or b3n"
        )
    return next(iter(works.items()))


def find_output(scores: Tensor) -> Output:
    """What (B, C) numbers look like: probabilities when non-negative with rows that sum to 1."""
    sums = scores.float().sum(1)
    if bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return "probabilities"
    return "logits"
