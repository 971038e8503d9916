"""Shapes without a label, and a share of the labels: who learns what, and what is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distilling import refused
from pointstill.augment import Pipeline
from pointstill.data import Dataset, open_dataset
from pointstill.errors import TrainingError
from pointstill.losses.cross_entropy import label_loss
from pointstill.losses.options import KDOptions, LabelOptions
from pointstill.losses.targets import Targets
from pointstill.recipe import DistillRecipe, FitOptions, RecordRecipe, TrainRecipe
from pointstill.recording.job import record
from pointstill.records.teacher_accuracy import accuracy
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill, train
from pointstill.training.shapes import training_shapes, used_labels
from pointstill.training.state import State
from stand_ins import relabelled

pytestmark = pytest.mark.usefixtures("toy")

SMALL = {"epochs": 1, "points": 64, "batch_size": 8, "val": 0.0}
TAUGHT, UNTAUGHT = KDOptions(), LabelOptions()


@pytest.fixture(scope="module")
def solid_data(solids: Path) -> Dataset:
    return open_dataset(solids)


@pytest.fixture(scope="module")
def partly(solid_data: Dataset) -> Dataset:
    """Of 48 training shapes every third has a label."""
    labels = solid_data.train.labels.copy()
    labels[np.arange(48) % 3 > 0] = -1
    return relabelled(solid_data, labels)


@pytest.fixture(scope="module")
def bare(solid_data: Dataset) -> Dataset:
    """No training shape has a label."""
    return relabelled(solid_data, np.full(48, -1))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shapes that are trained on, as they come."""
    shapes: list[int] = []
    replay = Pipeline.replay

    def spy(self, clouds, view, some, parameters, count):
        shapes.extend(some.tolist())
        return replay(self, clouds, view, some, parameters, count)

    monkeypatch.setattr(Pipeline, "replay", spy)
    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)  # replays all
    return shapes


# A share of the labels


@pytest.mark.parametrize(("share", "each"), [(0.25, 4), (0.5, 8), (1.0, 16)])
def test_a_share_of_the_labels_is_stratified(solid_data, share, each):
    split = solid_data.train
    labels = used_labels(split, np.arange(48), share)
    assert np.bincount(labels[labels >= 0]).tolist() == [each] * 3
    assert np.array_equal(labels[labels >= 0], split.labels[labels >= 0])


def test_a_smaller_share_is_part_of_a_larger(solid_data):
    known = [
        set(np.flatnonzero(used_labels(solid_data.train, np.arange(48), share) >= 0).tolist())
        for share in (0.1, 0.3, 0.6)
    ]
    assert known[0] < known[1] < known[2]


def test_a_share_is_of_the_labels_that_there_are(partly):
    labels = used_labels(partly.train, np.arange(48), 0.5)
    assert np.count_nonzero(labels >= 0) == 8
    assert set(np.flatnonzero(labels >= 0)) < set(range(0, 48, 3))


def test_a_share_is_of_the_shapes_that_are_used(solid_data):
    shapes = np.arange(0, 48, 2)
    labels = used_labels(solid_data.train, shapes, 0.5)
    assert set(np.flatnonzero(labels >= 0)) < set(shapes)
    assert np.count_nonzero(labels >= 0) == 12


@pytest.mark.parametrize(("share", "people"), [(0.01, 1), (0.25, 2), (0.5, 4)])
def test_a_group_keeps_its_labels_together(solid_data, share, people):
    groups = [f"person {index % 8}" for index in range(48)]
    split = relabelled(solid_data, groups=groups, group="person").train
    labels = used_labels(split, np.arange(48), share)
    kept = {groups[index] for index in np.flatnonzero(labels >= 0)}
    assert len(kept) == people
    for index in range(48):
        assert (labels[index] >= 0) == (groups[index] in kept)


def test_groups_that_were_not_asked_for_decide_no_label(solid_data):
    split = relabelled(solid_data, groups=[f"person {index % 8}" for index in range(48)]).train
    labels = used_labels(split, np.arange(48), 0.25)
    assert labels.tolist() == used_labels(solid_data.train, np.arange(48), 0.25).tolist()


# Who trains on what


@pytest.mark.parametrize("options", [TAUGHT, UNTAUGHT])
def test_validation_shapes_are_labelled(partly, options):
    chosen = training_shapes(partly.train, FitOptions(val=0.25), options)
    assert len(chosen.validation) == 4
    assert (partly.train.labels[chosen.validation] >= 0).all()
    assert not set(chosen.validation) & set(chosen.train)
    taught = options is TAUGHT
    assert len(chosen.train) == (44 if taught else 12)
    assert chosen.left_out == (0 if taught else 32)


def test_labels_alone_leave_the_others_out(partly, seen, tmp_path, capsys):
    train("toy", partly, out=tmp_path / "run", recipe=TrainRecipe(**SMALL))
    assert sorted(seen) == list(range(0, 48, 3))
    said = " ".join(capsys.readouterr().err.split())
    assert "on 16 shapes of 3 classes (0 held out, 32 without a label left out)" in said


