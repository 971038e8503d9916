"""Runs below a folder, sound, old, unfinished, damaged and foreign."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pointstill.data import open_dataset
from pointstill.errors import NoRunError, TrainingError
from pointstill.evaluation.runs import RunEntry, find_runs
from pointstill.recipe import TrainRecipe
from pointstill.run import METRICS, RECIPE, STATE, WEIGHTS, Run
from pointstill.training.jobs import train
from stand_ins import Killed

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "stored"
OLD = ROOT / "results" / "modelnet40"


def by_name(folder: Path) -> dict[str, RunEntry]:
    return {each.name: each for each in find_runs(folder)}


@pytest.fixture
def runs(tmp_path: Path, teacher_run: Path, student_run: Path) -> Path:
    """A folder with a teacher and, deeper, its student."""
    shutil.copytree(teacher_run, tmp_path / "teacher")
    shutil.copytree(student_run, tmp_path / "students" / "nwsd")
    return tmp_path


def test_what_a_run_says_of_itself(runs, teacher_run, student_run, solids, records):
    found = by_name(runs)
    assert [*found] == ["students/nwsd", "teacher"]
    student, run = found["students/nwsd"], Run(student_run)
    assert student.fault is None
    assert student.finished
    assert (student.model, student.loss, student.seed) == ("stillnet-n", "nwsd", 0)
    assert (student.epochs_done, student.epochs) == (3, 3)
    assert student.val_accuracy == run.metrics()[-1]["val_accuracy"]
    assert (student.data, student.records) == (str(solids), str(records))
    assert (student.points, student.features) == (64, "xyz")
    assert student.pointstill == run.recipe["origin"]["pointstill"]
    assert student.origin == {
        "data": open_dataset(solids).train.fingerprint,
        "records": run.recipe["origin"]["records"],
        "teacher": run.recipe["origin"]["teacher"]["fingerprint"],
    }
    assert found["teacher"].loss == "ce"
    assert found["teacher"].records is None


def test_runs_of_older_versions():
    old = by_name(OLD)
    assert (old["teacher-m-0"].pointstill, old["teacher-m-0"].fault) == ("0.1.0", None)
    assert (old["teacher-m-0"].epochs_done, old["teacher-m-0"].val_accuracy) == (100, None)
    stored = by_name(STORED)
    assert stored["nwsd"].loss == "nwsd"
    assert stored["labels"].finished


@pytest.mark.usefixtures("toy")
def test_accuracy_is_that_of_the_weights_that_are_kept(solids, tmp_path, monkeypatch):
    each = iter([(0.5, 0.2), (0.7, 0.1), (0.6, 0.3)] * 2)

    def validate(model: object, material: object) -> dict[str, float]:
        return dict(zip(("val_accuracy", "val_macc"), next(each), strict=True))

    monkeypatch.setattr("pointstill.training.loop.validate", validate)
    for measure in ("accuracy", "macc"):
        options = {"epochs": 3, "points": 64, "batch_size": 8, "limit": 24, "val": 0.25}
        recipe = TrainRecipe(**options, keep="best", measure=measure)
        train("toy", open_dataset(solids), out=tmp_path / measure, recipe=recipe, quiet=True)
    found = by_name(tmp_path)
    assert (found["accuracy"].val_accuracy, found["accuracy"].val_macc) == (0.7, 0.1)
    assert (found["macc"].val_accuracy, found["macc"].val_macc) == (0.6, 0.3)


@pytest.mark.usefixtures("toy")
def test_a_run_that_was_killed_is_unfinished(solids, tmp_path, monkeypatch):
    log = Run.log

    def dying(self: Run, line: dict[str, object]) -> None:
        if line["epoch"] == 2:
            raise Killed
        log(self, line)

    monkeypatch.setattr(Run, "log", dying)
    recipe = TrainRecipe(epochs=4, points=64, batch_size=8, limit=24)
    with pytest.raises(Killed):
        train("toy", open_dataset(solids), out=tmp_path / "run", recipe=recipe, quiet=True)
    (found,) = find_runs(tmp_path)
    assert (found.finished, found.epochs_done, found.epochs, found.fault) == (False, 2, 4, None)


@pytest.mark.parametrize("name", [RECIPE, METRICS, WEIGHTS, "calibration.json"])
def test_damage_is_a_row(runs, name, cli):
    file = runs / "teacher" / name
    content = file.read_bytes()
    file.write_bytes(content[:-40] + b"7" + content[-39:])
    found = by_name(runs)
    assert found["students/nwsd"].fault is None
    assert found["teacher"].fault.startswith(f"{name} is damaged")
    code, out, err = cli("runs", runs)
    assert code == 1
    assert f"{name} is damaged" in " ".join(out.split())
    assert err == "error: 1 of 2 cannot be used: see above\n"


def test_what_is_no_run_is_a_row_where_it_looks_like_one(runs):
    (runs / "other").mkdir()
    (runs / "other" / RECIPE).write_text("flour: 500 g\n")
    (runs / "rest").mkdir()
    (runs / "rest" / STATE).write_bytes(b"")
    (runs / "notes").mkdir()
    (runs / "notes" / "a.txt").write_text("")
    found = by_name(runs)
    assert found.keys() == {"students/nwsd", "teacher", "other", "rest"}
    assert found["other"].fault.startswith(f"{RECIPE} is damaged, or was edited")
    assert found["rest"].fault == f"has {STATE}, and no {RECIPE}"


def test_a_figure_that_is_none_is_damage(tmp_path):
    """Of a run of before 0.3, whose files carry no digests."""
    shutil.copytree(STORED / "labels", tmp_path / "labels")
    file = tmp_path / "labels" / METRICS
    lines = [json.loads(line) | {"val_accuracy": "high"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = find_runs(tmp_path)
    assert found.fault.startswith(f"{METRICS} is damaged (could not convert string")


def test_record_stores_hidden_folders_and_links_are_passed_over(runs, tmp_path_factory):
    for name in (".hidden", "records.zarr/inner"):
        shutil.copytree(runs / "teacher", runs / name)
    (runs / "records.zarr" / "zarr.json").write_text("{}")
    (runs / "link").symlink_to(runs, target_is_directory=True)
    assert by_name(runs).keys() == {"students/nwsd", "teacher"}


def test_a_folder_that_may_not_be_entered_is_a_row(teacher_run, public_path, unprivileged):
    shutil.copytree(teacher_run, public_path / "run")
    (public_path / "closed").mkdir(mode=0o700)
    with unprivileged():
        found = by_name(public_path)
    assert found["closed"].fault == "cannot be read (Permission denied)"
    assert found["run"].model == "stillnet-n"


def test_a_run_itself_and_none(teacher_run, tmp_path):
    (found,) = find_runs(teacher_run)
    assert found.name == teacher_run.name
    with pytest.raises(TrainingError, match="has no run"):
        find_runs(tmp_path)
    with pytest.raises(NoRunError, match="is no folder"):
        find_runs(tmp_path / "nothing")


def test_json_has_everything(runs, cli, tmp_path):
    file = tmp_path / "runs.json"
    code, out, _ = cli("runs", runs, "--json", file)
    assert code == 0
    assert "2 runs below" in out
    listed = {each["name"]: each for each in json.loads(file.read_text())}
    assert listed["teacher"]["origin"]["data"] == Run(runs / "teacher").recipe["origin"]["data"]


def test_listing_needs_no_torch():
    code = (
        "import sys; from pointstill.__main__ import run\n"
        f"assert run(['runs', {str(OLD)!r}]) == 0\n"
        "heavy = {'torch', 'zarr', 'scipy', 'matplotlib', 'safetensors'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
