"""Distillation refuses what does not belong together, in one line that says the fix."""

import functools
import shutil

import numpy as np
import pytest

from distilling import refused
from pointstill.augment import Clouds, pipeline
from pointstill.augment.scale import Scale
from pointstill.data import open_dataset
from pointstill.errors import RecordsError, TrainingError, UsageError
from pointstill.recipe import DistillRecipe, RecordRecipe
from pointstill.recording.job import record
from pointstill.records import Store
from pointstill.run import LOCK, at_work
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill
from small_stores import forge

pytestmark = pytest.mark.usefixtures("toy")


# The records and the data


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


def test_points_that_the_teacher_never_saw(go, records, tmp_path):
    seen = Store.open(records).attributes["points"]
    fix = f"give --points {seen} or fewer, or record again with --points {seen + 1}"
    refused(
        RecordsError, lambda: go(points=seen + 1), str(records), f"views of {seen:,} points", fix
    )
    assert not (tmp_path / "run").exists()


def test_shapes_that_were_not_recorded(go, again):
    store = again(views=1, limit=12)
    named = ("covers 12 of the data's 48 shapes", "--limit 12", "record all shapes")
    refused(RecordsError, lambda: go(records=store), *named)
    refused(RecordsError, lambda: go(records=store, limit=13), *named)
    assert go(records=store, limit=12).finished
    assert go(records=store, limit=6, out="fewer").finished


def test_points_that_are_not_those_of_the_fingerprint(go, monkeypatch):
    """As a damaged cache would give them: replay finds out."""

    def damaged(split, device, version) -> Clouds:
        return Clouds(np.roll(split.points, 7, axis=0), split.offsets, device, version=version)

    monkeypatch.setattr(Clouds, "of", damaged)
    refused(RecordsError, go, "away from what the teacher saw", "record again")


def test_records_of_another_teacher(go, records, student_run, data, tmp_path):
    go()
    student = load_teacher(str(student_run), classes=data.classes)
    other = record(
        student, data, out=tmp_path / "other.zarr", recipe=RecordRecipe(views=3), quiet=True
    ).path
    named = ("another recipe", "origin.teacher.fingerprint")
    refused(TrainingError, lambda: go(records=other), *named)
    moved = shutil.copytree(records, tmp_path / "moved.zarr")
    assert go(records=moved).finished  # the same records elsewhere are the same


# The records and this pointstill


def test_another_version_of_an_operation(go, monkeypatch, records):
    monkeypatch.setattr(Scale, "version", 2)
    fix = "record again, or install the pointstill that recorded it"
    named = "augment.operations.scale.version: 1 in the records, now 2"
    refused(RecordsError, go, str(records), named, fix)


def test_another_version_of_the_view(go, monkeypatch):
    monkeypatch.setattr("pointstill.augment.resample.VERSION", 2)
    refused(RecordsError, go, "augment.resample.version: 1 in the records, now 2", "record again")


def test_a_normalisation_of_later(go, monkeypatch):
    monkeypatch.setattr("pointstill.augment.normalize.VERSIONS", (1,))
    refused(RecordsError, go, "normalize@2 is not in this pointstill", "record again")


def test_an_operation_that_is_gone(go, monkeypatch):
    monkeypatch.delitem(pipeline.OPERATIONS, "shift")
    refused(RecordsError, go, "shift@1 is not in this pointstill", "record again")


# The records themselves


def test_an_unfinished_store(go, copied):
    (copied / "probe" / "c.2.0.0").unlink()
    named = ("is unfinished, as 1 of 3 tiles", "run the same `pointstill record` again")
    refused(RecordsError, lambda: go(records=copied), *named)


def test_no_store(go, tmp_path):
    missing = tmp_path / "missing.zarr"
    refused(RecordsError, lambda: go(records=missing), str(missing), "`pointstill record`")


def test_views_that_do_not_replay(go, copied):
    store = Store.open(copied)
    for tile in store.tiles():
        forge(store, tile, "augment", lambda values: np.add(values, 1e-6, values))
    refused(RecordsError, lambda: go(records=copied), "does not replay", "records repair")


# The records of the past


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
    job = lambda: go(loss="nwsd", past="records", past_records=past)  # noqa: E731
    refused(RecordsError, job, str(past), named, "record the student")


def test_a_past_of_today_beside_records_of_before(go, again, monkeypatch):
    """No student can be recorded any more as those were, so the fix is another."""
    with monkeypatch.context() as patch:
        first = functools.partial(pipeline.Pipeline, normalization=1)
        patch.setattr("pointstill.recording.job.Pipeline", first)
        before = again()
    past = again(out="today.zarr")
    job = lambda: go(loss="nwsd", past="records", records=before, past_records=past)  # noqa: E731
    refused(RecordsError, job, str(past), str(before), "record the teacher again")


def test_an_unfinished_past(go, copied):
    (copied / "probe" / "c.1.0.0").unlink()
    job = lambda: go(loss="nwsd", past="records", past_records=copied)  # noqa: E731
    refused(RecordsError, job, "to the end")


def test_past_records_are_asked_for(go, records):
    refused(RecordsError, lambda: go(loss="nwsd", past="records"), "--past-records STORE")
    # In the same run folder, as none was begun.
    run = go(loss="nwsd", past="records", past_records=records)
    assert run.recipe["past_records"] == str(records)
    assert run.recipe["origin"]["past"] == Store.open(records).attributes["teacher"]


@pytest.mark.parametrize("options", [{"loss": "ce"}, {"loss": "nwsd"}, {}])
def test_past_records_that_would_not_be_used(go, records, tmp_path, options):
    named = (str(records), "--loss nwsd --past records")
    refused(UsageError, lambda: go(past_records=records, **options), *named)
    assert not (tmp_path / "run").exists()


# The rest


def test_a_run_folder_that_another_process_trains_in(go, tmp_path):
    with at_work(tmp_path / "run"):
        refused(TrainingError, go, "is being written by process", "another --out")
    assert go().finished
    assert LOCK not in {path.name for path in (tmp_path / "run").iterdir()}


def test_an_unknown_student(data, records, tmp_path):
    job = lambda: distill(  # noqa: E731
        "stilnet-n", data, records=records, out=tmp_path / "run", recipe=DistillRecipe(), quiet=True
    )
    refused(UsageError, job, "did you mean stillnet-n")