def test_the_teacher_answers_for_the_others(partly, records, seen, tmp_path, capsys, monkeypatch):
    hits, batches = [], []
    count = State.count

    def spy(self, parts, logits, targets) -> None:
        labels = targets.labels
        known = labels >= 0
        hits.extend((logits.argmax(1) == labels)[known].tolist())
        ce = torch.nn.functional.cross_entropy(
            logits[known], labels[known], reduction="sum"
        ).detach()
        batches.append((float(ce), int(known.sum()), float(parts["kd"]), len(labels)))
        count(self, parts, logits, targets)

    monkeypatch.setattr(State, "count", spy)
    recipe = DistillRecipe(loss="kd", **SMALL)
    run = distill("toy", partly, records=records, out=tmp_path / "run", recipe=recipe)
    assert sorted(seen) == list(range(48))
    said = " ".join(capsys.readouterr().err.split())
    assert "(0 held out, 32 without a label, learned from the teacher alone)" in said
    # The labels' figures are means over the 16 shapes that have one; the others over all 48.
    (line,) = run.metrics()
    ce, known, kd, shapes = (np.array(each) for each in zip(*batches, strict=True))
    assert len(hits) == known.sum() == 16
    assert any(0 < number < 8 for number in known)  # batches are mixed
    assert line["train_accuracy"] == pytest.approx(np.mean(hits))
    assert line["ce"] == pytest.approx(ce.sum() / 16, rel=1e-5)
    assert line["kd"] == pytest.approx((kd * shapes).sum() / 48, rel=1e-5)
    assert line["loss"] == pytest.approx(line["kd"] + ce.sum() / 48, rel=1e-5)


def test_of_mixes_the_cross_entropy_is_a_mean_over_those_with_both_labels():
    """Figures worked by hand: of four views one has both labels, and two have their own."""
    state = State.__new__(State)
    state.sums = {}
    targets = Targets(
        torch.tensor([0, 0, -1, -1]),
        second=torch.tensor([1, -1, 1, -1]),
        share=torch.tensor([0.25, 0.25, 0.25, 0.0]),
    )
    logits = torch.tensor([[1.0, 0.0]] * 4)
    ce = label_loss(logits, targets)
    state.count({"ce": ce.mean(), "kd": torch.tensor(3.0)}, logits, targets)
    found = state.means()
    assert found == pytest.approx({"ce": float(ce[0]), "kd": 3, "train_accuracy": 1})


def test_a_loss_without_a_teacher_leaves_them_out(partly, records, seen, tmp_path):
    recipe = DistillRecipe(loss="ce", **SMALL)
    distill("toy", partly, records=records, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert sorted(seen) == list(range(0, 48, 3))


def test_labels_that_are_not_used_count_as_none(solid_data, records, seen, tmp_path, capsys):
    for job, share in ((train, 0.25), (distill, 0.25)):
        options = SMALL | {"label_share": share}
        seen.clear()
        if job is train:
            train("toy", solid_data, out=tmp_path / "ce", recipe=TrainRecipe(**options))
        else:
            recipe = DistillRecipe(loss="kd", **options)
            distill("toy", solid_data, records=records, out=tmp_path / "kd", recipe=recipe)
        assert len(set(seen)) == (12 if job is train else 48)
        assert "36 without a label" in " ".join(capsys.readouterr().err.split())


def test_without_any_label(bare, records, tmp_path):
    options = SMALL | {"val": 0.2}

    def fit(job: Callable[..., object], recipe: object, **more: object) -> Callable[[], object]:
        return lambda: job("toy", bare, out=tmp_path / "run", recipe=recipe, quiet=True, **more)

    none = ("none of 48 training shapes has a label", "--loss kd")
    refused(TrainingError, fit(train, TrainRecipe(**options)), *none)  # type: ignore[arg-type]
    ce = DistillRecipe(loss="ce", **options)
    refused(TrainingError, fit(distill, ce, records=records), *none)  # type: ignore[arg-type]
    best = DistillRecipe(loss="kd", keep="best", **options)
    refused(
        TrainingError,
        fit(distill, best, records=records),  # type: ignore[arg-type]
        "no shape of 0 is left over for validation",
    )
    assert not (tmp_path / "run").exists()
    fit(distill, DistillRecipe(loss="kd", **options), records=records)()
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    for name in ("train_accuracy", "val_accuracy", '"ce"', "NaN"):
        assert name not in log
    assert '"agreement"' in log


# Records


@pytest.mark.filterwarnings("ignore:teacher .* guessing")
@pytest.mark.parametrize("kept", [16, 0])
def test_all_are_recorded_and_the_teacher_is_right_where_there_is_a_label(
    kept, partly, bare, solid_data, records, teacher_run, tmp_path, capsys
):
    data = partly if kept else bare
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    teacher = replace(teacher, checked_on=None)  # as one whose axes nobody tried
    store = record(teacher, data, out=tmp_path / "r.zarr", recipe=RecordRecipe(views=2))
    said = " ".join(capsys.readouterr().err.split())
    assert f"(48 shapes x 2 views, {48 - kept} of them without a label)" in said
    assert store.labels.tolist() == data.train.labels.tolist()
    found = accuracy(store)
    if not kept:
        assert found is None
        assert "no shape has a label" in said
        return
    assert found is not None
    right = [store.logits(view).argmax(1)[::3] == solid_data.train.labels[::3] for view in (0, 1)]
    assert found.views.tolist() == [np.mean(each) for each in right]
    assert found.shapes.tolist() == np.mean(right, axis=0).tolist()
