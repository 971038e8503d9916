"""A run folder: the resolved recipe, the metrics, the state to resume from, the finished weights.

recipe.yaml           what was asked for, resolved: give it as --recipe to repeat the run;
                      under `origin`, what data and records it was made from
metrics.jsonl         one line an epoch
state.pt              everything that resuming needs; removed when the run is finished
weights.safetensors   the finished weights; a folder that has them is a finished run
.lock                 held by the process that trains, and there for so long
"""

import io
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save

from .errors import NoRunError, TrainingError
from .models import build_model
from .points.features import Features, parse_features, width
from .recipe import decisive
from .storage.files import check_readable, forbidden, write_whole
from .storage.locking import lock
from .storage.paths import here

RECIPE, METRICS, STATE = "recipe.yaml", "metrics.jsonl", "state.pt"
WEIGHTS, LOCK = "weights.safetensors", ".lock"
MAY_CHANGE = (
    *("data", "skip_bad", "drop_missing", "records", "past_records"),
    *("device", "threads", "save_minutes"),
    "origin.fewest",
)
"""Entries of a recipe that may be others when a run is resumed: where things are (fingerprints in
`origin` tell what they are), how fast it goes, and what older versions did not write down."""
VERSION = "origin.pointstill"


@dataclass(frozen=True)
class TrainedOn:
    """The training split that a network has seen."""

    who: str
    """The run folder or the exported file."""
    fingerprint: str
    """Of the split."""
    fold: int | None
    """None: not said."""
    skip_bad: bool = False
    drop_missing: bool = False
    data: str | None = None
    """Where the data was, if that is known."""


