"""A run folder: the resolved recipe, the metrics, the state to resume from, the finished weights.

recipe.yaml           what was asked for, resolved: give it as --recipe to repeat the run;
                      under `origin`, what data and records it was made from
metrics.jsonl         one line an epoch
state.pt              everything that resuming needs; removed when the run is finished
calibration.json      how its logits are read: temperature, and threshold for what is unknown
weights.safetensors   the finished weights; a folder that has them is a finished run
curves.svg            the metrics as a picture, drawn in the end
.lock                 held by the process that trains, and there for so long

Each file carries its SHA-256 (`storage.digests`) and the run that it is of, so that damage, edits
and a file of another run are found when it is opened. A run of before 0.3 has none: it opens as
ever, proves nothing (`Run.sealed`), and goes on without.

What is there can be read without PyTorch, which only states and weights need.
"""

import io
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from msgspec import Meta

from .data.columns import parse_columns
from .errors import NoRunError, TrainingError, one_line
from .points.features import Features, Scale, parse_features, width
from .recipe import decisive
from .storage import digests
from .storage.calibration import Calibration
from .storage.documents import check, parse_yaml
from .storage.files import forbidden, read_regular, write_whole
from .storage.locking import lock
from .storage.paths import here

if TYPE_CHECKING:
    import torch

RECIPE, METRICS, STATE = "recipe.yaml", "metrics.jsonl", "state.pt"
CALIBRATION, WEIGHTS, LOCK = "calibration.json", "weights.safetensors", ".lock"
CURVES = "curves.svg"
MAY_CHANGE = (
    *("data", "skip_bad", "drop_missing", "records", "past_records"),
    *("device", "threads", "save_minutes", "logger"),
    "origin.fewest",
)
"""Entries of a recipe that may be others when a run is resumed: where things are (fingerprints in
`origin` tell what they are), how fast it goes, who reads along, and what older versions did not
write down."""
VERSION = "origin.pointstill"
SEAL = "pointstill"
"""Entry of the weights' metadata."""


@dataclass(frozen=True)
class Origin:
    """What every recipe of a run says of where it comes from; there may be more."""

    model: str
    classes: list[str]
    data: str
    up: str
    fewest: int | None = None
    normalization: Annotated[int, Meta(ge=1, le=2)] = 1
    augment: dict[str, Any] = field(default_factory=dict)
    scaling: dict[str, Scale] | None = None


@dataclass(frozen=True)
class Known:
    """Entries of a recipe that a run is used by; there may be more."""

    origin: Origin
    data: str
    points: Annotated[int, Meta(ge=1)]
    epochs: int | None = None
    loss: str | None = None
    fold: int | None = None
    group: str | None = None
    features: str | None = None
    columns: str | None = None
    skip_bad: bool = False
    drop_missing: bool = False


