"""Run folders: begun, gone on with, refused; whole files or none."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from pointstill.errors import TrainingError
from pointstill.models import build_model
from pointstill.run import LOCK, METRICS, RECIPE, STATE, WEIGHTS, Run, at_work

RECIPE_ENTRIES = {
    "model": "stillnet-n",
    "data": "scans/",
    "epochs": 3,
    "points": 64,
    "learning_rate": 1e-05,
    "limit": None,
    "device": "auto",
    "origin": {"model": "stillnet-n", "classes": ["a", "no", "été"], "up": "z", "data": "f00d"},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.begin(tmp_path / "deep" / "run", RECIPE_ENTRIES)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full as soon as bytes must reach it."""

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)


def test_the_recipe_comes_back_as_it_went(run):
    assert Run(run.folder).recipe == RECIPE_ENTRIES
    assert yaml.safe_load((run.folder / RECIPE).read_text("utf-8")) == RECIPE_ENTRIES
    assert (run.model_name, run.classes) == ("stillnet-n", ["a", "no", "été"])
    assert str(run.folder) in repr(run)


def test_tuples_become_lists(tmp_path):
    entries = RECIPE_ENTRIES | {"origin": {**RECIPE_ENTRIES["origin"], "classes": ("a", "b")}}
    Run.begin(tmp_path / "run", entries)
    Run.begin(tmp_path / "run", entries)  # not another recipe
    assert Run(tmp_path / "run").classes == ["a", "b"]


def test_the_same_recipe_goes_on(run):
    run.save_state({"epoch": 1})
    assert Run.begin(run.folder, RECIPE_ENTRIES).load_state() == {"epoch": 1}


def test_places_and_speed_may_change(run):
    moved = RECIPE_ENTRIES | {"data": "elsewhere/", "device": "cpu", "records": "r", "threads": 3}
    moved |= {"save_minutes": 9.0, "past_records": "p"}
    moved |= {"skip_bad": True, "drop_missing": True}
    assert Run.begin(run.folder, moved).recipe["data"] == "scans/"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 4}, "epochs: 3 then, 4 now"),
        ({"limit": 8}, "limit: None then, 8 now"),
        ({"ema": 0.9}, "ema: 0.0 then, 0.9 now"),
        (
            {"origin": {**RECIPE_ENTRIES["origin"], "data": "beef"}},
            "origin.data: f00d then, beef now",
        ),
    ],
)
def test_another_recipe_is_refused(run, change, named):
    with pytest.raises(TrainingError) as caught:
        Run.begin(run.folder, RECIPE_ENTRIES | change)
    message = str(caught.value)
    assert f"({named})" in message  # that, and nothing else
    assert "another --out" in message
    assert "\n" not in message


def of_version(version: str) -> dict[str, object]:
    origin = {**RECIPE_ENTRIES["origin"], "pointstill": version}
    return RECIPE_ENTRIES | {"origin": origin}


def test_a_finished_run_of_another_version_is_what_was_asked_for(tmp_path):
    run = Run.begin(tmp_path / "run", of_version("0.1"))
    run.finish(build_model("stillnet-n", 3).state_dict())
    assert Run.begin(run.folder, of_version("0.2")).finished
    with pytest.raises(TrainingError, match=r"another recipe \(epochs: 3 then, 9 now\)"):
        Run.begin(run.folder, of_version("0.2") | {"epochs": 9})


def test_an_unfinished_run_of_another_version_is_not_gone_on_with(tmp_path):
    run = Run.begin(tmp_path / "run", of_version("0.1"))
    fix = "begun by pointstill 0.1, and this is 0.2: install pointstill 0.1 to go on with it, or "
    with pytest.raises(TrainingError, match=fix) as caught:
        Run.begin(run.folder, of_version("0.2"))
    assert "same options" not in str(caught.value)
    Run.begin(run.folder, of_version("0.1"))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not empty and holds no run .*but notes.txt"):
        Run.begin(tmp_path, RECIPE_ENTRIES)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_and_leftovers_of_a_killed_start_are_taken(tmp_path):
    (tmp_path / f".{RECIPE}.123.draft").write_text("model: st")
    (tmp_path / LOCK).touch()
    run = Run.begin(tmp_path, RECIPE_ENTRIES)
    (tmp_path / f".{STATE}.123.draft").touch()
    (tmp_path / ".other.draft").touch()
    Run.begin(tmp_path, RECIPE_ENTRIES)
    assert {path.name for path in run.folder.iterdir()} == {RECIPE, LOCK, ".other.draft"}


