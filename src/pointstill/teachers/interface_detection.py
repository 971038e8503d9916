"""What a network leaves unsaid, found by asking it about sample clouds.

Which layout its input has, what its output means, and whether its logits depend on the cloud alone.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import TeacherError
from .description import MOST
from .network import Layout, Network, Output, ask, error_summary
from .teacher import NetworkTeacher, Teacher

WITH_FEATURES = range(4, 12)
"""Numbers a point that features may make of the three of xyz."""
LAYOUTS: tuple[Layout, ...] = ("bn3", "b3n")


MOST_CLOUDS = 10_000
"""The most clouds that a network may take at once."""


class Input(NamedTuple):
    """What an input declares; None: free, or unknown."""

    batch: int | None
    points: int | None
    layout: Layout | None
    channels: int | None


def input_shape(shape: Sequence[int | None], channels: int = 3) -> Input:
    """Read a declared input, of 3 numbers a point or of as many as the data has.

    Raises:
        TeacherError: it is no input for clouds; without `where`.

    >>> input_shape((None, None, 3))
    Input(batch=None, points=None, layout='bn3', channels=3)
    >>> input_shape((1, 6, 2048), channels=6)
    Input(batch=1, points=2048, layout='b3n', channels=6)
    """
    most = (MOST_CLOUDS, MOST, MOST)
    beyond = [
        n for n, size in zip(shape, most, strict=False) if n is not None and not 0 < n <= size
    ]
    if beyond:
        raise TeacherError(
            f"takes an input of {beyond[0]:,}, and at most {MOST_CLOUDS:,} clouds of {MOST:,} "
            "points are asked about at once",
            fix="export it again with sizes that are free",
        )
    for width in (3, channels):
        if len(shape) == 3 and shape[2] == width:
            return Input(shape[0], shape[1], "bn3", width)
        if len(shape) == 3 and shape[1] == width:
            return Input(shape[0], shape[2], "b3n", width)
    more = [size for size in shape[1:] if size in WITH_FEATURES]
    if len(shape) == 3 and len(more) == 1:
        raise TeacherError(
            f"takes {more[0]} numbers a point, and is given {channels}",
            fix="give --features of so many, as it was made for",
        )
    if len(shape) == 3 and None in shape[1:]:
        return Input(shape[0], None, None, None)
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    raise TeacherError(
        f"takes an input of shape ({sizes}), which is neither (B, N, 3) nor (B, 3, N)",
        fix="wrap it in a module that takes points",
    )


def sample_clouds(device: torch.device, points: int = 1024, channels: int = 3) -> Tensor:
    """A bumpy unit sphere and a flat one, always the same clouds: (2, points, channels).

    They are unlike, as what is averaged over a batch would not show in two that are nearly equal.
    Features are stood for by directions, which are between -1 and 1.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(2, points, 3, generator=generator)
    directions /= directions.square().sum(2, keepdim=True).sqrt()
    heights = 0.8 + 0.2 * torch.sin(4 * directions[:, :, :1] + 3 * directions[:, :, 1:2])
    flat = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.5, 0.25]])[:, None]
    features = directions[..., torch.arange(channels - 3) % 3]
    return torch.cat((directions * heights * flat, features), 2).to(device)


def detect(
    network: Network, points: Tensor, classes: int, layout: Layout | None, output: Output | None
) -> tuple[Layout, Output]:
    """Layout and output of a network by a dry run on clouds (B, N, 3 + F), where they are None.

    Raises:
        TeacherError: it cannot be asked so, or does not give what it is said to; without `where`.
    """
    with torch.inference_mode():
        layout, scores = find_layout(network, points, classes, layout)
    found = find_output(scores)
    if output == "probabilities" != found:
        raise TeacherError("gives no probabilities (rows that sum to 1)", fix="leave out --output")
    return layout, output or found


def find_layout(
    network: Network, points: Tensor, classes: int, layout: Layout | None
) -> tuple[Layout, Tensor]:
    """The layout with which a dry run on clouds (B, N, 3 + F) gives (B, classes), and its scores.

    Raises:
        TeacherError: neither layout works, or both do and differ; without `where`.
    """
    declared = layout or network.layout
    works: dict[Layout, Tensor] = {}
    failures: list[str] = []
    misfit: TeacherError | None = None
    for candidate in [declared] if declared else LAYOUTS:
        try:
            works[candidate] = ask(network, points, candidate, classes)
        except TeacherError as error:
            misfit = error
        except Exception as error:  # any code may be in there
            failures.append(f"{candidate}: {error_summary(error)}")
    if not works:
        raise misfit or _failed(points, failures)
    if len(works) == 2 and not torch.allclose(works["bn3"], works["b3n"], rtol=1e-3, atol=1e-5):
        raise TeacherError(
            "takes points (B, N, 3) and (B, 3, N) alike, with different results",
            fix="say which one is meant by --layout bn3 or b3n",
        )
    return next(iter(works.items()))


def _failed(points: Tensor, failures: list[str]) -> TeacherError:
    """What to raise when a network fails in every layout."""
    width = points.shape[2]
    alone = ", or say `features: [xyz]` in its description if it takes xyz alone"
    return TeacherError(
        f"failed in a dry run on two clouds of {points.shape[1]} points ({'; '.join(failures)})",
        fix=f"make it take points (B, N, {width}) or (B, {width}, N) and return logits"
        + (alone if width > 3 else ""),
    )


def find_output(scores: Tensor) -> Output:
    """What (B, C) numbers look like: probabilities when non-negative with rows that sum to 1."""
    sums = scores.float().sum(1)
    if bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return "probabilities"
    return "logits"


def batch_dependence(teacher: Teacher, points: Tensor) -> float:
    """Largest difference between a logit of a cloud alone and in a batch: (B, N, 3) -> number.

    Infinite when the teacher cannot classify a cloud alone (BatchNorm in training needs two).
    """
    together = teacher.logits(points)
    try:
        alone = torch.cat([teacher.logits(cloud) for cloud in torch.split(points, 1)])
    except TeacherError:
        return float("inf")
    return float((together - alone).abs().max())


def check_dependence(teacher: NetworkTeacher, points: Tensor) -> None:
    """Warn when logits depend on anything but the cloud, beyond a thousandth of their spread.

    Args:
        teacher: to be asked.
        points: clouds (B, N, 3 + F) to ask about.

    Warns:
        UserWarning: a prediction depends on chance, or on the rest of its batch.

    Raises:
        TeacherError: it cannot be asked about one cloud alone.
    """
    logits = teacher.logits(points)
    tolerance = 1e-3 * float(logits.max() - logits.min())
    if float((teacher.logits(points) - logits).abs().max()) > tolerance:
        warnings.warn(
            f"teacher {teacher.spec} draws at random in eval mode: its records cannot be "
            "reproduced; fix its seed or its start of farthest point sampling",
            stacklevel=4,
        )
        return
    difference = batch_dependence(teacher, points)
    if math.isinf(difference):
        raise TeacherError(
            "takes several clouds and fails on one alone",
            where=f"teacher {teacher.spec}",
            fix="look for BatchNorm that uses batch statistics (is it in eval mode?), or a "
            "squeezed dimension",
        )
    if difference > tolerance:
        warnings.warn(
            f"teacher {teacher.spec}: a prediction depends on the rest of its batch (logits "
            f"differ by {difference:.2g}): look for BatchNorm that uses batch statistics",
            stacklevel=4,
        )
