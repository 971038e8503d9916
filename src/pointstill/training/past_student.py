"""The student's own past, as a teacher to move away from (`method`: the negative-weight term).

Every source answers the same questions, so that the training loop asks without an `if`: what are
the past's logits of these views, and what is to be kept for later. Where a source has no past yet
it answers with NaN, and the loss pushes that view from nothing.
"""

from collections import deque
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import RecordsError, UsageError
from ..losses.options import LossOptions, PastOptions
from ..models.layers.channel_scaling import ScaledChannels
from ..records import Store
from . import ranks
from .shuffling import Windows

Tensors = tuple[Tensor, ...] | list[Tensor]


class Past:
    """The student's past, as the loop knows it; this one is none, for the losses that need none."""

    def begin_epoch(self, epoch: int, student: nn.Module) -> None:
        """An epoch starts."""

    def resume_epoch(self, epoch: int) -> None:
        """A killed run goes on inside an epoch; `load_state_dict` was called before."""

    def logits(self, points: Tensor, epoch: int, rows: Tensor) -> Tensor | None:
        """The past's answer to a batch.

        Args:
            points: (B, N, 3) the views.
            epoch: which tells the view.
            rows: (B,) places of the shapes among the training shapes.

        Returns:
            (B, C) logits, detached, NaN where there is no past; None if there is none of any.
        """
        return None

    def after_step(self, student: nn.Module, logits: Tensor, epoch: int, rows: Tensor) -> None:
        """The optimiser has made a step, from these logits (B, C) of the student."""

    def state_dict(self) -> dict[str, Any]:
        """Everything to resume from."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume."""


class Snapshot(Past):
    """The weights of `age` epochs ago, in eval mode on the same view; one more forward."""

    def __init__(self, student: nn.Module, age: int):
        self.model = deepcopy(student).eval().requires_grad_(False)
        self.kept: deque[dict[str, Tensor]] = deque(maxlen=age + 1)

    def begin_epoch(self, epoch: int, student: nn.Module) -> None:
        """Keep the weights of now; take those of `age` epochs ago, or the first."""
        self.kept.append({name: value.clone() for name, value in student.state_dict().items()})
        self.model.load_state_dict(self.kept[0])

    @torch.no_grad()
    def logits(self, points: Tensor, epoch: int, rows: Tensor) -> Tensor:
        """The old weights' logits."""
        result: Tensor = self.model(points)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The kept weights."""
        return {"kept": list(self.kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.kept.extend(state["kept"])
        if self.kept:
            self.model.load_state_dict(self.kept[0])


class Average(Past):
    """An exponential moving average of the weights, in eval mode; one more forward."""

    def __init__(self, student: nn.Module, decay: float):
        self.model = averaged(student, decay)

    @torch.no_grad()
    def logits(self, points: Tensor, epoch: int, rows: Tensor) -> Tensor:
        """The averaged weights' logits."""
        result: Tensor = self.model.eval()(points)
        return result

    def after_step(self, student: nn.Module, logits: Tensor, epoch: int, rows: Tensor) -> None:
        """Move the average."""
        self.model.update_parameters(student)

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.model.load_state_dict(state)


class LogitTable(Past):
    """The student's logits when it last met this very (view, shape); no more forward."""

    def __init__(self, views: int, rows: int, classes: int, device: torch.device):
        self.table = torch.full((views, rows, classes), float("nan"), device=device)

    def logits(self, points: Tensor, epoch: int, rows: Tensor) -> Tensor:
        """The kept logits."""
        return self.table[epoch % len(self.table), rows]

    def after_step(self, student: nn.Module, logits: Tensor, epoch: int, rows: Tensor) -> None:
        """Keep the student's logits, on every rank: another one may meet the shape next."""
        kept = ranks.all_gather(logits.detach().to(self.table.dtype))
        # A batch may meet a row twice (balance=sampling): the last counts, on every device.
        met, number = torch.unique(ranks.all_gather(rows), return_inverse=True)
        last = torch.zeros_like(met).scatter_reduce_(
            0, number, torch.arange(len(number), device=met.device), "amax"
        )
        self.table[epoch % len(self.table), met] = kept[last]

    def state_dict(self) -> dict[str, Any]:
        """The table."""
        return {"table": self.table}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.table.copy_(state["table"])


class RecordedPast(Past):
    """A finished student of an earlier generation, itself recorded; no more forward."""

    def __init__(self, store: Store, rows: np.ndarray, windows: Windows, device: torch.device):
        self.store, self.rows, self.windows, self.device = store, rows, windows, device

    def begin_epoch(self, epoch: int, student: nn.Module) -> None:
        """Read the epoch's view."""
        self.resume_epoch(epoch)

    def resume_epoch(self, epoch: int) -> None:
        """Read the epoch's view."""
        number = epoch % self.store.views

        def logits(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(self.store.logits(number, self.rows[rows])).to(self.device)

        self.view = self.windows.epoch(epoch).table(logits)

    def logits(self, points: Tensor, epoch: int, rows: Tensor) -> Tensor:
        """The recorded logits."""
        return self.view[rows]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model that follows it as an exponential moving average, buffers included.

    After t steps its decay is `min(decay, (1 + t) / (10 + t))`, so that the random start is soon
    forgotten, however short the run.
    """

    def follow(average: Tensors, present: Tensors, steps: Tensor | int) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(now)(average, present, steps)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=follow, use_buffers=True)


def tell_apart(student: nn.Module) -> None:
    """Let each member of a student see the whole of every batch, and speak for itself in training.

    Raises:
        UsageError: it has not several members.
    """
    network = student.network if isinstance(student, ScaledChannels) else student
    if not getattr(network, "several", False):
        raise UsageError(
            "past is members, and the student has not several",
            fix="choose a student of several, such as stillnet-m, or another --past",
        )
    network.apart = True  # type: ignore[assignment]


def past_of(
    options: LossOptions,
    student: nn.Module,
    records: Store,
    rows: np.ndarray,
    windows: Windows,
    past_records: Store | None,
    device: torch.device,
) -> Past:
    """The past that a loss looks at: the source that `options.past` names, if it needs one.

    Args:
        options: of the loss.
        student: the model that is trained.
        records: the teacher's records.
        rows: (R,) rows of the store that are trained on.
        windows: of these rows.
        past_records: records of an earlier student, for past=records.
        device: where logits are wanted.

    Raises:
        RecordsError: past=records without records.
        UsageError: past=members, and the student has not several.
    """
    if not isinstance(options, PastOptions):
        return Past()
    if options.past == "none":
        return Past()
    if options.past == "members":
        tell_apart(student)
        return Past()
    if options.past == "snapshot":
        return Snapshot(student, options.snapshot_age)
    if options.past == "ema":
        return Average(student, options.past_decay)
    if options.past == "table":
        return LogitTable(records.views, len(rows), len(records.attributes["classes"]), device)
    if past_records is None:
        raise RecordsError(
            "past=records needs --past-records STORE",
            fix="record a finished student with `pointstill record --teacher RUN` and the same "
            "data, views, augmentation and seed",
        )
    return RecordedPast(past_records, rows, windows, device)
