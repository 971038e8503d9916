"""The runs below a folder, by what their folders say: no network is loaded, and no PyTorch."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from ..errors import NoRunError, PointstillError, TrainingError, one_line
from ..points.features import format_features
from ..recipe import decisive
from ..reporting.tables import draw_table
from ..run import METRICS, RECIPE, STATE, WEIGHTS, Run
from ..storage.files import write_whole
from ..storage.paths import here

STORE = "zarr.json"
"""What a record store has, which may have 100,000 files and no run."""


@dataclass(frozen=True)
class RunEntry:
    """What the folder of a run says; of a folder that cannot be used, as far as it does."""

    name: str
    """Of the folder, below the one that was looked through."""
    fault: str | None = None
    """What is wrong with it."""
    finished: bool | None = None
    model: str | None = None
    loss: str | None = None
    """`ce`: from labels alone."""
    seed: int | None = None
    epochs_done: int | None = None
    epochs: int | None = None
    val_accuracy: float | None = None
    """Of the weights that end the run: of the last epoch, or with `keep` best of the best one."""
    val_macc: float | None = None
    data: str | None = None
    features: str | None = None
    points: int | None = None
    records: str | None = None
    pointstill: str | None = None
    """The version that began it."""
    origin: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the training split (`data`), the records and the teacher."""


def find_runs(folder: str | Path) -> list[RunEntry]:
    """Look for runs in a folder and below it, in order of their names.

    Links are not followed, and record stores and hidden folders are passed over. Files that carry a
    digest are compared with it.

    Raises:
        NoRunError: there is no such folder.
        TrainingError: no run is there, nor a part of one.
        UsageError: it is not on this machine.
    """
    root = here(folder, "folder")
    if not root.is_dir():
        raise NoRunError("is no folder", where=folder, fix="give one that has runs below it")
    found = list(_below(root))
    if not found:
        raise TrainingError(
            f"has no run (no {RECIPE} in it or below it)",
            where=folder,
            fix="give a folder above those that `pointstill train` or `distill` wrote",
        )
    return found


def _below(root: Path) -> Iterator[RunEntry]:
    closed: list[RunEntry] = []

    def note(error: OSError) -> None:
        name = _name(Path(error.filename), root)
        closed.append(RunEntry(name, fault=f"cannot be read ({error.strerror})"))

    for place, folders, files in os.walk(root, onerror=note):
        yield from closed
        closed.clear()
        if STORE in files:
            folders.clear()
            continue
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        if RECIPE in files:
            yield read_run(Path(place), root)
        elif left := {METRICS, STATE, WEIGHTS} & {*files}:
            fault = f"has {min(left)}, and no {RECIPE}"
            yield RunEntry(_name(Path(place), root), fault=fault)
    yield from closed


def read_run(folder: Path, root: Path) -> RunEntry:
    """What the folder of a run says, below `root`."""
    name = _name(folder, root)
    try:
        run = Run(folder)
        said = _said(run)
    except PointstillError as error:
        return RunEntry(name, fault=_fault(error, folder))
    try:
        return RunEntry(name, **said, **_trained(run))
    except PointstillError as error:
        return RunEntry(name, **said, fault=_fault(error, folder))
    except (TypeError, ValueError) as error:  # a figure that is none, where no digest tells
        return RunEntry(name, **said, fault=f"{METRICS} is damaged ({one_line(error, 160)})")


def _said(run: Run) -> dict[str, Any]:
    """What the recipe says."""
    recipe, origin = decisive(run.recipe), run.recipe["origin"]
    by_teacher = {"records": origin.get("records"), "teacher": _fingerprint(origin.get("teacher"))}
    return {
        "finished": run.finished,
        "model": run.model_name,
        "loss": recipe["loss"] if "student" in recipe else "ce",
        "seed": recipe["seed"],
        "epochs": recipe["epochs"],
        "data": recipe["data"],
        "features": format_features(run.features),
        "points": recipe["points"],
        "records": recipe.get("records"),
        "pointstill": origin.get("pointstill"),
        "origin": {
            name: value
            for name, value in ({"data": origin["data"]} | by_teacher).items()
            if value is not None
        },
    }


def _fingerprint(teacher: Any) -> str | None:
    return teacher.get("fingerprint") if isinstance(teacher, dict) else None


def _trained(run: Run) -> dict[str, Any]:
    """How far it has come, and how well.

    Raises:
        TrainingError: a file is damaged, or another run's.
    """
    run.check_files()
    recipe, lines = decisive(run.recipe), run.metrics()
    measured = [line for line in lines if "val_accuracy" in line]
    chosen = measured[-1] if measured else {}
    if recipe["keep"] == "best" and measured:
        by = f"val_{recipe['measure']}"
        chosen = max(measured, key=lambda line: float(line.get(by, line["val_accuracy"])))
    return {
        "epochs_done": lines[-1]["epoch"] + 1 if lines else 0,
        **{name: float(chosen[name]) for name in ("val_accuracy", "val_macc") if name in chosen},
    }


def _fault(error: PointstillError, folder: Path) -> str:
    """What is wrong, said of the folder or of a file in it."""
    where = Path(error.where or folder)
    return error.what if where == folder else f"{where.name} {error.what}"


def _name(place: Path, root: Path) -> str:
    return str(place.relative_to(root)) if place != root else root.resolve().name


def run_table(runs: Sequence[RunEntry], folder: str | Path) -> Table:
    """Runs on the terminal, one a row."""
    words = ("model", "loss", "data", "records", "teacher", "features", "version", "state")
    text = {name: Column(name, overflow="fold") for name in words}
    columns = ["run", "model", "loss", "seed", "epochs", "val %", "data", "records"]
    columns += ["teacher", "points", "features", "version", "state"]
    return draw_table(
        [text.get(name, name) for name in columns],
        [_row(each) for each in runs],
        title=f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'} below {folder}",
        caption="val: overall accuracy of the weights that are kept, on validation shapes; behind "
        "data and records, and of the teacher: the first digits of their SHA-256",
    )


def _row(run: RunEntry) -> list[str]:
    done = "" if run.epochs_done is None else f"{run.epochs_done} of {run.epochs}"
    accuracy = "" if run.val_accuracy is None else f"{100 * run.val_accuracy:.1f}"
    state = "finished" if run.finished else "unfinished"
    return [
        run.name,
        run.model or "",
        run.loss or "",
        "" if run.seed is None else str(run.seed),
        done,
        accuracy,
        _origin(run.data, run.origin.get("data")),
        _origin(run.records, run.origin.get("records")),
        (run.origin.get("teacher") or "")[:8],
        "" if run.points is None else f"{run.points:,}",
        run.features or "",
        run.pointstill or "",
        run.fault or state,
    ]


def _origin(place: str | None, fingerprint: str | None) -> str:
    """The last part of a path, and what was there."""
    name = Path(place).name if place else ""
    return f"{name} {fingerprint[:8]}".strip() if fingerprint else name


def write_runs(runs: Sequence[RunEntry], path: Path) -> None:
    """Write runs as JSON, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, (json.dumps([asdict(run) for run in runs], indent=1) + "\n").encode())