@dataclass(frozen=True)
class Epoch:
    """What every line of the metrics has."""

    epoch: int


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
    normalization: int = 1
    """Version of the normalisation of its clouds."""
    group: str | None = None
    """What its folds kept together."""


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
        self.sealed = True
        """Whether its files carry digests."""
        self.recipe: dict[str, Any] = recipe or self._read_recipe(folder)
        self.model_name: str = self.recipe["origin"]["model"]
        self.classes: list[str] = self.recipe["origin"]["classes"]

    def _read_recipe(self, folder: str | Path) -> dict[str, Any]:
        path = self.folder / RECIPE
        try:
            content = read_regular(path).replace(b"\r\n", b"\n")  # which Git may write for "\n"
        except (FileNotFoundError, NotADirectoryError) as error:
            kind = TrainingError if self.folder.exists() else NoRunError
            raise kind(
                f"is no run folder (no {RECIPE} in it)",
                where=folder,
                fix="give one that `pointstill train` or `distill` wrote",
            ) from error
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except OSError as error:
            raise TrainingError(
                f"cannot be read ({error.strerror})", where=path, fix="restore it from a copy"
            ) from error
        try:
            sealed_for = digests.check_seal(content)
            recipe: dict[str, Any] = check(parse_yaml(content), dict[str, Any])
            check(recipe, Known)
            if sealed_for not in (None, _name(recipe)):
                raise ValueError("carries the digest of another recipe")
        except ValueError as error:
            raise TrainingError(
                f"is damaged, or was edited ({error})",
                where=path,
                fix="restore it; or give it as --recipe, with another --out, to train by it",
            ) from error
        self.sealed = sealed_for is not None
        return recipe

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
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
        text += "# To change something, edit a copy and give that as --recipe.\n"
        text += f"# {digests.blank_seal(_name(recipe))}\n"
        _write(path / RECIPE, digests.seal(text.encode()))
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
    def called(self) -> dict[str, str | int]:
        """Our name of a column -> what the files of its data called it, where they differ."""
        columns: str | None = self.recipe.get("columns")
        return parse_columns(columns) if columns else {}

    @property
    def scales(self) -> dict[str, Scale] | None:
        """How its channels are scaled; None: they are not, nor may one be missing."""
        return check(self.recipe["origin"], Origin).scaling

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
            normalization=self.normalization,
            group=recipe.get("group"),
        )

    @property
    def normalization(self) -> int:
        """Version of the normalisation of its clouds; a run that does not say has the first."""
        version: int = self.recipe["origin"].get("normalization", 1)
        return version

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
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        if self.sealed:
            content = digests.with_trailer(content, _name(self.recipe))
        _write(self.folder / STATE, content)

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` kept last, or None for a run that has not come so far."""
        import torch

        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            content, sealed_for = digests.without_trailer(read_regular(path))
            self._check_of_this_run(sealed_for)
            state: dict[str, Any] = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
            check(state, dict[str, Any])
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except Exception as error:
            raise TrainingError(
                f"is damaged{_reason(error)}",
                where=path,
                fix="remove it to train from the start, or choose another --out",
            ) from error
        self._check_logged(state.get("epoch", 0))
        return state

    def _check_logged(self, epochs: int) -> None:
        """See that no line at the end of the metrics is gone; all of them may be.

        Raises:
            TrainingError: one is.
        """
        lines = self.metrics()
        if lines and lines[-1]["epoch"] + 1 < epochs:
            raise TrainingError(
                f"ends after {lines[-1]['epoch'] + 1} epochs, and {STATE} after {epochs}",
                where=self.folder / METRICS,
                fix="remove it to go on without it",
            )

    def _check_of_this_run(self, sealed_for: str | None) -> None:
        """See that a file with a sound seal belongs here.

        Raises:
            ValueError: it does not, or only one of the file and the recipe carries a digest.
        """
        if self.sealed and sealed_for is None:
            raise ValueError(f"carries no SHA-256, and {RECIPE} does")
        if not self.sealed and sealed_for is not None:
            raise ValueError(f"carries a SHA-256, and {RECIPE} does not")
        if self.sealed and sealed_for != _name(self.recipe):
            raise ValueError("is another run's")

    def log(self, line: dict[str, Any]) -> None:
        """Add the metrics of an epoch; lines of that epoch and later ones are replaced."""
        lines = [*(old for old in self.metrics() if old["epoch"] < line["epoch"]), line]
        if self.sealed:
            text = digests.sealed_lines(lines, _name(self.recipe))
        else:
            text = "".join(json.dumps(each) + "\n" for each in lines)
        _write(self.folder / METRICS, text.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """The lines logged so far.

        Raises:
            TrainingError: they are damaged, may not be read, or are missing from a finished run.
        """
        path, finished = self.folder / METRICS, self.sealed and self.finished
        fix = "remove it to go on without it"
        if finished:
            fix = "restore it from a copy, or train again in another --out"
        if not path.exists():
            if finished:  # whose last epoch is there, whatever came before
                raise TrainingError("is missing", where=path, fix=fix)
            return []
        try:
            text = read_regular(path).decode()
            lines, sealed = digests.open_lines(text, _name(self.recipe))
            for number, line in enumerate(lines):
                if check(line, Epoch).epoch < number:
                    raise ValueError(f"line {number + 1} is of epoch {line['epoch']}")
            if sealed != self.sealed:
                self._check_of_this_run("" if sealed else None)
            last, epochs = lines[-1]["epoch"] + 1, self.recipe.get("epochs")
            if finished and last != (epochs or last):
                raise ValueError(f"ends after {last} of {epochs} epochs")
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except (OSError, ValueError, IndexError) as error:
            raise TrainingError(f"is damaged{_reason(error)}", where=path, fix=fix) from error
        return lines

    def calibrate(self, calibration: Calibration) -> None:
        """Keep how the logits of the weights are read; called before `finish`."""
        if self.sealed:
            text = digests.sealed_lines([asdict(calibration)], _name(self.recipe))
        else:
            text = json.dumps(asdict(calibration)) + "\n"
        _write(self.folder / CALIBRATION, text.encode())

    @property
    def calibration(self) -> Calibration:
        """What `calibrate` kept; of a run of before 0.4 that of none.

        Raises:
            TrainingError: it is damaged, or may not be read.
        """
        path = self.folder / CALIBRATION
        if not path.exists():
            return Calibration()
        try:
            lines, sealed = digests.open_lines(read_regular(path).decode(), _name(self.recipe))
            if len(lines) != 1 or sealed != self.sealed:
                raise ValueError("is another run's")
            return Calibration.of(lines[0], len(self.classes))
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"is damaged{_reason(error)}",
                where=path,
                fix="restore it from a copy, or train again in another --out",
            ) from error

    def finish(self, weights: "dict[str, torch.Tensor]") -> None:
        """Write the weights and drop the resume state.

        Raises:
            TrainingError: a weight is not finite; nothing is written.
        """
        from safetensors.torch import save

        if name := spoilt(weights):
            raise TrainingError(
                f"cannot be finished, as {name} is not finite",
                where=self.folder,
                fix="start again in another --out with a lower --learning-rate",
            )
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        if self.sealed:
            content = save(tensors, {SEAL: digests.blank_seal(_name(self.recipe))})
            content = digests.seal(content)
        else:
            content = save(tensors)
        _write(self.folder / WEIGHTS, content)
        (self.folder / STATE).unlink(missing_ok=True)

    def model(self) -> "torch.nn.Module":
        """The finished model, in eval mode.

        Raises:
            TrainingError: the run is not finished, or its weights are damaged or may not be read.
        """
        from safetensors.torch import load

        from .models import build_model
        from .models.layers.channel_scaling import ScaledChannels
        from .models.stillnet import StillNet

        if not self.finished:
            raise TrainingError(
                f"is not finished (no {WEIGHTS} in it)",
                where=self.folder,
                fix="run the same command again to go on with it",
            )
        model = build_model(self.model_name, len(self.classes), width(self.features))
        if self.normalization == 1 and isinstance(model, StillNet):
            model.distinct = False
        if self.scales is not None:
            model = ScaledChannels(model, self.features, self.scales)
        content = self._weights()
        try:
            model.load_state_dict(load(content))
        except Exception as error:
            raise TrainingError(
                f"does not fit {self.model_name}{_reason(error)}",
                where=self.folder / WEIGHTS,
                fix="train again",
            ) from error
        return model.eval()

    def _weights(self) -> bytes:
        """The file of the weights, as it was written.

        Raises:
            TrainingError: it is not, or may not be read.
        """
        path = self.folder / WEIGHTS
        try:
            content = read_regular(path)
            self._check_of_this_run(digests.check_seal(content))
        except PermissionError as error:
            raise forbidden(path, error, TrainingError) from error
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"is damaged{_reason(error)}", where=path, fix="train again"
            ) from error
        return content

    def check_files(self) -> None:
        """See that metrics, calibration and weights, as far as it has come, are as written.

        No network is built: whether the weights fit it, `model` finds out.

        Raises:
            TrainingError: one is damaged, another run's, or may not be read.
        """
        self.metrics()
        _ = self.calibration
        if self.finished:
            self._weights()

    def check_finished(self) -> None:
        """See that a finished run is as it was written, before it is said to be what was asked for.

        Raises:
            TrainingError: a file is damaged, or another run's.
        """
        self.model()
        self.metrics()
        _ = self.calibration


def spoilt(weights: "dict[str, torch.Tensor]") -> str | None:
    """The name of a tensor that is not finite everywhere, or None."""
    return next((name for name, each in weights.items() if not each.isfinite().all()), None)


def _name(recipe: dict[str, Any]) -> str:
    """What names a run in the seals of its files: a digest of what decides its result.

    Runs of one recipe share it, as they share their weights. Seals are kept, so an entry that joins
    `MAY_CHANGE` later must stay in here.
    """
    deciding = {name: value for name, value in recipe.items() if name not in MAY_CHANGE}
    return digests.digest(json.dumps(deciding, sort_keys=True))


def _reason(error: Exception) -> str:
    """Why, in brackets: of a library's words the first line."""
    if isinstance(error, OSError) and error.strerror:
        return f" ({error.strerror})"
    return f" ({one_line(error, 160)})" if str(error) else ""


def at_work(folder: str | Path) -> AbstractContextManager[None]:
    """Be the only process that trains in a run folder.

    Raises:
        TrainingError: another process does (named by host and number), or nothing can be written.
    """
    path = Path(folder)
    return lock(path / LOCK, path, TrainingError, _unwritable)


def _ours(path: Path) -> bool:
    """Whether a file is the lock, or the draft of a process that may have been killed."""
    drafts = (f".{name}." for name in (RECIPE, METRICS, STATE, CALIBRATION, WEIGHTS, CURVES))
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
