"""What a model costs: parameters, operations, and the time for one cloud on one CPU thread."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..errors import TrainingError, UsageError
from ..models import build_model
from ..progress import Track
from ..storage.files import write_whole

Classify = Callable[[Tensor], Tensor]
"""Clouds (B, N, 3) -> logits (B, C)."""


@dataclass(frozen=True)
class Profile:
    """The cost of one model, freshly initialised, for one cloud."""

    name: str
    parameters: int
    flops: int
    """Floating-point operations of matrix products, 2 per multiply-add."""
    torch_ms: float
    """Median on one thread of eager torch, normalisation and grouping included."""
    onnx_ms: float | None
    """The same in ONNX Runtime; None where the model cannot be written as ONNX."""

    @property
    def best_ms(self) -> float:
        """The faster of the two."""
        return self.torch_ms if self.onnx_ms is None else min(self.torch_ms, self.onnx_ms)


def profile(
    names: Sequence[str], *, classes: int = 40, points: int = 1024, seconds: float = 3.0
) -> list[Profile]:
    """Measure built-in models side by side, in turns, so that all see the same machine.

    Args:
        names: from `models.MODELS`.
        classes: of each model.
        points: of the one cloud that all classify.
        seconds: to spend on each model and runtime, about.

    Raises:
        UsageError: there is no model of that name, or too few points or classes.
    """
    if points < 16 or classes < 2:
        raise UsageError(
            f"a profile of {points} points and {classes} classes says nothing",
            fix="choose 16 points and 2 classes or more",
        )
    # Brings ONNX, which `evaluate` does not need.
    from ..deployment.exporting import Deployed, onnx_session

    models = {name: Deployed(build_model(name, classes), points).eval() for name in names}
    cloud = sample_cloud(points, torch.device("cpu"))
    works: dict[tuple[str, str], Callable[[], object]] = {}
    with Track("onnx", len(models), "models") as track:
        for name, model in models.items():
            works[name, "torch"] = lambda model=model: model(cloud)  # type: ignore[misc]
            try:
                session = onnx_session(model, points)
                feed = {"points": cloud.numpy()}
                works[name, "onnx"] = lambda session=session, feed=feed: session.run(None, feed)  # type: ignore[misc]
            except TrainingError:
                pass
            track.advance(1, name)
    with one_thread(), torch.inference_mode():
        times = in_turns(works, seconds)
    return [
        Profile(
            name=name,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            flops=operations(model, points, torch.device("cpu")),
            torch_ms=times[name, "torch"],
            onnx_ms=times.get((name, "onnx")),
        )
        for name, model in models.items()
    ]


def in_turns(
    works: dict[tuple[str, str], Callable[[], object]], seconds: float, rounds: int = 10
) -> dict[tuple[str, str], float]:
    """Median milliseconds of each piece of work, measured in rounds that go through all."""
    times: dict[tuple[str, str], list[float]] = {name: [] for name in works}
    for work in works.values():  # warm-up
        work()
    with Track("profile", rounds * len(works), "turns") as track:
        for _ in range(rounds):
            for name, work in works.items():
                began, mine = time.perf_counter(), times[name]
                while True:
                    started = time.perf_counter()
                    work()
                    mine.append(time.perf_counter() - started)
                    if time.perf_counter() - began > seconds / rounds:
                        break
                track.advance(1)
    return {name: 1e3 * statistics.median(mine) for name, mine in times.items()}


def operations(
    classify: Classify, points: int, device: torch.device, channels: int = 3, clouds: int = 1
) -> int:
    """Floating-point operations of matrix products for one cloud of so many, 2 per multiply-add."""
    counter = FlopCounterMode(
        display=False,
        # Attention as it is computed on a CPU, which the counter does not know.
        custom_mapping={
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
                lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
            )
        },
    )
    with torch.inference_mode(), counter:
        classify(sample_cloud(points, device, channels).expand(clouds, -1, -1))
    return int(counter.get_total_flops()) // clouds


def latency(
    classify: Classify,
    points: int,
    device: torch.device,
    seconds: float = 1.0,
    most: int = 50,
    channels: int = 3,
    clouds: int = 1,
) -> float:
    """Median milliseconds for one cloud of so many, on one CPU thread, or on the GPU."""
    cloud = sample_cloud(points, device, channels).expand(clouds, -1, -1)
    times: list[float] = []
    with one_thread(), torch.inference_mode():
        classify(cloud)
        while len(times) < 3 or (sum(times) < seconds and len(times) < most):
            started = time.perf_counter()
            classify(cloud).cpu()
            times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times) / clouds


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one CPU thread; afterwards on as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def processor() -> str:
    """Name of the CPU, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names: set[str] = set()
    for entry in ("model name", "Model", "Hardware"):  # x86; and ARM, where they have any
        told = (line.partition(":")[2].strip() for line in lines if line.startswith(entry))
        names = names or {name for name in told if name}
    name = ", ".join(sorted(names)) or platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} cores)"


def surroundings(threads: int) -> dict[str, Any]:
    """When, in what and on what something is measured."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "processor": processor(),
        "threads": threads,
    }


def write_profile(profiles: list[Profile], points: int, path: Path) -> None:
    """Write profiles as JSON, whole or not at all, with what they were measured on.

    Raises:
        OSError: it cannot be written.
    """
    models = [asdict(each) for each in profiles]
    content = surroundings(threads=1) | {"points": points, "models": models}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def sample_cloud(points: int, device: torch.device, channels: int = 3) -> Tensor:
    """Points all over an ellipsoid in the unit sphere, always the same: (1, points, channels)."""
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(1, points, 3, generator=generator)
    cloud /= torch.linalg.vector_norm(cloud, dim=2, keepdim=True)
    # As flat as things are: models with ball queries have as much work with this ellipsoid as with
    # clouds of ModelNet40 (within 5 %), and less than half of it with a sphere.
    features = cloud[..., torch.arange(channels - 3) % 3]
    return torch.cat((cloud * torch.tensor([1, 0.5, 0.25]), features), 2).to(device)