class Run:
    """A run folder, open."""

    def __init__(self, folder: str | Path, recipe: dict[str, Any] | None = None):
        """Open a folder that `begin` made.

        Args:
            folder: where it is.
            recipe: what its recipe file says; None reads it.

        Raises:
            TrainingError: it is no run, or may not be read; a NoRunError if there is nothing.
            UsageError: it is not on this machine.
        """
        self.folder = here(folder, "run")
        try:
            self.recipe: dict[str, Any] = recipe or yaml.safe_load(
                (self.folder / RECIPE).read_text("utf-8")
            )
            self.model_name: str = self.recipe["origin"]["model"]
            self.classes: list[str] = self.recipe["origin"]["classes"]
        except (FileNotFoundError, NotADirectoryError) as error:
            kind = TrainingError if self.folder.exists() else NoRunError
            raise kind(
                f"is no run folder (no {RECIPE} in it)",
                where=folder,
                fix="give one that `pointstill train` or `distill` wrote",
            ) from error
        except PermissionError as error:
            raise forbidden(self.folder / RECIPE, error, TrainingError) from error
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise TrainingError(
                "is damaged",
                where=self.folder / RECIPE,
                fix="restore it, or train again in another folder",
            ) from error

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @classmethod
    def begin(cls, folder: str | Path, recipe: dict[str, Any]) -> "Run":
        """Start a run, or go on with the one that is there; call it inside `at_work`.

        Raises:
            TrainingError: the folder holds a run of another recipe, or something else, or cannot
                be written; or an unfinished run is another version's.
        """
        path = Path(folder)
        recipe = json.loads(json.dumps(recipe))  # plain data, as YAML gives it back
        if (path / RECIPE).exists():
            run = cls(path)
            run._check_same(recipe)
            run._sweep()
            return run
        try:
            path.mkdir(parents=True, exist_ok=True)
            there = [each.name for each in path.iterdir() if not _ours(each)]
        except OSError as error:
            raise _unwritable(path, error) from error
        if there:
            raise TrainingError(
                f"is not empty and holds no run (no {RECIPE}, but {min(there)})",
                where=path,
                fix="choose another --out",
            )
        _write(path / RECIPE, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).encode())
        return cls(path)

    def _check_same(self, recipe: dict[str, Any]) -> None:
        """Refuse to go on with another recipe, or where another version began.

        Raises:
            TrainingError: see `begin`.
        """
        then, now = _flat(decisive(self.recipe)), _flat(decisive(recipe))
        made, installed = then.pop(VERSION, None), now.pop(VERSION, None)
        if not self.finished and made != installed:
            raise TrainingError(
                f"was begun by pointstill {made}, and this is {installed}",
                where=self.folder,
                fix=f"install pointstill {made} to go on with it, or start again in another --out",
            )
        changed = [
            f"{name}: {then.get(name)} then, {now.get(name)} now"
            for name in sorted(then.keys() | now.keys())
            if name not in MAY_CHANGE and then.get(name) != now.get(name)
        ]
        if changed:
            raise TrainingError(
                f"holds a run of another recipe ({'; '.join(changed)})",
                where=self.folder,
                fix="give the same options to go on with it, or choose another --out",
            )

    def _sweep(self) -> None:
        """Remove what killed processes left: drafts, and the state of a run that is finished."""
        left = [each for each in self.folder.glob(".*.draft") if _ours(each)]
        if self.finished:
            left.append(self.folder / STATE)
        try:
            for each in left:
                each.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    @property
    def features(self) -> Features:
        """What the model takes of each point, `xyz` first."""
        return parse_features(self.recipe.get("features") or "xyz")

    @property
    def trained_on(self) -> TrainedOn:
        """The training split that it has seen."""
        recipe = self.recipe
        return TrainedOn(
            who=str(self.folder),
            fingerprint=recipe["origin"]["data"],
            fold=recipe.get("fold"),
            skip_bad=recipe.get("skip_bad", False),
            drop_missing=recipe.get("drop_missing", False),
            data=recipe["data"],
        )

    @property
    def fewest(self) -> int:
        """Points that 99 % of the training clouds have, or those of a view where these are fewer.

        A run that does not say, as it is older, counts as one on clouds that filled its views.
        """
        fewest: int = self.recipe["origin"].get("fewest", self.recipe["points"])
        return fewest

    @property
    def finished(self) -> bool:
        """Whether the weights are there."""
        return (self.folder / WEIGHTS).exists()

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep everything that resuming needs, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        _write(self.folder / STATE, buffer.getvalue())

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` kept last, or None for a run that has not come so far."""
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except Exception as error:
            raise TrainingError(
                "is damaged",
                where=path,
                fix="remove it to train from the start, or choose another --out",
            ) from error
        return state

    def log(self, line: dict[str, Any]) -> None:
        """Add the metrics of an epoch; lines of that epoch and later ones are replaced."""
        lines = [old for old in self.metrics() if old["epoch"] < line["epoch"]]
        text = "".join(json.dumps(each) + "\n" for each in [*lines, line])
        _write(self.folder / METRICS, text.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """The lines logged so far."""
        path = self.folder / METRICS
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except ValueError as error:
            raise TrainingError(
                "is damaged", where=path, fix="remove it to go on without it"
            ) from error

    def finish(self, weights: dict[str, torch.Tensor]) -> None:
        """Write the weights and drop the resume state.

        Raises:
            TrainingError: a weight is not finite; nothing is written.
        """
        if name := spoilt(weights):
            raise TrainingError(
                f"cannot be finished, as {name} is not finite",
                where=self.folder,
                fix="start again in another --out with a lower --learning-rate",
            )
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        _write(self.folder / WEIGHTS, save(tensors))
        (self.folder / STATE).unlink(missing_ok=True)

    def model(self) -> torch.nn.Module:
        """The finished model, in eval mode.

        Raises:
            TrainingError: the run is not finished, or its weights are damaged or may not be read.
        """
        if not self.finished:
            raise TrainingError(
                f"is not finished (no {WEIGHTS} in it)",
                where=self.folder,
                fix="run the same command again to go on with it",
            )
        model = build_model(self.model_name, len(self.classes), width(self.features))
        check_readable(self.folder / WEIGHTS, TrainingError)
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS))
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"does not fit {self.model_name} ({reason})",
                where=self.folder / WEIGHTS,
                fix="train again",
            ) from error
        return model.eval()


def spoilt(weights: dict[str, torch.Tensor]) -> str | None:
    """The name of a tensor that is not finite everywhere, or None."""
    return next((name for name, each in weights.items() if not each.isfinite().all()), None)


def at_work(folder: str | Path) -> AbstractContextManager[None]:
    """Be the only process that trains in a run folder.

    Raises:
        TrainingError: another process does (named by host and number), or nothing can be written.
    """
    path = Path(folder)
    return lock(path / LOCK, path, TrainingError, _unwritable)


def _ours(path: Path) -> bool:
    """Whether a file is the lock, or the draft of a process that may have been killed."""
    drafts = (f".{name}." for name in (RECIPE, METRICS, STATE, WEIGHTS))
    return path.name == LOCK or (path.suffix == ".draft" and path.name.startswith(tuple(drafts)))


def _flat(entries: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested entries side by side: `origin.data` and so on."""
    flat: dict[str, Any] = {}
    for name, value in entries.items():
        inside = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return flat


def _write(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"cannot be written ({error.strerror})",
        where=f"run folder {folder}",
        fix="free or allow space and run the same command again, or choose another --out; what was "
        "saved stays",
    )
