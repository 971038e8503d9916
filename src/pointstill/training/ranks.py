"""Several processes that train one model: each takes its share of every batch.

torchrun starts the ranks; gradients are averaged by DistributedDataParallel (Li et al., VLDB 2020).
BatchNorm sees the shard of its rank. After every step all ranks hold the same weights, buffers,
averages and past, bit for bit: those of the first rank, which alone writes the run folder.

For a process by itself every function here gives back what it was given.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from .. import torchrun
from ..errors import UsageError
from ..run import Run, at_work
from ..storage.calibration import Calibration
from .device import pick_device

T = TypeVar("T")


def start(device: str) -> Fabric:
    """Join the other ranks: on a GPU each (NCCL), or on CPUs (gloo).

    Raises:
        UsageError: a device that ranks cannot have one each of, or machines with other numbers of
            ranks.
    """
    here, world = int(os.environ["LOCAL_WORLD_SIZE"]), torchrun.world()
    if world % here:
        raise UsageError(
            f"{here} of {world} ranks are on this machine",
            fix="give every machine the same --nproc-per-node",
        )
    if device in ("auto", "cuda") and torch.cuda.is_available():
        if here > torch.cuda.device_count():
            raise UsageError(
                f"{here} ranks are on this machine, and {torch.cuda.device_count()} GPUs",
                fix="choose a smaller --nproc-per-node, or --device cpu",
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    picked = pick_device(device)
    if picked.type not in ("cpu", "cuda") or picked.index is not None:
        raise UsageError(
            f"device {device!r} is a single one, and there are {world} ranks",
            fix="choose auto, cuda or cpu, and every rank takes its own",
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # no banner
    warnings.filterwarnings("ignore", "`broadcast_buffers`")  # torch 2.13 begins to rename it
    fabric = Fabric(
        accelerator=picked.type,
        devices=here,
        num_nodes=world // here,
        strategy=DDPStrategy(broadcast_buffers=False),  # `same_buffers` does it, after the step
    )
    torchrun.watch()
    fabric.launch()
    return fabric


def several() -> bool:
    """Whether this process has joined others."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process among all; 0 for a process by itself."""
    return dist.get_rank() if several() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if several() else 1


@contextmanager
def one_run(out: str | Path, recipe: dict[str, Any]) -> Iterator[Run]:
    """Begin a run, or go on with it: in its folder on the first rank, on paper on the others.

    Raises:
        TrainingError: see `run.at_work` and `Run.begin`.
    """
    with nullcontext() if rank() else at_work(out):
        run = None if rank() else Run.begin(out, recipe)
        finished = from_first(run and run.finished)
        yield run or Follower(out, recipe, bool(finished))
        from_first(None)  # none goes on before the folder is complete


class Follower(Run):
    """The run on every rank but the first, whose folder may be out of reach: nothing is written."""

    finished = False

    def __init__(self, out: str | Path, recipe: dict[str, Any], finished: bool):
        super().__init__(out, recipe)
        self.finished = finished

    def save_state(self, state: dict[str, Any]) -> None:
        """Leave it to the first rank."""

    def load_state(self) -> dict[str, Any] | None:
        """Leave it to the first rank."""
        return None

    def log(self, line: dict[str, Any]) -> None:
        """Leave it to the first rank."""

    def calibrate(self, calibration: Calibration) -> None:
        """Leave it to the first rank."""

    def finish(self, weights: dict[str, Tensor]) -> None:
        """Leave it to the first rank."""
        self.finished = True


def shard(rows: Tensor) -> Tensor:
    """This rank's share of rows (R, ...); the first ranks may have one more than the last."""
    return rows.tensor_split(world())[rank()] if several() else rows


def from_first(thing: T) -> T:
    """What the first rank was given."""
    if not several():
        return thing
    box = [thing]
    dist.broadcast_object_list(box)
    return box[0]


def most(number: int, device: torch.device) -> int:
    """The largest number of any rank, where clocks may differ and a signal may reach one alone."""
    if not several():
        return number
    largest = torch.tensor([number], dtype=torch.int64, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def of_each(thing: T) -> list[T]:
    """What each rank was given, in their order."""
    if not several():
        return [thing]
    things: list[Any] = [None] * world()
    dist.all_gather_object(things, thing)
    return things


def total(value: Tensor) -> Tensor:
    """The sum over the ranks, of a tensor of the same shape on each."""
    if several():
        dist.all_reduce(value := value.clone())
    return value


def all_gather(rows: Tensor) -> Tensor:
    """The rows (r, ...) of all ranks, in their order: (R, ...); their numbers may differ."""
    if not several():
        return rows
    counts = [rows.new_zeros(1, dtype=torch.int64) for _ in range(world())]
    dist.all_gather(counts, torch.full_like(counts[0], len(rows)))
    longest = int(torch.cat(counts).max())
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


@torch.no_grad()
def same_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of the first: the running statistics of BatchNorm."""
    if not several():
        return
    buffers = [each for each in model.buffers() if each.is_floating_point()]
    if not buffers:
        return
    flat = torch.cat([each.flatten() for each in buffers])
    dist.broadcast(flat, 0)
    parts = torch.split(flat, [each.numel() for each in buffers])
    for each, part in zip(buffers, parts, strict=True):
        each.copy_(part.view_as(each))
