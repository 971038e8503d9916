"""Everything of a run that changes, and how it ends when that is not finite any more."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError, one_line
from ..losses.targets import UNLABELLED, Targets, unlabelled
from ..run import STATE, Run, spoilt
from ..storage.documents import check
from . import ranks
from .past_student import Past
from .shuffling import seed_of

WITHOUT = {"ce": "without_ce", "train_accuracy": "unlabelled"}
"""The figures of a log that views without a label have no part in, and what counts these: a mix of
two shapes has a cross-entropy where both have one."""


@dataclass(frozen=True)
class Saved:
    """What `State.save` keeps."""

    epoch: int
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any] | None
    past: dict[str, Any]
    best: dict[str, Any] | None
    best_accuracy: float
    ranks: list[dict[str, Any]]


class State:
    """Everything of a run that changes: saved as a whole, so that a killed run goes on exactly."""

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Any,
        average: nn.Module | None,
        past: Past,
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
        """Save it, so that the run goes on from this step.

        Raises:
            TrainingError: a weight is not finite; the last good state stays.
        """
        for model in (self.model, self.average):
            if model and (name := spoilt(model.state_dict())):
                raise diverged(self.run, f"{name} is not finite", epoch, step)
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
        """Go on from what was saved last, if anything was.

        Raises:
            TrainingError: it is damaged, or another training's.
        """
        state = ranks.from_first(self.run.load_state())
        if state is None:
            return
        try:
            check(state, Saved)
            self._take(state)
        except (ValueError, LookupError, RuntimeError) as error:
            raise TrainingError(
                f"does not fit this training ({one_line(error, 160)})",
                where=self.run.folder / STATE,
                fix="remove it to train from the start, or choose another --out",
            ) from error

    def _take(self, state: dict[str, Any]) -> None:
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
        """Begin the next one from nothing."""
        self.step, self.sums = 0, {}

    def count(self, parts: dict[str, Tensor], logits: Tensor, targets: Targets) -> None:
        """Add a batch to the sums of the epoch, without waiting for the device."""
        labels = targets.labels
        hits = (logits.detach().argmax(1) == labels).double().mean()
        for name, value in {
            **parts,
            "train_accuracy": hits,
            "shapes": torch.ones_like(hits),
            "unlabelled": (labels == UNLABELLED).double().mean(),
            "without_ce": unlabelled(targets).double().mean(),
        }.items():
            more = value.detach().double() * len(labels)
            self.sums[name] = self.sums[name] + more if name in self.sums else more

    def means(self) -> dict[str, float]:
        """Means over the epoch, of all ranks; of the labels' figures over views that have one."""
        sums = dict(zip(self.sums, ranks.total(torch.stack([*self.sums.values()])), strict=True))
        shapes = float(sums.pop("shapes"))
        counts = dict.fromkeys(sums, shapes)
        for name, without in WITHOUT.items():
            # A state of before 0.4 has none of these.
            counts[name] = round(shapes - float(sums.pop(without, 0.0)))
        return {name: float(total) / counts[name] for name, total in sums.items() if counts[name]}


def diverged(
    run: Run, wrong: object, epoch: int, step: int, steadier: tuple[str, ...] = ()
) -> TrainingError:
    """The error of a run whose numbers left the finite ones; `steadier` is what else may help."""
    means = " or ".join(["a lower --learning-rate", *steadier])
    return TrainingError(
        f"stopped, as {wrong} in epoch {epoch}, step {step}; its last good state is kept",
        where=run.folder,
        fix=f"start again in another --out with {means}",
    )
