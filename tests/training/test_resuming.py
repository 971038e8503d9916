"""Killed anywhere and gone on with, a run ends with the same bits as one that was not killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pointstill.data import open_dataset
from pointstill.models import MODELS
from pointstill.progress import Track
from pointstill.recipe import DistillRecipe, RecordRecipe
from pointstill.recording.job import record
from pointstill.run import STATE, WEIGHTS, Run
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill
from pointstill.training.loop import _batches
from pointstill.training.state import State
from stand_ins import Killed

pytestmark = pytest.mark.usefixtures("toy")

CASES = {
    "ce": {"loss": "ce", "smoothing": 0.1},
    "kd": {"loss": "kd", "ema": 0.9},
    "snapshot": {"loss": "nwsd", "past": "snapshot", "snapshot_age": 2},
    "ema": {"loss": "nwsd", "past": "ema", "past_decay": 0.9, "ema": 0.9},
    "table": {"loss": "nwsd", "past": "table", "form": "guard"},
    "records": {"loss": "nwsd", "past": "records"},
    "members": {"loss": "nwsd", "past": "members"},
    "mixes": {"loss": "kd"},
}
"""Five epochs of three views: views recur, so that the table has a past to tell."""


Start = Callable[..., Run]


@pytest.fixture(scope="module", autouse=True)
def toys(toy: str) -> Iterator[None]:
    """Two of the toy, as one student of two members."""

    class Toys(nn.Module):
        several, apart = True, False

        def __init__(self, classes: int):
            super().__init__()
            self.members = nn.ModuleList(MODELS[toy](classes) for _ in range(2))

        def forward(self, points: Tensor) -> Tensor:
            answers = torch.stack([member(points) for member in self.members], 1)
            return answers if self.training and self.apart else answers.mean(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toys", Toys)
        yield


@pytest.fixture(scope="module")
def mixes(solids: Path, teacher_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views, most of them mixes; some are with shapes beyond the limit of `begin`."""
    data = open_dataset(solids)
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    recipe = RecordRecipe(views=3, augment="mix(chance=0.8),scale")
    out = tmp_path_factory.mktemp("mixes") / "mixes.zarr"
    return record(teacher, data, out=out, recipe=recipe, quiet=True).path


@pytest.fixture(scope="module")
def begin(solids: Path, records: Path, mixes: Path) -> Start:
    """Start, or go on with, a run of 15 steps."""

    def begin(out: Path, case: str = "snapshot", minutes: float = 0.0) -> Run:
        options = {"epochs": 5, "batch_size": 8, "limit": 24, "val": 0, "save_minutes": minutes}
        return distill(
            "toys" if case == "members" else "toy",
            open_dataset(solids),
            records=mixes if case == "mixes" else records,
            past_records=records if case == "records" else None,
            out=out,
            recipe=DistillRecipe(**options, **CASES[case]),
            quiet=True,
        )

    return begin


@pytest.fixture(scope="module")
def wholes(begin: Start, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Runs that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    return lambda case="snapshot": begin(folder / case, case, minutes=1e9)


def lives(monkeypatch: pytest.MonkeyPatch, go_on: Callable[[], Run], moments: list[int]) -> Run:
    """Start a run again and again; life i is killed at step `moments[i]` of its own.

    At odd moments after the optimiser's step, with the new weights not saved; at even ones before.
    """
    count = State.count
    for moment in moments:
        steps: Iterator[int] = iter(range(1, 1000))

        def die(moment: int = moment, steps: Iterator[int] = steps) -> None:
            if next(steps) == moment:
                raise Killed

        with monkeypatch.context() as patch:
            if moment % 2:

                def counted(self, *arguments, die=die) -> None:
                    die()
                    count(self, *arguments)

                patch.setattr(State, "count", counted)
            else:

                def batches(*arguments, die=die) -> Iterator[Tensor]:
                    for rows in _batches(*arguments):
                        die()
                        yield rows

                patch.setattr("pointstill.training.loop._batches", batches)
            with pytest.raises(Killed):
                go_on()
    return go_on()


def same(first: Run, second: Run) -> bool:
    """Whether two runs ended alike, to the last bit."""
    assert first.finished
    assert second.finished
    assert not (second.folder / STATE).exists()
    return all(
        (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
        for name in (WEIGHTS, "metrics.jsonl")
    )


@pytest.mark.parametrize("case", CASES)
def test_killed_runs_end_with_the_same_bits(case, begin, wholes, tmp_path, monkeypatch):
    # Odd: so many steps, the last of them lost. Even: steps passed over count as well.
    killed = lives(monkeypatch, lambda: begin(tmp_path / "run", case), [1, 3, 6, 5])
    assert same(wholes(case), killed)


def test_killed_between_saves(begin, wholes, tmp_path, monkeypatch):
    """With the state of epochs' ends only, steps are made again."""
    go_on = lambda: begin(tmp_path / "run", minutes=1e9)  # noqa: E731
    assert same(wholes(), lives(monkeypatch, go_on, [2, 4, 5]))


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("method", ["log", "save_state", "finish"])
def test_killed_while_writing(begin, wholes, tmp_path, monkeypatch, method, place):
    original = getattr(Run, method)

    def dying(self, content) -> None:
        if place == "after":
            original(self, content)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, method, dying)
        with pytest.raises(Killed):
            begin(tmp_path / "run", minutes=1e9)
    assert same(wholes(), begin(tmp_path / "run", minutes=1e9))


def test_the_random_state_matters(begin, wholes, tmp_path, monkeypatch):
    """What the tests above can see: without the state of the generator, the bits differ."""
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    killed = lives(monkeypatch, lambda: begin(tmp_path / "run"), [2])
    assert not same(wholes(), killed)


def test_a_finished_run_is_left_alone(wholes, monkeypatch):
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    folder = wholes().folder
    before = times()
    monkeypatch.setattr("pointstill.training.jobs.fit", None)
    assert wholes().finished
    assert times() == before


def test_the_count_of_a_resumed_run(begin, tmp_path, monkeypatch):
    begun: list[int] = []

    class Spy(Track):
        def __init__(self, label, total, unit, done=0, quiet=False) -> None:
            assert (total, unit) == (120, "shapes")
            begun.append(done)
            super().__init__(label, total, unit, done, quiet)

    monkeypatch.setattr("pointstill.training.loop.Track", Spy)
    lives(monkeypatch, lambda: begin(tmp_path / "run"), [1, 5])
    assert begun == [0, 0, 4 * 8]


@pytest.mark.slow
def test_sigkill(solids, records, tmp_path):
    """Processes killed at random moments, and one that was not."""

    def command(out: Path) -> list[str]:
        line = f"-m pointstill distill --student stillnet-n --data {solids} --records {records} "
        line += "--loss nwsd --snapshot-age 2 --ema 0.9 "
        line += "--epochs 12 --batch-size 4 --save-minutes 0 "
        return [sys.executable, *line.split(), "--device", "cpu", "--out", str(out)]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, **quiet)
    draw, kills = random.Random(0), 0
    while kills < 4:
        process = subprocess.Popen(command(killed), **quiet)
        before = _written(killed / STATE)
        while process.poll() is None and _written(killed / STATE) == before:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.4))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    subprocess.run(command(killed), check=True, **quiet)
    assert same(Run(whole), Run(killed))
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 12
    assert json.loads((killed / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 11


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
