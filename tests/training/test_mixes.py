"""Recorded mixes from end to end: recorded, verified, cut, merged, and learned from."""

import shutil

import numpy as np
import pytest
import torch

from distilling import QUICK, refused
from pointstill.augment import Clouds, Pipeline
from pointstill.errors import TrainingError, UsageError
from pointstill.losses import cross_entropy, kd
from pointstill.recipe import DistillRecipe, RecordRecipe, TrainRecipe
from pointstill.recording.job import record
from pointstill.records import Store, layout
from pointstill.records.merge_and_subset import merge, subset
from pointstill.records.verify import check_replay
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill, train
from pointstill.training.shapes import training_shapes

pytestmark = pytest.mark.usefixtures("toy")
MIX = "mix(chance=0.8),scale,shift"


@pytest.fixture(scope="module")
def mixed(solids, teacher_run, tmp_path_factory):
    """Three views in tiles of 10, most of them mixes, recorded in two parts and merged."""
    from pointstill.data import open_dataset

    data, folder = open_dataset(solids), tmp_path_factory.mktemp("mixed")
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    recipe = RecordRecipe(views=3, augment=MIX)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "TILE", 10)
        whole = record(teacher, data, out=folder / "whole", recipe=recipe, quiet=True)
        for part in ("1/2", "2/2"):
            out = folder / part[0]
            record(teacher, data, out=out, recipe=recipe, part=part, quiet=True)
        merge([folder / "1", folder / "2"], out=folder / "merged")
    merged = Store.open(folder / "merged")
    for view in range(3):
        assert np.array_equal(merged.logits(view), whole.logits(view))
        for tile in whole.tiles_of(view):
            assert merged.probe(tile)[0] == whole.probe(tile)[0]
    return whole.path


def partners(data, view: int):
    """Whom the shapes are mixed with in a view."""
    pipeline = Pipeline.restore(
        {
            "seed": 0,
            "split": "train",
            "normalize": {"version": 2},
            "operations": [
                {"name": "mix", "version": 1, "chance": 0.8, "most": 0.5, "how": "nearest"}
            ],
        }
    )
    return pipeline.partners(view, torch.arange(len(data.train)), len(data.train))


def test_the_teacher_saw_what_is_replayed(mixed, data, teacher_run):
    store, clouds = Store.open(mixed), Clouds.of(data.train)
    pipeline = Pipeline.restore(store.attributes["augment"])
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    crossing = 0
    for view in range(3):
        found = partners(data, view)
        for tile in store.tiles_of(view):
            assert check_replay(store, tile, pipeline, clouds) == 0
            rows = torch.arange(tile.start, tile.stop)
            outside = (found.shapes[rows] < tile.start) | (found.shapes[rows] >= tile.stop)
            crossing += int(outside.sum())
            drawn = torch.from_numpy(store.tile_parameters(tile))
            seen = pipeline.replay(clouds, view, rows, drawn, store.attributes["points"])
            logits = teacher.logits(seen).numpy()
            recorded = store.logits(view)[tile.start : tile.stop]
            np.testing.assert_allclose(recorded, logits, rtol=1e-3, atol=1e-2)
    assert crossing > 50  # partners that are in another tile


def test_students_learn_both_labels_and_see_none_that_is_held_out(
    mixed, data, tmp_path, monkeypatch
):
    recipe = DistillRecipe(**QUICK | {"epochs": 3, "val": 0.2, "batch_size": 8})
    train_on = set(training_shapes(data.train, recipe, recipe.loss_options).train.tolist())
    seen: list[list[tuple[int, int]]] = []
    told: list = []
    replay, parts = Pipeline.replay, kd.parts

    def spy(self, clouds, view, shapes, parameters, count):
        seen.append([(view, shape) for shape in shapes.tolist()])
        return replay(self, clouds, view, shapes, parameters, count)

    def spy_loss(logits, targets, options):
        told.append(targets)
        return parts(logits, targets, options)

    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)
    monkeypatch.setattr(Pipeline, "replay", spy)
    monkeypatch.setattr(kd, "parts", spy_loss)
    distill("toy", data, records=mixed, out=tmp_path / "run", recipe=recipe, quiet=True)
    labels, every = data.train.labels, set()
    for batch, targets in zip(seen, told, strict=True):
        for place, (view, shape) in enumerate(batch):
            found = partners(data, view)
            partner = int(found.shapes[shape])
            assert {shape, partner} <= train_on
            assert int(targets.labels[place]) == labels[shape]
            assert int(targets.second[place]) == labels[partner]
            assert float(targets.share[place]) == float(found.share[shape])
            every.add((view, shape))
    allowed = {
        (view, shape)
        for view in range(3)
        for shape in train_on
        if int(partners(data, view).shapes[shape]) in train_on
    }
    assert every == allowed
    assert len(allowed) < 3 * len(train_on)


def test_too_few_are_left_for_the_steps(mixed, data, tmp_path):
    recipe = DistillRecipe(**QUICK | {"val": 0.5, "batch_size": 2})
    job = lambda: distill(  # noqa: E731
        "toy", data, records=mixed, out=tmp_path / "run", recipe=recipe, quiet=True
    )
    refused(TrainingError, job, "are mixed with some that are not trained on", "--batch-size")


@pytest.mark.parametrize("student_augment", ["none", "strays,sparse"])
def test_fresh_views_are_mixed_too(data, tmp_path, monkeypatch, student_augment):
    told, parts = [], cross_entropy.parts

    def spy_loss(logits, targets, options):
        told.append(targets)
        return parts(logits, targets, options)

    monkeypatch.setattr(cross_entropy, "parts", spy_loss)
    recipe = TrainRecipe(
        augment=MIX, points=64, student_augment=student_augment, **QUICK | {"epochs": 2}
    )
    train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    share = torch.cat([each.share for each in told])
    assert len(share) == 2 * len(data.train)
    assert 0.6 < float((share > 0).double().mean()) < 1


def test_a_part_of_the_shapes_still_has_its_partners(mixed, data, tmp_path):
    part = subset(mixed, out=tmp_path / "part", data=data, limit=12)
    store, pipeline = part, Pipeline.restore(part.attributes["augment"])
    for tile in store.tiles_of(1):
        check_replay(store, tile, pipeline, Clouds.of(data.train))
    whole = Store.open(mixed)
    rows = np.searchsorted(whole.shapes, store.shapes)
    assert np.array_equal(store.logits(1), whole.logits(1)[rows])


def test_a_limit_does_not_go_with_a_mix(data, teacher_run, tmp_path):
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    recipe = RecordRecipe(views=1, augment="mix", limit=12)
    with pytest.raises(UsageError, match="limit is 12, and mix takes partners from all 48 shapes"):
        record(teacher, data, out=tmp_path / "r", recipe=recipe, quiet=True)


def test_another_seed_of_the_mix_does_not_replay(mixed, data, tmp_path):
    store = Store.open(shutil.copytree(mixed, tmp_path / "copy"))
    augment = store.attributes["augment"]
    other = Pipeline.restore(augment | {"operations": augment["operations"][1:]})
    with pytest.raises(Exception, match="does not replay"):
        check_replay(store, store.tiles_of(0)[0], other, Clouds.of(data.train))
