"""Distillation goes by the records: it refuses what does not belong together, and says the fix."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
import zarr

from pointstill.augment import Clouds, Pipeline, pipeline
from pointstill.augment.scale import Scale
from pointstill.data import Dataset, open_dataset
from pointstill.distillation import distill, train, training_shapes
from pointstill.errors import PointstillError, RecordsError, TrainingError, UsageError
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.recording import record
from pointstill.records import Store
from pointstill.run import LOCK, RECIPE, WEIGHTS, Run, at_work
from pointstill.teachers import load_teacher

pytestmark = pytest.mark.usefixtures("toy")

QUICK = {"epochs": 1, "batch_size": 16, "val": 0.0}


@pytest.fixture
def data(solids: Path) -> Dataset:
    return open_dataset(solids)


@pytest.fixture
def copied(records: Path, tmp_path: Path) -> Path:
    """A copy of the records, to be damaged."""
    return Path(shutil.copytree(records, tmp_path / "copied.zarr"))


@pytest.fixture
def go(data: Dataset, records: Path, tmp_path: Path) -> Callable[..., Run]:
    """Distil a toy for an epoch."""

    def go(
        *,
        data: Dataset = data,
        records: Path = records,
        past_records: Path | None = None,
        out: str = "run",
        **options,
    ) -> Run:
        return distill(
            "toy",
            data,
            records=records,
            out=tmp_path / out,
            recipe=DistillRecipe(**QUICK | options),
            past_records=past_records,
            quiet=True,
        )

    return go


@pytest.fixture
def again(teacher_run: Path, tmp_path: Path, data: Dataset) -> Callable[..., Path]:
    """Record the teacher once more, with other options."""

    def again(**options) -> Path:
        teacher = load_teacher(str(teacher_run), classes=data.classes)
        out = tmp_path / "again.zarr"
        return record(teacher, data, out=out, quiet=True, **{"views": 3} | options).path

    return again


def refused(kind: type[PointstillError], job: Callable[[], Run], *named: str) -> None:
    """The job is refused in one line that has all of `named`."""
    with pytest.raises(kind) as caught:
        job()
    message = str(caught.value)
    assert "\n" not in message
    for text in named:
        assert text in message


# What belongs together


def test_other_data(go, make_solids, tmp_path, records):
    other = open_dataset(make_solids(tmp_path / "other", first_seed=500))
    fix = "train on the data that was recorded, or record this data"
    refused(RecordsError, lambda: go(data=other), str(records), "data.fingerprint", fix)
    assert not (tmp_path / "run").exists()


def test_the_same_clouds_in_another_order(go, solids, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(solids, other)
    first, second = (other / name for name in open_dataset(solids).train.names[:2])
    clouds = first.read_bytes(), second.read_bytes()
    first.write_bytes(clouds[1])
    second.write_bytes(clouds[0])
    refused(RecordsError, lambda: go(data=open_dataset(other)), "data.fingerprint")


def test_other_classes(go, solids, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(solids, other)
    (other / "rod").rename(other / "stick")
    refused(RecordsError, lambda: go(data=open_dataset(other)), "classes", "'rod'", "'stick'")


def test_another_number_of_shapes(go, solids, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(solids, other)
    (other / open_dataset(solids).train.names[0]).unlink()
    refused(RecordsError, lambda: go(data=open_dataset(other)), "data.shapes: 48 in the records")


def test_another_version_of_an_operation(go, monkeypatch, records):
    monkeypatch.setattr(Scale, "version", 2)
    fix = "record again, or install the pointstill that recorded it"
    named = "augment.operations.scale.version: 1 in the records, now 2"
    refused(RecordsError, go, str(records), named, fix)


@pytest.mark.parametrize("room", ["normalize", "resample"])
def test_another_version_of_the_view(go, monkeypatch, room):
    monkeypatch.setattr(f"pointstill.augment.{room}.VERSION", 2)
    refused(RecordsError, go, f"augment.{room}.version: 1 in the records, now 2", "record again")


def test_an_operation_that_is_gone(go, monkeypatch):
    monkeypatch.delitem(pipeline.OPERATIONS, "shift")
    refused(RecordsError, go, "shift@1 is not in this pointstill", "record again")


def test_shapes_that_were_not_recorded(go, again):
    store = again(views=1, limit=12)
    named = ("covers 12 of the data's 48 shapes", "--limit 12", "record all shapes")
    refused(RecordsError, lambda: go(records=store), *named)
    refused(RecordsError, lambda: go(records=store, limit=13), *named)
    assert go(records=store, limit=12).finished
    assert go(records=store, limit=6, out="fewer").finished


def test_an_unfinished_store(go, copied):
    (copied / "probe" / "c.2.0.0").unlink()
    named = ("is unfinished: 1 of 3 tiles", "run the same `pointstill record` again")
    refused(RecordsError, lambda: go(records=copied), *named)


def test_no_store(go, tmp_path):
    missing = tmp_path / "missing.zarr"
    refused(RecordsError, lambda: go(records=missing), str(missing), "`pointstill record`")


def test_views_that_do_not_replay(go, copied):
    parameters = zarr.open_group(copied)["augment"]
    parameters[:] = np.asarray(parameters[:]) + np.float32(1e-6)
    refused(RecordsError, lambda: go(records=copied), "does not replay", "records repair")


def test_points_that_are_not_those_of_the_fingerprint(go, monkeypatch):
    """As a damaged cache would give them: replay finds out."""

    def damaged(split, device) -> Clouds:
        return Clouds(np.roll(split.points, 7, axis=0), split.offsets, device)

    monkeypatch.setattr(Clouds, "of", damaged)
    refused(RecordsError, go, "away from what the teacher saw", "record again")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 1}, "augment.seed"),
        ({"views": 2}, "views"),
        ({"points": 32}, "points"),
        ({"augment": "scale"}, "augment.operations"),
        ({"limit": 40}, "does not cover the shapes"),
    ],
)
def test_past_records_of_other_views(go, again, options, named):
    past = again(**options)
    job = lambda: go(past="records", past_records=past)  # noqa: E731
    refused(RecordsError, job, str(past), named, "record the student")


def test_an_unfinished_past(go, copied):
    (copied / "probe" / "c.1.0.0").unlink()
    refused(RecordsError, lambda: go(past="records", past_records=copied), "to the end")


def test_past_records_are_asked_for(go, records):
    refused(RecordsError, lambda: go(past="records"), "--past-records STORE")
    run = go(past="records", past_records=records)  # the same run folder: none was begun
    assert run.recipe["past_records"] == str(records)
    assert run.recipe["origin"]["past"] == Store.open(records).attributes["teacher"]


@pytest.mark.parametrize("options", [{"loss": "kd"}, {"loss": "ce", "past": "records"}, {}])
def test_past_records_that_would_not_be_used(go, records, tmp_path, options):
    named = (str(records), "--loss nwsd --past records")
    refused(UsageError, lambda: go(past_records=records, **options), *named)
    assert not (tmp_path / "run").exists()


def test_paths_in_a_recipe_are_valid_from_every_folder(
    data, solids, records, tmp_path, monkeypatch
):
    monkeypatch.chdir(solids.parent)
    near = open_dataset(solids.name)
    out, recipe = tmp_path / "run", DistillRecipe(past="records", **QUICK)
    places = {"records": os.path.relpath(records), "past_records": os.path.relpath(records)}
    run = distill("toy", near, out=out, recipe=recipe, quiet=True, **places)
    monkeypatch.chdir(tmp_path)
    assert Path(run.recipe["data"]).is_absolute()
    assert open_dataset(run.recipe["data"]).train.fingerprint == data.train.fingerprint
    for name in places:
        assert Path(run.recipe[name]).is_absolute()
        assert Path(run.recipe[name]).samefile(records)


def test_built_in_data_keeps_its_name(tmp_path, monkeypatch):
    name = "primitives-clean"
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # which is not what the name means
    recipe = TrainRecipe(epochs=1, points=32, limit=16, val=0.0)
    run = train("toy", open_dataset(name), out=tmp_path / "run", recipe=recipe, quiet=True)
    assert run.recipe["data"] == name


def test_a_run_folder_that_another_process_trains_in(go, tmp_path):
    with at_work(tmp_path / "run"):
        refused(TrainingError, go, "is being written by process", "another --out")
    assert go().finished
    assert LOCK not in {path.name for path in (tmp_path / "run").iterdir()}


def test_records_of_another_teacher(go, records, student_run, data, tmp_path):
    go()
    student = load_teacher(str(student_run), classes=data.classes)
    other = record(student, data, out=tmp_path / "other.zarr", views=3, quiet=True).path
    named = ("another recipe", "origin.teacher.fingerprint")
    refused(TrainingError, lambda: go(records=other), *named)
    moved = shutil.copytree(records, tmp_path / "moved.zarr")
    assert go(records=moved).finished  # the same records elsewhere are the same


def test_an_unknown_student(data, records, tmp_path):
    job = lambda: distill(  # noqa: E731
        "stilnet-n", data, records=records, out=tmp_path / "run", recipe=DistillRecipe(), quiet=True
    )
    refused(UsageError, job, "did you mean stillnet-n")


# What a student is trained on


def test_epochs_replay_the_recorded_views(go, data, records, monkeypatch):
    """Epoch e is view e mod V, with the recorded parameters and logits of each shape."""
    store = Store.open(records)
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    taught: list[torch.Tensor] = []
    replay = Pipeline.replay

    def spy(self, clouds, view, shapes, parameters, count):
        seen.append((view, shapes, parameters))
        return replay(self, clouds, view, shapes, parameters, count)

    from pointstill.losses import LOSSES

    kd = LOSSES["kd"]

    def spy_loss(logits, targets, options):
        taught.append(targets.teacher)
        return kd.function(logits, targets, options)

    monkeypatch.setattr("pointstill.distillation.check_replay", lambda *_: None)
    monkeypatch.setattr(Pipeline, "replay", spy)
    monkeypatch.setitem(LOSSES, "kd", kd._replace(function=spy_loss))
    run = go(loss="kd", epochs=5, val=0.1)
    assert [line["view"] for line in run.metrics()] == [0, 1, 2, 0, 1]
    assert [view for view, *_ in seen] == [view for view in (0, 1, 2, 0, 1) for _ in range(3)]
    for (view, shapes, parameters), logits in zip(seen, taught, strict=True):
        rows = shapes.numpy()  # all shapes are recorded, so a row is a shape
        np.testing.assert_array_equal(parameters.numpy(), store.parameters(view)[rows])
        np.testing.assert_array_equal(logits.numpy(), store.logits(view)[rows])


def test_a_limited_store_gives_each_shape_its_own_row(go, data, again, monkeypatch):
    store = Store.open(again(views=1, limit=12))
    full = {int(shape): row for row, shape in enumerate(store.shapes)}
    seen = []
    replay = Pipeline.replay

    def spy(self, clouds, view, shapes, parameters, count):
        seen.append((shapes, parameters))
        return replay(self, clouds, view, shapes, parameters, count)

    monkeypatch.setattr("pointstill.distillation.check_replay", lambda *_: None)
    monkeypatch.setattr(Pipeline, "replay", spy)
    go(records=store.path, limit=9)
    assert sorted(torch.cat([shapes for shapes, _ in seen]).tolist()) == sorted(
        training_shapes(data.train, DistillRecipe(limit=9, val=0))[0].tolist()
    )
    for shapes, parameters in seen:
        for shape, row in zip(shapes.tolist(), parameters.numpy(), strict=True):
            np.testing.assert_array_equal(row, store.parameters(0)[full[shape]])


def test_a_student_with_fewer_points_sees_a_part_of_the_same_view(go, data, records):
    run = go(points=32)
    assert run.recipe["points"] == 32
    store = Store.open(records)
    clouds = Clouds(data.train.points, data.train.offsets)
    shapes = torch.arange(6)
    parameters = torch.from_numpy(store.parameters(1)[:6])
    made = Pipeline.restore(store.attributes["augment"])
    views = [made.replay(clouds, 1, shapes, parameters, count) for count in (64, 32)]
    torch.testing.assert_close(views[0][:, :32], views[1], rtol=0, atol=0)


@pytest.mark.parametrize("keyed", [True, False])
def test_recorded_views_may_have_jitter(go, again, keyed):
    """Point-level noise is replayed from its key, whether parameters are stored or not."""
    store = again(augment="scale,jitter,dropout", keyed=keyed, codec="int8")
    assert (store / "augment").exists() is not keyed
    assert go(records=store, loss="kd").finished


def test_points_are_those_of_the_records(go):
    assert go().recipe["points"] == 64


def test_labels_alone_need_no_logits(go, copied):
    for chunk in (copied / "logits").glob("c.*"):
        chunk.unlink()
    refused(RecordsError, lambda: go(loss="kd", records=copied, out="kd"), "logits")
    run = go(loss="ce", records=copied)
    assert run.finished
    assert run.metrics()[0].keys() >= {"ce", "loss"}
    assert "kd" not in run.metrics()[0]


def test_labels_alone_on_recorded_views_are_not_those_on_fresh_ones(go, data, tmp_path):
    recorded = go(loss="ce", epochs=4)
    recipe = TrainRecipe(points=64, **QUICK | {"epochs": 4})
    fresh = train("toy", data, out=tmp_path / "fresh", recipe=recipe, quiet=True)
    # The first epoch draws the same view (same seed); the fourth is the first view again, or new.
    first = [run.metrics()[0]["loss"] for run in (recorded, fresh)]
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    assert [line["view"] for line in recorded.metrics()] == [0, 1, 2, 0]
    assert [line["view"] for line in fresh.metrics()] == [0, 1, 2, 3]


def test_the_run_folder_says_what_it_was_made_from(student_run, data, records):
    recipe = yaml.safe_load((student_run / RECIPE).read_text())
    assert recipe["student"] == "stillnet-n"
    assert recipe["records"] == str(records)
    assert recipe["points"] == 64
    origin, store = recipe["origin"], Store.open(records)
    assert origin["data"] == data.train.fingerprint
    assert origin["classes"] == ["ball", "box", "rod"]
    assert origin["teacher"] == store.attributes["teacher"]
    assert origin["augment"] == store.attributes["augment"]
    assert origin["records"] == store.fingerprint
    lines = (student_run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]
    parts = {"ce", "kd", "repulsion", "floored", "kl_past", "agreement", "max_logit"}
    assert parts <= json.loads(lines[1]).keys()


def test_says_what_it_is_going_to_do(data, tmp_path, capsys):
    recipe = TrainRecipe(points=64, **QUICK | {"val": 0.25})
    train("toy", data, out=tmp_path / "run", recipe=recipe)
    said = " ".join(capsys.readouterr().err.split())
    assert "training toy (147 parameters) on 36 shapes of 3 classes (12 held out)" in said
    assert "1 epochs, 64 points a view" in said


# Nobody but the training split


@pytest.mark.parametrize("damage", ["garbage", "empty", "removed", "unreadable"])
def test_the_test_split_is_not_needed(damage, solids, records, public_path, unprivileged, tmp_path):
    """From a fresh cache, with the test files spoilt in every way."""
    split = open_dataset(solids)
    root, out = public_path / "solids", public_path / "out"
    for part in (split.train, split.test):
        for name in part.names:
            (root / part.name / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(solids / name, root / part.name / name)
    if damage == "removed":
        shutil.rmtree(root / "test")
    for file in (root / "test").rglob("*.npy"):
        if damage == "unreadable":
            file.chmod(0)
        else:
            file.write_bytes(b"" if damage == "empty" else b"no cloud at all")
    store = shutil.copytree(records, public_path / "records.zarr")
    with unprivileged():
        data = open_dataset(root, cache=public_path / "cache")
        recipe = DistillRecipe(**QUICK)
        assert data.classes == split.classes
        assert data.train.fingerprint == split.train.fingerprint
        run = distill("toy", data, records=store, out=out, recipe=recipe, quiet=True)
    assert (run.folder / WEIGHTS).stat().st_size > 0
    assert len(list((public_path / "cache").iterdir())) == 1  # the training split alone


def test_no_teacher_is_loaded(solids, records, tmp_path):
    """Neither teachers nor recording is so much as imported, from the command line on."""
    program = """
import sys
from pointstill.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code
assert code == 0, code
loaded = [name for name in sys.modules if name.startswith("pointstill.")]
assert "pointstill.training" in loaded
for name in ("teachers", "recording", "evaluation", "demo"):
    assert not any(each.startswith("pointstill." + name) for each in loaded), name
"""
    line = f"distill --student stillnet-n --data {solids} --records {records} --epochs 1"
    line += f" --batch-size 16 --device cpu --out {tmp_path / 'run'}"
    command = [sys.executable, "-c", program, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"finished {tmp_path / 'run'}" in done.stdout
