"""The loop that `train` and `distill` share: batch, replay, forward, loss, step."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from .. import torchrun
from ..augment import Clouds, Pipeline
from ..errors import TrainingError, UsageError
from ..losses import LOSSES, Targets
from ..losses.nwsd import schedule
from ..progress import Track
from ..recipe import FitOptions, LossOptions
from ..run import Run, spoilt
from . import ranks
from .device import keep_memory, pick_device, pick_precision, set_threads
from .past import SelfTeacher, averaged
from .shuffling import Order, Windowed, Windows, seed_of


@dataclass(frozen=True)
class View:
    """What is known of one view of all training shapes, on the device that trains."""

    number: int
    order: Order  # of the R training shapes in this epoch
    parameters: Tensor | Windowed  # (R, columns) float32
    teacher: Tensor | Windowed | None  # (R, C) logits


class Views(Protocol):
    """Where views come from: drawn afresh, or recorded."""

    windows: Windows
    """What of a view is in memory at once."""

    def view(self, epoch: int) -> View:
        """The view of an epoch."""


@dataclass(frozen=True)
class Material:
    """What a model is trained on; all tensors on the device that trains."""

    clouds: Clouds
    pipeline: Pipeline
    views: Views
    shapes: Tensor  # (R,) int64, training shapes as indices in the split
    labels: Tensor  # (S,) int64, of the whole split
    validation: Tensor  # (V,) int64, held-out shapes as indices in the split
    points: int


def start_fabric(options: FitOptions) -> Fabric:
    """The device and threads of a run.

    Raises:
        UsageError: no such device, or one of several ranks that torchrun did not start.
    """
    set_threads(options.threads)
    keep_memory()
    if torchrun.world() > 1:
        return ranks.start(options.device)
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torchrun did not start this process: "
            "start several ranks with `torchrun -m pointstill`, or unset WORLD_SIZE to train in one"
        )
    device = pick_device(options.device)
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.type == "cpu" else [device.index or 0],
    )
    fabric.launch()
    return fabric


def fit(
    fabric: Fabric,
    run: Run,
    model: nn.Module,
    material: Material,
    past: SelfTeacher,
    loss_options: LossOptions,
    options: FitOptions,
    quiet: bool = False,
) -> None:
    """Train a model to the end of its recipe, from wherever the run folder has it.

    Killed at any moment, the same call ends with the same weights, bit for bit (given the same
    torch, device and number of threads).

    Args:
        fabric: from `start_fabric`.
        run: the run folder; gets metrics, resume state and the finished weights.
        model: the model, freshly seeded.
        material: clouds, views, shapes.
        past: the student's past; `Present` when the loss needs none.
        loss_options: which loss.
        options: how to optimise.
        quiet: report nothing.

    Raises:
        TrainingError: the loss, a step or a weight is not finite; the last good state is kept.
    """
    device, loss = fabric.device, LOSSES[loss_options.loss]
    # Not Fabric's own precision, which would round the points themselves to bfloat16.
    half = pick_precision(options.precision, device) == "bf16-mixed"
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=half)
    optimizer = torch.optim.AdamW(_groups(model, options.weight_decay), lr=options.learning_rate)
    average = averaged(model, options.ema) if options.ema else None
    wrapped, optimizer = fabric.setup(model, optimizer)
    count = len(material.shapes)
    # Batches of nearly equal size: none is tiny, and none (nor a rank's share of it) of one shape,
    # which BatchNorm refuses.
    steps = max(1, min(round(count / options.batch_size), count // (2 * ranks.world())))
    state = _State(run, model, optimizer, average, past, device)
    state.resume()

    with Track(
        loss_options.loss,
        options.epochs * count,
        "shapes",
        done=state.epoch * count + _shapes_before(state.step, count, steps),
        quiet=quiet,
    ) as track:
        for epoch in range(state.epoch, options.epochs):
            view = material.views.view(epoch)
            state.begin_epoch(epoch, options.seed)
            for step, batch in enumerate(_batches(view.order.rows, steps, device)):
                progress = (epoch * steps + step) / (options.epochs * steps)
                rate = learning_rate(progress, options)
                if step < state.step:  # done before the run was killed
                    continue
                for group in optimizer.param_groups:
                    group["lr"] = rate

                # 1. Replay: the recorded view of each shape, from its parameters and its key.
                rows = ranks.shard(batch)
                shapes = material.shapes[rows]
                points = material.pipeline.replay(
                    material.clouds, view.number, shapes, view.parameters[rows], material.points
                )
                # 2. Forward: the student now and, once the schedule asks for it, its past.
                wrapped.train()
                scheduled = schedule(progress, loss_options.beta)
                with mixed:
                    logits = wrapped(points).float()
                    s = past.logits(points, epoch, rows) if scheduled else None
                # 3. Loss, and its parts for the log.
                teacher = None if view.teacher is None else view.teacher[rows]
                targets = Targets(material.labels[shapes], teacher, s, scheduled)
                parts = loss.function(logits, targets, loss_options)
                # 4. Step, unless that would spoil the weights. The mean of the ranks' gradients is
                # that of the whole batch once each counts by its share.
                fabric.backward(parts["loss"] * (len(rows) * ranks.world() / len(batch)))
                norm = fabric.clip_gradients(
                    wrapped,
                    optimizer,
                    max_norm=options.clip or math.inf,
                    error_if_nonfinite=False,
                )
                assert norm is not None
                if not torch.isfinite(parts["loss"] + norm):
                    wrong = f"the loss is {parts['loss'].item()}, the norm of its gradient {norm}"
                    raise TrainingError(f"{_lost(run, wrong, epoch, step)}, or a bounded --form")
                try:
                    optimizer.step()
                except RuntimeError as error:
                    if "overflow" not in str(error):
                        raise
                    # AdamW's first steps are up to ten times the rate, which float32 must hold.
                    wrong = f"a learning rate of {rate:.1e} is more than AdamW can step by"
                    raise TrainingError(_lost(run, wrong, epoch, step)) from error
                optimizer.zero_grad()
                ranks.same_buffers(model)
                if average:
                    average.update_parameters(model)
                past.after_step(model, logits, epoch, rows)
                state.count(parts, logits, targets.labels)
                track.advance(len(batch), f"epoch {epoch + 1}/{options.epochs} {state.note}")
                if ranks.decided(state.age > options.save_minutes * 60, device):
                    state.save(epoch, step + 1)

            final = average.module if average else model
            line = {"epoch": epoch, "view": view.number, "learning_rate": rate, **state.means()}
            if len(material.validation):
                line["val_accuracy"] = accuracy(final, material)
                if options.keep == "best":
                    state.compare(line["val_accuracy"], final)
            run.log(line)
            state.note = f"val {line['val_accuracy']:.1%}" if "val_accuracy" in line else ""
            state.end_epoch()
            state.save(epoch + 1, 0)
    run.finish(state.best or (average.module if average else model).state_dict())


def _lost(run: Run, wrong: str, epoch: int, step: int) -> str:
    return (
        f"{wrong}, in epoch {epoch}, step {step}; {run.folder} keeps the last good state: start "
        "again in another --out with a lower --learning-rate"
    )


def learning_rate(progress: float, options: FitOptions) -> float:
    """Linear warm-up, then cosine decay to zero; `progress` is the part of all steps done."""
    if progress < options.warmup:
        return options.learning_rate * (progress / options.warmup + 1e-3)
    cosine = math.cos(math.pi * (progress - options.warmup) / (1 - options.warmup))
    return options.learning_rate * 0.5 * (1 + cosine)


@torch.inference_mode()
def accuracy(model: nn.Module, material: Material, batch_size: int = 64) -> float:
    """Overall accuracy on the validation shapes, without augmentation."""
    model.eval()
    mine = ranks.shard(material.validation)
    right = torch.zeros((), dtype=torch.int64, device=mine.device)
    for start in range(0, len(mine), batch_size):
        shapes = mine[start : start + batch_size]
        logits = model(material.clouds.plain(shapes, material.points))
        right += (logits.argmax(1) == material.labels[shapes]).sum()
    return int(ranks.total(right)) / len(material.validation)


class _State:
    """Everything of a run that changes: saved as a whole, so that a killed run goes on exactly."""

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Any,
        average: nn.Module | None,
        past: SelfTeacher,
        device: torch.device,
    ):
        self.run, self.model, self.optimizer = run, model, optimizer
        self.average, self.past, self.device = average, past, device
        self.epoch = self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] | None = None
        self.best_accuracy = 0.0
        self.note = ""
        self.resumed = False
        self.saved = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last save."""
        return time.monotonic() - self.saved

    def save(self, epoch: int, step: int) -> None:
        for model in (self.model, self.average):
            if model and (name := spoilt(model.state_dict())):
                raise TrainingError(
                    f"{name} is not finite any more by epoch {epoch}, step {step}; "
                    f"{self.run.folder} keeps the last good state: start again in another --out "
                    "with a lower --learning-rate"
                )
        cuda = self.device.type == "cuda"
        own = {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
        }
        self.run.save_state(
            {
                "epoch": epoch,
                "step": step,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "past": self.past.state_dict(),
                "best": self.best,
                "best_accuracy": self.best_accuracy,
                "ranks": ranks.of_each(own),
            }
        )
        self.saved = time.monotonic()

    def resume(self) -> None:
        state = ranks.from_first(self.run.load_state())
        if state is None:
            return
        self.epoch, self.step = state["epoch"], state["step"]
        own = state["ranks"][ranks.rank()]
        self.sums = {name: value.to(self.device) for name, value in own["sums"].items()}
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.past.load_state_dict(state["past"])
        self.best, self.best_accuracy = state["best"], state["best_accuracy"]
        torch.set_rng_state(own["random"])
        if own["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(own["random_cuda"], self.device)
        self.resumed = self.step > 0

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Seed the epoch and tell the past, unless a resumed epoch is already under way."""
        if self.resumed:
            self.past.resume_epoch(epoch)
        else:
            # Dropout is drawn apart on every rank.
            purpose = f"epoch@{ranks.rank()}" if ranks.rank() else "epoch"
            torch.manual_seed(seed_of(purpose, seed, epoch))
            self.past.begin_epoch(epoch, self.model)
        self.resumed = False

    def compare(self, accuracy: float, model: nn.Module) -> None:
        """Keep the weights if none before were as good."""
        if self.best is None or accuracy > self.best_accuracy:
            self.best_accuracy = accuracy
            self.best = {name: each.cpu().clone() for name, each in model.state_dict().items()}

    def end_epoch(self) -> None:
        self.step, self.sums = 0, {}

    def count(self, parts: dict[str, Tensor], logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the sums of the epoch, without waiting for the device."""
        hits = (logits.detach().argmax(1) == labels).double().mean()
        for name, value in {
            **parts,
            "train_accuracy": hits,
            "shapes": torch.ones_like(hits),
        }.items():
            more = value.detach().double() * len(labels)
            self.sums[name] = self.sums[name] + more if name in self.sums else more

    def means(self) -> dict[str, float]:
        """Means over the epoch, of all ranks."""
        sums = dict(zip(self.sums, ranks.total(torch.stack([*self.sums.values()])), strict=True))
        shapes = float(sums.pop("shapes"))
        return {name: float(total) / shapes for name, total in sums.items()}


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and normalisation do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]


def _batches(order: np.ndarray, steps: int, device: torch.device) -> Iterator[Tensor]:
    """The rows of each batch of an epoch, from its order (R,)."""
    yield from torch.from_numpy(order).to(device).tensor_split(steps)


def _shapes_before(step: int, count: int, steps: int) -> int:
    """How many shapes of an epoch come before a step; the first batches may be one larger.

    >>> [_shapes_before(step, 10, 4) for step in range(5)]  # batches of 3, 3, 2, 2
    [0, 3, 6, 8, 10]
    """
    return step * (count // steps) + min(step, count % steps)
