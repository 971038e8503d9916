"""Distillation goes by the records: what a student is trained on, and what its run folder says."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from distilling import QUICK, refused
from pointstill.augment import Clouds, Pipeline
from pointstill.data import open_dataset
from pointstill.errors import RecordsError
from pointstill.losses import kd
from pointstill.losses.options import KDOptions
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.records import Store
from pointstill.run import RECIPE
from pointstill.training.jobs import distill, train
from pointstill.training.shapes import training_shapes

pytestmark = pytest.mark.usefixtures("toy")


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

    parts = kd.parts

    def spy_loss(logits, targets, options):
        taught.append(targets.teacher)
        return parts(logits, targets, options)

    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)
    monkeypatch.setattr(Pipeline, "replay", spy)
    monkeypatch.setattr(kd, "parts", spy_loss)
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

    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)
    monkeypatch.setattr(Pipeline, "replay", spy)
    go(records=store.path, limit=9)
    assert sorted(torch.cat([shapes for shapes, _ in seen]).tolist()) == sorted(
        training_shapes(data.train, DistillRecipe(limit=9, val=0), KDOptions()).train.tolist()
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


def test_missing_logits_are_told_before_a_start(go, copied):
    for chunk in (copied / "logits").glob("c.*"):
        chunk.unlink()
    for loss in ("kd", "ce"):
        refused(RecordsError, lambda loss=loss: go(loss=loss, records=copied, out=loss), "logits")


def test_labels_alone_need_no_logits(go, monkeypatch):
    unread = "the logits were read"
    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)
    monkeypatch.setattr(Store, "logits", lambda *_: pytest.fail(unread))
    run = go(loss="ce")
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


# What the run folder and the screen say


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


def test_paths_in_a_recipe_are_valid_from_every_folder(
    data, solids, records, tmp_path, monkeypatch
):
    monkeypatch.chdir(solids.parent)
    near = open_dataset(solids.name)
    out, recipe = tmp_path / "run", DistillRecipe(loss="nwsd", past="records", **QUICK)
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


def test_says_what_it_is_going_to_do(data, tmp_path, capsys):
    recipe = TrainRecipe(points=64, **QUICK | {"val": 0.25})
    train("toy", data, out=tmp_path / "run", recipe=recipe)
    said = " ".join(capsys.readouterr().err.split())
    assert "training toy (147 parameters) on 36 shapes of 3 classes (12 held out)" in said
    assert "1 epochs, 64 points a view" in said
