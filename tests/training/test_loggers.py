"""Metrics for other readers: a copy, which changes nothing and is whole after a stop."""

import csv
import json
from pathlib import Path

import pytest

from pointstill.data import open_dataset
from pointstill.errors import UsageError
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.run import METRICS, RECIPE, WEIGHTS, Run
from pointstill.training import loggers
from pointstill.training.jobs import distill, train
from rank_launcher import DISTILL, errors, launched
from stand_ins import Killed

pytestmark = pytest.mark.usefixtures("toy")

RECIPE_OF_ALL = {"epochs": 3, "points": 64, "batch_size": 8, "limit": 24, "val": 0.25}


def begin(solids: Path, out: Path, **options: object) -> Run:
    recipe = TrainRecipe(**RECIPE_OF_ALL | options)
    return train("toy", open_dataset(solids), out=out, recipe=recipe, quiet=True)


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def expected(run: Run) -> list[dict[str, float]]:
    return [
        {"step": line["epoch"], **{k: v for k, v in line.items() if k != "epoch"}}
        for line in run.metrics()
    ]


def killed_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Let the next training die once so many epochs are logged."""
    log = Run.log

    def dying(self: Run, line: dict[str, object]) -> None:
        if line["epoch"] == epochs:
            raise Killed
        log(self, line)

    monkeypatch.setattr(Run, "log", dying)


def test_csv_says_what_the_metrics_say_and_weights_stay(solids, tmp_path):
    plain = begin(solids, tmp_path / "plain")
    logged = begin(solids, tmp_path / "logged", logger="csv")
    assert rows(logged.folder) == expected(logged)
    assert len(rows(logged.folder)) == 3
    for name in (WEIGHTS, METRICS):  # sealed for the same recipe: the logger is no part of it
        assert (plain.folder / name).read_bytes() == (logged.folder / name).read_bytes()
    assert not (plain.folder / "metrics.csv").exists()


@pytest.mark.parametrize(("first", "second"), [("csv", "csv"), ("none", "csv"), ("csv", "none")])
def test_it_goes_on_after_a_stop_with_any_logger(solids, tmp_path, first, second):
    whole = begin(solids, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            begin(solids, tmp_path / "run", logger=first)
    run = begin(solids, tmp_path / "run", logger=second)
    assert (run.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    if second == "csv":
        assert rows(run.folder) == expected(whole)


def test_a_log_that_fails_ends_no_training(solids, tmp_path):
    (out := tmp_path / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 0)
        with pytest.raises(Killed):
            begin(solids, out)
    (out / "metrics.csv").mkdir()
    with pytest.warns(UserWarning, match="its log fails .* training goes on without"):
        run = begin(solids, out, logger="csv")
    assert run.finished
    assert len(run.metrics()) == 3


def test_tensorboard_that_is_not_installed_is_said_before_any_work(cli, solids, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loggers, "find_spec", lambda name: None)
        code, _, err = cli(
            *("train", "--model", "toy", "--data", solids, "--out", tmp_path / "run"),
            *("--logger", "tensorboard"),
        )
    assert code == 2
    assert err == (
        "error: --logger tensorboard needs tensorboard: pip install 'pointstill[tensorboard]'\n"
    )
    assert not (tmp_path / "run").exists()


def test_tensorboard_has_each_epoch_once_after_a_stop(solids, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            begin(solids, tmp_path / "run", logger="tensorboard")
    run = begin(solids, tmp_path / "run", logger="tensorboard")
    assert len([*run.folder.glob("events.out.tfevents.*")]) == 2
    found = EventAccumulator(str(run.folder))
    found.Reload()
    for name in ("loss", "val_accuracy", "learning_rate"):
        values = {event.step: event.value for event in found.Scalars(name)}
        assert len(found.Scalars(name)) == 3
        assert values == pytest.approx({line["epoch"]: line[name] for line in run.metrics()})
    plain = begin(solids, tmp_path / "plain")
    assert (run.folder / WEIGHTS).read_bytes() == (plain.folder / WEIGHTS).read_bytes()


def test_no_such_logger():
    with pytest.raises(UsageError, match="logger is 'wandb'"):
        TrainRecipe(logger="wandb")  # type: ignore[arg-type]


def test_distillation_is_logged_with_its_parts(solids, records, tmp_path):
    recipe = DistillRecipe(loss="nwsd", epochs=2, batch_size=8, snapshot_age=1, logger="csv")
    data = open_dataset(solids)
    run = distill("toy", data, records=records, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert {"kl_past", "repulsion", "kd", "ce"} <= rows(run.folder)[1].keys()
    assert "logger: csv" in (run.folder / RECIPE).read_text()


@pytest.mark.slow
def test_the_first_of_two_ranks_alone_writes(solids, records, tmp_path):
    done = launched(
        *("--data", solids, "--records", records, "--out", tmp_path / "run", "--epochs", 2),
        *("--batch-size", 9, "--device", "cpu", "--logger", "csv"),
        by=f"-m torch.distributed.run --standalone --nproc-per-node 2 {DISTILL}",
    )
    assert done.returncode == 0, errors(done)
    lines = (tmp_path / "run" / METRICS).read_text().splitlines()
    assert [row["step"] for row in rows(tmp_path / "run")] == [0, 1]
    assert [row["loss"] for row in rows(tmp_path / "run")] == [json.loads(x)["loss"] for x in lines]
