"""The loop that `train` and `distill` share: batch, replay, forward, loss, step."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from .. import torchrun
from ..errors import Stopped, TrainingError, UsageError
from ..losses import LOSSES
from ..losses.options import LossOptions
from ..losses.outlier_exposure import exposed
from ..progress import Track, console
from ..recipe import FitOptions
from ..run import Run
from . import ranks
from .calibration import calibrated, described
from .curves import draw_curves
from .device import keep_memory, pick_device, pick_precision, set_threads
from .loggers import MetricsLogger
from .past_student import Past, averaged
from .state import State, diverged
from .stopping import Stop
from .views import Material

NEVER = Stop()


@dataclass(frozen=True)
class Objective:
    """What a model is pulled towards, and away from."""

    loss: str
    """Its name in `LOSSES`."""
    options: LossOptions
    past: Past


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
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torchrun did not start this process",
            fix="start several ranks with `torchrun -m pointstill`, or unset WORLD_SIZE for one",
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
    objective: Objective,
    recipe: FitOptions,
    quiet: bool = False,
    stop: Stop = NEVER,
) -> None:
    """Train a model to the end of its recipe, from wherever the run folder has it.

    Killed at any moment, the same call ends with the same weights, bit for bit (given the same
    torch, device and number of threads).

    Args:
        fabric: from `start_fabric`.
        run: the run folder; gets metrics, resume state and the finished weights.
        model: the model, freshly seeded.
        material: clouds, views, shapes.
        objective: the loss, and the student's past where it looks at that.
        recipe: how to optimise.
        quiet: report nothing.
        stop: asked after every step whether to end there.

    Raises:
        Stopped: it was; the state is saved.
        TrainingError: the loss, a step or a weight is not finite; the last good state is kept.
    """
    device, past, options = fabric.device, objective.past, objective.options
    loss = LOSSES[objective.loss].parts
    # Not Fabric's own precision, which would round the points themselves to bfloat16.
    half = pick_precision(recipe.precision, device) == "bf16-mixed"
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=half)
    optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    average = averaged(model, recipe.ema) if recipe.ema else None
    wrapped, optimizer = fabric.setup(model, optimizer)
    count = len(material.shapes)
    # Batches of nearly equal size: none is tiny, and none (nor a rank's share of it) of one shape,
    # which BatchNorm refuses.
    steps = max(1, min(round(count / recipe.batch_size), count // (2 * ranks.world())))
    state = State(run, model, optimizer, average, past, device)
    state.resume()
    done = state.epoch * count + _shapes_before(state.step, count, steps)

    track = Track(objective.loss, recipe.epochs * count, "shapes", done=done, quiet=quiet)
    with track, stop, MetricsLogger(run, recipe.logger, state.epoch) as logger:
        for epoch in range(state.epoch, recipe.epochs):
            view = material.views.view(epoch)
            state.begin_epoch(epoch, recipe.seed)
            order = material.rows(view)
            if len(order) < 2 * ranks.world() * steps:
                raise TrainingError(
                    f"{count - len(order)} of {count} shapes are mixed with some that are not "
                    f"trained on in epoch {epoch}, and too few are left for {steps} steps",
                    fix="choose a larger --batch-size, a smaller --val or no --limit",
                )
            for step, batch in enumerate(_batches(order, steps, device)):
                progress = (epoch * steps + step) / (recipe.epochs * steps)
                rate = learning_rate(progress, recipe)
                if step < state.step:  # done before the run was killed
                    continue

                # 1. Replay: the recorded view of each shape, from its parameters and its key.
                rows = ranks.shard(batch)
                points = material.replay(view, rows)
                nothing = material.outliers(view, rows, points) if recipe.outliers else None
                # 2. Forward: the student now and, once the loss asks for it, its past.
                wrapped.train()
                with mixed:
                    answer, unknown = _asked(wrapped, points, nothing)
                    logits, members = _mean(answer)
                    wanted = options.wants_past(progress)
                    before = past.logits(points, epoch, rows) if wanted else None
                # 3. Loss, and its parts for the log.
                targets = material.targets(view, rows, before, progress, members)
                parts = loss(logits, targets, options)
                if unknown is not None:
                    parts |= exposed(parts["loss"], logits, _mean(unknown)[0], recipe.outliers)
                # 4. Step, unless that would spoil the weights. The mean of the ranks' gradients is
                # that of the whole batch once each counts by its share.
                share = len(rows) * ranks.world() / len(batch)
                try:
                    _step(fabric, wrapped, optimizer, parts["loss"], share, rate, recipe.clip)
                except FloatingPointError as error:
                    raise diverged(run, error, epoch, step, options.steadier) from error
                except OverflowError as error:
                    raise diverged(run, error, epoch, step) from error
                ranks.same_buffers(model)
                if average:
                    average.update_parameters(model)
                past.after_step(model, logits, epoch, rows)
                state.count(parts, logits, targets)
                track.advance(len(batch), f"epoch {epoch + 1}/{recipe.epochs} {state.note}")
                due = state.age > recipe.save_minutes * 60
                if asked := ranks.most(2 * stop.number + due, device):
                    state.save(epoch, step + 1)
                if number := asked // 2:
                    at = f"epoch {epoch + 1}, step {step + 1} of {steps}"
                    raise Stopped(number, f"stopped at {at}, with all of it saved")

            left_out = count - len(order)  # mixes with a shape that is not trained on
            track.advance(left_out, f"epoch {epoch + 1}/{recipe.epochs} {state.note}")
            final = average.module if average else model
            line = {"epoch": epoch, "view": view.number, "learning_rate": rate, **state.means()}
            if len(material.validation):
                line |= validate(final, material)
                measured = line[f"val_{recipe.measure}"]
                if recipe.keep == "best":
                    state.compare(measured, final)
                state.note = f"val {measured:.1%}"
            run.log(line)
            logger.log(line)
            state.end_epoch()
            state.save(epoch + 1, 0)
    final = average.module if average else model
    if state.best:
        final.load_state_dict(state.best)
    if not ranks.rank():
        fitted = calibrated(final, material)
        run.calibrate(fitted)
        if not quiet:
            console.print(described(fitted))
        draw_curves(run)
    run.finish(final.state_dict())


def _asked(
    model: Any, points: Tensor, nothing: Tensor | None
) -> tuple[Tensor, Tensor] | tuple[Tensor, None]:
    """A model's answers to views (B, N, 3 + F) of something, and to (b, N, 3 + F) of nothing.

    Both are one batch, so that BatchNorm normalises them alike; and each of nothing comes behind
    the view that it was made of, so that a member that sees a part of the batch sees both.
    """
    if nothing is None:
        return model(points).float(), None
    order = torch.cat((2 * torch.arange(len(points)), 4 * torch.arange(len(nothing)) + 1)).argsort()
    place = order.argsort().to(points.device)
    answer = model(torch.cat((points, nothing))[order.to(points.device)]).float()[place]
    return answer[: len(points)], answer[len(points) :]


def _mean(answer: Tensor) -> tuple[Tensor, Tensor | None]:
    """The logits (B, C) of an answer, and those of each member (B, K, C) where they are apart."""
    return (answer, None) if answer.ndim == 2 else (answer.mean(dim=1), answer)


def _step(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    loss: Tensor,
    share: float,
    rate: float,
    clip: float,
) -> None:
    """One step of the optimiser, down the gradient of `share` times the loss.

    Raises:
        FloatingPointError: the loss or its gradient is not finite; the weights stay.
        OverflowError: the step is not; the weights stay.
    """
    fabric.backward(loss * share)
    norm = fabric.clip_gradients(
        model, optimizer, max_norm=clip or math.inf, error_if_nonfinite=False
    )
    assert norm is not None
    if not torch.isfinite(loss + norm):
        raise FloatingPointError(f"the loss is {loss.item()}, the norm of its gradient {norm}")
    for group in optimizer.param_groups:
        group["lr"] = rate
    try:
        optimizer.step()
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        # AdamW's first steps are up to ten times the rate, which float32 must hold.
        raise OverflowError(
            f"a learning rate of {rate:.1e} is more than AdamW can step by"
        ) from error
    optimizer.zero_grad()


def learning_rate(progress: float, options: FitOptions) -> float:
    """Linear warm-up, then cosine decay to zero; `progress` is the part of all steps done."""
    if progress < options.warmup:
        return options.learning_rate * (progress / options.warmup + 1e-3)
    cosine = math.cos(math.pi * (progress - options.warmup) / (1 - options.warmup))
    return options.learning_rate * 0.5 * (1 + cosine)


@torch.inference_mode()
def validate(model: nn.Module, material: Material, batch_size: int = 64) -> dict[str, float]:
    """Measure a model on the validation shapes, without augmentation.

    Returns:
        `val_accuracy`, over all of them, and `val_macc`, the mean over the classes that have some.
    """
    model.eval()
    mine = ranks.shard(material.validation)
    shapes = torch.bincount(material.labels[material.validation])
    right = torch.zeros_like(shapes)
    for some in torch.split(mine, batch_size):
        labels = material.labels[some]
        logits = model(material.clouds.plain(some, material.points))
        right += torch.bincount(labels[logits.argmax(1) == labels], minlength=len(right))
    right, present = ranks.total(right), shapes > 0
    each = right[present].double() / shapes[present]
    return {"val_accuracy": int(right.sum()) / int(shapes.sum()), "val_macc": float(each.mean())}


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