def test_a_state_left_beside_finished_weights_is_swept(run):
    run.finish(build_model("stillnet-n", 3).state_dict())
    run.save_state({"epoch": 1})  # as if killed before it was removed
    assert Run.begin(run.folder, RECIPE_ENTRIES).finished
    assert not (run.folder / STATE).exists()


HOLDER = """
import sys, time
from pointstill.run import at_work
with at_work(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_one_process_trains_in_a_folder(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(TrainingError) as caught, at_work(folder):
            pass
        holder.kill()
    who = f"process {holder.pid} on {os.uname().nodename}"
    assert f"{folder} is being written by {who}: wait until it ends" in str(caught.value)
    with at_work(folder):
        Run.begin(folder, RECIPE_ENTRIES)
    assert [path.name for path in folder.iterdir()] == [RECIPE]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_finished(run, value):
    with pytest.raises(TrainingError, match=r"norm\.bias is not finite"):
        run.finish({"weight": torch.ones(3), "norm.bias": torch.tensor([0.0, value])})
    assert not run.finished


def test_no_run_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(TrainingError, match="is no run folder"):
            Run(path)


@pytest.mark.parametrize(
    "content", [b"", b"- 1\n", b"a: [", b"model: x\n", b"\xff\xfe\x00\x80", b"origin: 3\n"]
)
def test_a_damaged_recipe(run, content):
    (run.folder / RECIPE).write_bytes(content)
    for again in (lambda: Run(run.folder), lambda: Run.begin(run.folder, RECIPE_ENTRIES)):
        with pytest.raises(TrainingError, match="damaged") as caught:
            again()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_state(run, damage):
    run.save_state({"epoch": 1, "model": torch.ones(100)})
    whole = (run.folder / STATE).read_bytes()
    content = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage]
    (run.folder / STATE).write_bytes(content)
    with pytest.raises(TrainingError, match=r"is damaged \(.*\): remove it") as caught:
        run.load_state()
    assert "\n" not in str(caught.value)


def test_a_state_that_would_run_code(run):
    class Evil:
        def __reduce__(self):
            return (print, ("gotcha",))

    torch.save({"epoch": Evil()}, run.folder / STATE)
    with pytest.raises(TrainingError, match="damaged"):
        run.load_state()


def test_no_state_at_the_start(run):
    assert run.load_state() is None
    assert run.metrics() == []
    assert not run.finished


def test_weights_come_back(run):
    model = build_model("stillnet-n", 3)
    run.save_state({"epoch": 1})
    run.finish(model.state_dict())
    assert run.finished
    assert not (run.folder / STATE).exists()
    loaded = run.model()
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("damage", ["truncated", "empty", "other classes"])
def test_damaged_weights(run, damage):
    run.finish(build_model("stillnet-n", 4 if damage == "other classes" else 3).state_dict())
    path = run.folder / WEIGHTS
    if damage != "other classes":
        path.write_bytes(path.read_bytes()[:1000] if damage == "truncated" else b"")
    what = "does not fit stillnet-n" if damage == "other classes" else "is damaged"
    with pytest.raises(TrainingError, match=rf"{what} \(.*\): train again") as caught:
        run.model()
    assert "\n" not in str(caught.value)


def test_an_unfinished_run_has_no_model(run):
    with pytest.raises(TrainingError, match="run the same command again"):
        run.model()


def test_a_full_disk_leaves_what_was_there(run, monkeypatch):
    run.save_state({"epoch": 1})
    run.log({"epoch": 0, "loss": 1.0})
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    full_disk(monkeypatch)
    for write in (
        lambda: run.save_state({"epoch": 2}),
        lambda: run.log({"epoch": 1, "loss": 0.5}),
        lambda: run.finish({"weight": torch.ones(3)}),
    ):
        with pytest.raises(TrainingError, match="No space left on device") as caught:
            write()
        assert str(run.folder) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


def test_a_full_disk_at_the_start(tmp_path, monkeypatch):
    full_disk(monkeypatch)
    with pytest.raises(TrainingError, match="No space left"):
        Run.begin(tmp_path / "run", RECIPE_ENTRIES)
    monkeypatch.undo()
    Run.begin(tmp_path / "run", RECIPE_ENTRIES)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        Run.begin(tmp_path / "run", RECIPE_ENTRIES)


def test_a_later_log_replaces_that_epoch_and_later_ones(run):
    for epoch in range(4):
        run.log({"epoch": epoch, "loss": float(epoch)})
    run.log({"epoch": 2, "loss": -1.0})
    assert [(line["epoch"], line["loss"]) for line in run.metrics()] == [(0, 0), (1, 1), (2, -1)]
    assert len((run.folder / METRICS).read_text().splitlines()) == 3


@pytest.mark.parametrize("closed", [RECIPE, METRICS, STATE, WEIGHTS])
def test_a_file_that_may_not_be_read_is_not_called_damaged(public_path, unprivileged, closed):
    run = Run.begin(public_path / "run", RECIPE_ENTRIES)
    run.log({"epoch": 1})
    run.finish(build_model("stillnet-n", 3).state_dict())
    run.save_state({"step": 1})
    (run.folder / closed).chmod(0)
    read = {
        RECIPE: lambda: Run(run.folder),
        METRICS: run.metrics,
        STATE: run.load_state,
        WEIGHTS: run.model,
    }
    with unprivileged(), pytest.raises(TrainingError) as caught:
        read[closed]()
    said = f"{run.folder / closed} cannot be read (Permission denied): mend its permissions"
    said = f"{said}; nothing says that it is damaged"
    assert str(caught.value) == said


def test_damaged_metrics(run):
    run.log({"epoch": 0})
    (run.folder / METRICS).write_text('{"epoch": 0')
    with pytest.raises(TrainingError, match="damaged"):
        run.metrics()


def test_files_are_whole_or_not_at_all(run, monkeypatch):
    """A writer that is killed before the rename leaves the old file, and a draft that is reused."""
    run.log({"epoch": 0})

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run.log({"epoch": 1})
    assert run.metrics() == [{"epoch": 0}]
    run.log({"epoch": 1})
    assert [json.dumps(line) for line in run.metrics()] == ['{"epoch": 0}', '{"epoch": 1}']
    assert sorted(path.name for path in run.folder.iterdir()) == sorted([METRICS, RECIPE])


@pytest.mark.parametrize("name", [RECIPE, METRICS, STATE, WEIGHTS])
def test_a_pipe_in_a_run_does_not_block(run, name):
    (run.folder / name).unlink(missing_ok=True)
    os.mkfifo(run.folder / name)
    reading = {RECIPE: lambda: Run(run.folder), METRICS: run.metrics, STATE: run.load_state}
    with pytest.raises(TrainingError, match=r"\(.*it is no regular file\)"):
        reading.get(name, run.model)()


@pytest.mark.parametrize(
    "change", [{"points": None}, {"points": 0}, {"data": 1}, {"loss": ["kd"]}, {"epochs": "3"}]
)
def test_a_recipe_of_another_shape(tmp_path, change):
    """As a run of before had it, which carries no digest."""
    (tmp_path / RECIPE).write_text(yaml.safe_dump(RECIPE_ENTRIES | change))
    with pytest.raises(TrainingError, match=r"is damaged, or was edited \(Expected"):
        Run(tmp_path)
