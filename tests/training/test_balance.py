"""Unequal classes: weights of the label's term, and draws in which classes come equally often."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_resuming import lives, same
from torch.nn import functional as F

from pointstill.data import Dataset, open_dataset
from pointstill.losses.cross_entropy import label_loss
from pointstill.losses.targets import Targets
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.records import Store
from pointstill.training.jobs import distill, train
from pointstill.training.past_student import LogitTable
from pointstill.training.shapes import class_weights
from pointstill.training.shuffling import Windows, draws, spread
from pointstill.training.state import State
from pointstill.training.views import Material
from stand_ins import relabelled

pytestmark = pytest.mark.usefixtures("toy")

SMALL = {"epochs": 3, "points": 64, "batch_size": 8, "val": 0.0}
LABELS = np.repeat([0, 1, 2, -1], [30, 12, 3, 7])


def drawn(seed: int, epoch: int, labels: np.ndarray = LABELS, size: int = 1000) -> np.ndarray:
    tiles = np.arange(len(labels)) // 8
    return Windows(tiles, size, seed, labels).epoch(epoch).rows


@pytest.fixture(scope="module")
def unequal(solids: Path) -> Dataset:
    """Of 48 training shapes 3, 9 and 16 of the classes are labelled, and 20 are not."""
    data = open_dataset(solids)
    labels = data.train.labels.copy()
    for label, most in ((0, 3), (1, 9)):
        labels[np.flatnonzero(labels == label)[most:]] = -1
    return relabelled(data, labels)


# Sampling


def test_classes_come_equally_often():
    for epoch in range(5):
        rows = drawn(0, epoch)
        assert len(rows) == len(LABELS)
        counts = np.bincount(LABELS[rows] + 1)
        assert counts.tolist() == [7, 15, 15, 15]
        each = np.bincount(rows, minlength=len(LABELS))
        for label, allowed in ((0, {0, 1}), (1, {1, 2}), (2, {5}), (-1, {1})):
            assert set(each[label == LABELS].tolist()) <= allowed


def test_rows_of_a_class_take_turns():
    times = np.zeros(len(LABELS))
    for epoch in range(400):
        times += np.bincount(drawn(1, epoch), minlength=len(LABELS))
    # 15 of 30 an epoch: binomial with p = 1/2, six standard deviations.
    assert np.abs(times[:30] - 200).max() < 6 * np.sqrt(400 / 4)


def test_what_does_not_divide_differs_by_one():
    labels = np.repeat([4, 1, 2], [5, 4, 1])
    seen = set()
    for seed in range(30):
        times = draws(labels, np.random.default_rng(seed))
        counts = tuple(int(times[labels == label].sum()) for label in (4, 1, 2))
        assert sum(counts) == 10
        assert set(counts) == {3, 4}
        seen.add(counts)
    assert len(seen) == 3  # no class is favoured


def test_balanced_classes_are_drawn_once_each():
    labels = np.arange(40) % 4
    assert sorted(drawn(0, 0, labels).tolist()) == list(range(40))


def test_draws_are_a_function_of_seed_and_epoch():
    first = drawn(3, 4).tolist()
    np.random.seed(0)  # noqa: NPY002
    assert drawn(3, 4).tolist() == first
    assert drawn(3, 5).tolist() != first
    assert drawn(4, 4).tolist() != first


def test_draws_of_a_row_are_apart():
    rows = np.arange(20)
    times = np.where(rows == 7, 20, 1)
    order = spread(rows, times, np.random.default_rng(0))
    places = np.flatnonzero(order == 7)
    assert len(order) == 39
    assert len(places) == 20
    assert np.diff(places).min() >= 1
    assert np.diff(places).max() <= 8  # in a heap it would be far more
    assert sorted(order[order != 7].tolist()) == [row for row in range(20) if row != 7]


@pytest.mark.parametrize("size", [16, 24])
def test_windows_hold_what_is_drawn_in_them(size):
    values = torch.randn(len(LABELS), 2)
    order = Windows(np.arange(len(LABELS)) // 8, size, 0, LABELS).epoch(2)
    assert order.count > 1
    read: list[int] = []

    def reader(rows: np.ndarray) -> torch.Tensor:
        assert np.all(np.diff(rows) > 0)
        read.extend(rows.tolist())
        return values[rows]

    table = order.table(reader)
    for rows in torch.from_numpy(order.rows).split(5):
        assert torch.equal(table[rows], values[rows])
    assert sorted(read) == sorted(set(order.rows.tolist()))


def test_a_draw_has_its_own_view_and_answer(unequal, records, tmp_path, monkeypatch):
    store, told = Store.open(records), []
    targets = Material.targets

    def spy(self, view, rows, *rest):
        found = targets(self, view, rows, *rest)
        shapes = self.shapes[rows]
        np.testing.assert_array_equal(found.teacher, store.logits(view.number, shapes.numpy()))
        np.testing.assert_array_equal(
            view.parameters[rows], store.parameters(view.number, shapes.numpy())
        )
        told.append((view.epoch, found.labels.tolist()))
        return found

    monkeypatch.setattr(Material, "targets", spy)
    recipe = DistillRecipe(loss="kd", balance="sampling", **SMALL)
    distill("toy", unequal, records=records, out=tmp_path / "run", recipe=recipe, quiet=True)
    for epoch in range(3):
        labels = np.concatenate([labels for number, labels in told if number == epoch])
        assert sorted(np.bincount(labels + 1)[1:].tolist()) == [9, 9, 10]
        assert np.count_nonzero(labels == -1) == 20


@pytest.mark.parametrize("window", [65_536, 16])
@pytest.mark.parametrize("loss", [{"loss": "kd"}, {"loss": "nwsd", "past": "table"}])
def test_killed_runs_end_with_the_same_bits(unequal, records, tmp_path, monkeypatch, window, loss):
    options = SMALL | loss | {"balance": "sampling", "window": window}

    def go_on(out: Path, minutes: float):
        recipe = DistillRecipe(save_minutes=minutes, **options)
        return distill("toy", unequal, records=records, out=out, recipe=recipe, quiet=True)

    monkeypatch.setattr("pointstill.records.layout.TILE", 8)
    whole = go_on(tmp_path / "whole", 1e9)
    assert same(whole, lives(monkeypatch, lambda: go_on(tmp_path / "run", 0.0), [3, 4, 5]))


def test_of_a_row_met_twice_the_table_keeps_the_last_answer():
    table = LogitTable(2, 4, 2, torch.device("cpu"))
    logits = torch.arange(8.0).view(4, 2)
    table.after_step(torch.nn.Identity(), logits, 3, torch.tensor([2, 0, 2, 3]))
    assert table.table[1, [0, 2, 3]].tolist() == logits[1:].tolist()
    assert table.table[1, 1].isnan().all()
    assert table.table[0].isnan().all()


# Weights


def test_weights_by_hand():
    weights = class_weights(LABELS, 4)
    assert weights.tolist() == pytest.approx([15 / 30, 15 / 12, 15 / 3, 0])
    assert weights[LABELS[LABELS >= 0]].mean() == pytest.approx(1)


def test_the_weighted_term_is_that_of_torch():
    logits = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    labels = torch.tensor([0, 2, 1, -1, 0, 2])
    each = torch.tensor([0.5, 1.25, 5.0], dtype=torch.double)
    found = label_loss(logits, Targets(labels, weights=each), 0.0)
    expected = F.cross_entropy(logits, labels, each, ignore_index=-1, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("job", ["train", "distill"])
def test_training_weighs_the_labels(unequal, records, tmp_path, monkeypatch, job):
    logged, count = [], State.count
    each = torch.tensor([28 / 9, 28 / 27, 28 / 48])

    def spy(self, parts, logits, targets) -> None:
        ce = F.cross_entropy(
            logits.detach(), targets.labels, each, ignore_index=-1, reduction="none"
        )
        logged.append((float(ce.mean()), float(parts["ce"])))
        count(self, parts, logits, targets)

    monkeypatch.setattr(State, "count", spy)
    options = SMALL | {"epochs": 1, "balance": "weights"}
    out = tmp_path / "run"
    if job == "train":
        train("toy", unequal, out=out, recipe=TrainRecipe(**options), quiet=True)
    else:
        recipe = DistillRecipe(loss="nwsd", past="table", form="guard", **options)
        distill("toy", unequal, records=records, out=out, recipe=recipe, quiet=True)
    assert logged
    for expected, found in logged:
        assert found == pytest.approx(expected, rel=1e-5)
