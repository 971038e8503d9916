"""A job of a study: one command of pointstill, which resumes, and what is kept of it.

The run itself stays in a folder that Git ignores. What the page is written from is a small JSON
file in `results/`: the command, the recipe, and which test shapes were classified rightly.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.conditions import conditions

from pointstill.run import RECIPE, WEIGHTS, Run
from pointstill.storage.files import write_whole

from .outcome import Outcome, packed, run_lengths

ROOT = Path(__file__).parents[1]
POINTSTILL = (sys.executable, "-m", "pointstill")
FAR = ("data", "records", "past_records", "device", "threads", "save_minutes", "origin")
"""Entries of a recipe that say where things were, and not what was done."""


@dataclass(frozen=True)
class Place:
    """Where a study's data is, and how it is opened."""

    data: str
    options: tuple[str, ...] = ()
    """Flags of every command, such as --group."""
    splits: tuple[str, ...] = ("test",)
    """Those that finished runs are measured on."""


@dataclass(frozen=True)
class Job:
    """A model to train, a student to distil, or a teacher to record."""

    name: str
    verb: str
    """train, record or distill."""
    options: tuple[str, ...]
    """Flags beside those of data, records and output."""
    features: str = "xyz"
    teachers: tuple[str, ...] = ()
    """Jobs whose runs are recorded, together."""
    records: str | None = None
    """The job whose records are learned from."""
    past: str | None = None
    """The job whose records are the student's past."""
    measured: bool = True
    """Whether the test splits are opened for it."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Jobs that come first."""
        return (*self.teachers, *(each for each in (self.records, self.past) if each))

    def command(self, place: Place, place_of: Callable[[str], Path]) -> list[str]:
        """Arguments of pointstill; `place_of` says where the run or the records of a job are."""
        said = [self.verb, "--data", place.data, *place.options, *self.options]
        if self.features != "xyz":
            said += ["--features", self.features]
        for each in self.teachers:
            said += ["--teacher", str(place_of(each))]
        for flag, each in (("--records", self.records), ("--past-records", self.past)):
            said += [flag, str(place_of(each))] if each else []
        return [*said, "--out", str(place_of(self.name))]

    def done(self, results: Path, work: Path) -> bool:
        """Whether nothing is left to do: a run leaves a file of results, a store itself."""
        if self.verb == "record":
            return (work / f"{self.name}.done").exists()
        return (results / f"{self.name}.json").exists()

    def do(self, place: Place, results: Path, work: Path) -> None:
        """Run the command to its end, from wherever it was cut off, and keep what came of it.

        Raises:
            subprocess.CalledProcessError: it failed.
        """

        def place_of(name: str) -> Path:
            kept = results / name  # a run that is in the repository
            return kept if (kept / WEIGHTS).exists() else work / name

        started = time.monotonic()
        if not (place_of(self.name) / WEIGHTS).exists():
            command = self.command(place, place_of)
            subprocess.run([*POINTSTILL, *command], cwd=ROOT, check=True)
        seconds = round(time.monotonic() - started)
        if self.verb == "record":
            (work / f"{self.name}.done").write_text(f"{seconds}\n")
            return
        run = Run(place_of(self.name))
        entries = {name: value for name, value in run.recipe.items() if name not in FAR}
        anywhere = replace(place, data=Path(place.data).name)
        found: dict[str, Any] = {
            "command": shlex.join(["pointstill", *self.command(anywhere, Path("runs").joinpath)]),
            "recipe": entries,
            "features": self.features,
            "seconds": seconds,
            **conditions(1),
            "last_epoch": run.metrics()[-1],
            "splits": {},
        }
        for split in place.splits if self.measured else ():
            found["splits"][split] = self._measured(place, run.folder, work, split)
        target = results / f"{self.name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, (json.dumps(found, indent=1) + "\n").encode())

    def _measured(self, place: Place, run: Path, work: Path, split: str) -> dict[str, Any]:
        """What `evaluate` says of one split, in a few lines."""
        path = work / f"{self.name}-{split}.json"
        asked = ["evaluate", str(run), "--data", place.data, *place.options]
        asked += ["--features", self.features, "--split", split, "--json", str(path)]
        subprocess.run([*POINTSTILL, *asked], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        said = json.loads(path.read_text())
        (score,) = said["scores"]
        right = [
            one == other for one, other in zip(score["predictions"], said["labels"], strict=True)
        ]
        return {
            "shapes": len(right),
            "right": packed(right),
            "groups": run_lengths(said["groups"]),
            "parameters": score["parameters"],
            "mean_class_accuracy": score["mean_class_accuracy"],
            "calibration_error": score["calibration_error"],
        }


def outcomes(results: Path) -> dict[str, Outcome]:
    """What is there of a study, by the names of its jobs."""
    return {
        path.relative_to(results).with_suffix("").as_posix(): Outcome(json.loads(path.read_text()))
        for path in sorted(results.rglob("*.json"))
        if not (path.parent / RECIPE).exists()  # a run that is there whole has files of its own
    }
