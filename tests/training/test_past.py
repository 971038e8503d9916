"""The student's past: which past each source tells of, and what it keeps for a resumed run."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilling import refused
from pointstill.errors import RecordsError, UsageError
from pointstill.losses.options import KDOptions, NWSDOptions
from pointstill.models import build_model
from pointstill.records import Store
from pointstill.training.past_student import (
    Average,
    LogitTable,
    Past,
    RecordedPast,
    Snapshot,
    averaged,
    past_of,
    tell_apart,
)
from pointstill.training.shuffling import Windows

CPU = torch.device("cpu")
POINTS = torch.ones(2, 1, 1)
ROWS = torch.tensor([0, 1])


class Weight(nn.Module):
    """One weight w and a buffer of w: logits are w times the first coordinate."""

    def __init__(self, value: float = 0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[value]]))
        self.register_buffer("copy", torch.tensor(value))
        self.noise = nn.Dropout(0.5)

    def set(self, value: float) -> "Weight":
        with torch.no_grad():
            self.w.fill_(value)
            self.copy.fill_(value)
        return self

    def forward(self, points: Tensor) -> Tensor:
        return self.noise(points[:, :, 0] * self.w)


def says(past, epoch: int = 0) -> float:
    """What the past says of a view."""
    logits = past.logits(POINTS, epoch, ROWS)
    assert not logits.requires_grad
    assert torch.equal(logits[0], logits[1])
    return float(logits[0])


@pytest.mark.parametrize("age", [1, 2, 5])
def test_a_snapshot_is_age_epochs_old(age):
    student = Weight()
    past = Snapshot(student, age)
    for epoch in range(9):
        past.begin_epoch(epoch, student.set(epoch))  # weight at the start of epoch e: e
        student.set(epoch + 0.5)  # steps inside the epoch do not show
        assert says(past, epoch) == max(0, epoch - age)
        assert float(past.model.copy) == max(0, epoch - age)  # buffers too: BatchNorm
    assert len(past.kept) == age + 1
    assert not past.model.training


@pytest.mark.parametrize("killed", [1, 2, 3, 4])
def test_a_snapshot_resumes_inside_an_epoch(killed):
    student = Weight()
    past, resumed = Snapshot(student, 2), None
    for epoch in range(7):
        for source in (past, resumed):
            if source:
                source.begin_epoch(epoch, student.set(epoch))
        if epoch == killed:  # state as torch.save keeps it: copies
            resumed = Snapshot(Weight(77.0), 2)
            resumed.load_state_dict(deepcopy(past.state_dict()))
            resumed.resume_epoch(epoch)
        if resumed:
            assert says(resumed, epoch) == says(past, epoch) == max(0, epoch - 2)


def test_an_average_follows_at_its_decay():
    student = Weight(1.0)
    past = Average(student, 0.9)
    assert says(past) == 1.0
    expected = 1.0
    for step, value in enumerate((1.0, 2.0, 4.0, -3.0)):
        past.after_step(student.set(value), torch.zeros(2, 1), 0, ROWS)
        # The first step sets the average, as there is nothing to average yet; soon after it, the
        # average follows faster.
        decay = {0: 0.0, 1: 2 / 11, 2: 3 / 12, 3: 4 / 13}[step]
        expected = decay * expected + (1 - decay) * value
        assert says(past) == pytest.approx(expected, rel=1e-6)
        assert float(past.model.module.copy) == pytest.approx(expected, rel=1e-6)


def test_an_average_comes_to_its_decay():
    student = Weight(0.0)
    average = averaged(student, 0.5)
    for _ in range(20):
        average.update_parameters(student)
    average.update_parameters(student.set(8.0))
    assert average.module.w.item() == 4.0


def test_an_average_resumes():
    student = Weight(1.0)
    past = Average(student, 0.1)
    past.after_step(student, torch.zeros(2, 1), 0, ROWS)
    past.after_step(student.set(2.0), torch.zeros(2, 1), 0, ROWS)
    resumed = Average(Weight(77.0), 0.1)
    resumed.load_state_dict(deepcopy(past.state_dict()))
    for source in (past, resumed):
        source.after_step(student.set(5.0), torch.zeros(2, 1), 0, ROWS)
    assert says(resumed) == says(past) == pytest.approx(0.1 * (0.1 + 0.9 * 2) + 0.9 * 5)


def test_an_average_is_apart_from_the_model():
    student = Weight(1.0)
    average = averaged(student, 0.5)
    student.set(3.0)
    assert average.module.w.item() == 1.0


def test_a_table_tells_nothing_first_and_then_what_was_said():
    views, shapes, classes = 2, 5, 3
    past = LogitTable(views, shapes, classes, CPU)
    draw = torch.Generator().manual_seed(0)
    said: dict[tuple[int, int], Tensor] = {}
    for epoch in range(5):
        for rows in torch.randperm(shapes, generator=draw).split(2):
            present = torch.randn(len(rows), classes, generator=draw, requires_grad=True)
            found = past.logits(POINTS, epoch, rows)
            assert not found.requires_grad
            for row, now, answer in zip(rows.tolist(), present, found, strict=True):
                if (epoch % views, row) in said:
                    assert torch.equal(answer, said[epoch % views, row])
                else:
                    assert answer.isnan().all()
                said[epoch % views, row] = now.detach()
            past.after_step(nn.Identity(), present, epoch, rows)


def test_a_table_resumes():
    past = LogitTable(2, 3, 4, CPU)
    present = torch.randn(2, 4)
    past.after_step(nn.Identity(), present, 1, torch.tensor([2, 0]))
    resumed = LogitTable(2, 3, 4, CPU)
    resumed.load_state_dict(deepcopy(past.state_dict()))
    rows = torch.tensor([0, 2])
    assert torch.equal(resumed.logits(POINTS, 3, rows), present.flip(0))
    assert resumed.logits(POINTS, 2, rows).isnan().all()


def test_no_past_keeps_nothing():
    past = Past()
    past.begin_epoch(0, nn.Identity())
    past.resume_epoch(0)
    past.after_step(nn.Identity(), POINTS, 0, ROWS)
    assert past.logits(POINTS, 0, ROWS) is None
    assert past.state_dict() == {}
    past.load_state_dict({})


def test_records_tell_what_was_recorded(records):
    store = Store.open(records)
    rows = np.array([3, 7, 40])
    past = RecordedPast(store, rows, Windows(rows, 100, 0), CPU)
    for epoch in range(5):
        past.begin_epoch(epoch, nn.Identity())
        expected = store.logits(epoch % 3)[rows]
        found = past.logits(POINTS, epoch, torch.tensor([2, 0]))
        np.testing.assert_array_equal(found.numpy(), expected[[2, 0]])
    resumed = RecordedPast(store, rows, Windows(rows, 100, 0), CPU)
    resumed.load_state_dict(past.state_dict())
    resumed.resume_epoch(4)
    assert torch.equal(resumed.view, past.view)


def test_members_are_told_apart_in_training_and_see_the_whole_batch():
    torch.manual_seed(0)
    student = build_model("stillnet-m", 3)
    points = torch.rand(6, 64, 3)
    tell_apart(student)
    answers = student.train()(points)
    assert answers.shape == (6, 2, 3)
    statistics = [member.grouping.norm.num_batches_tracked for member in student.members]
    assert [int(each) for each in statistics] == [1, 1]
    assert answers.std(0).min() > 0  # each of the six, of both
    assert student.eval()(points).shape == (6, 3)


@pytest.mark.usefixtures("toy")
def test_a_student_of_one_member_is_refused_before_a_run_begins(go):
    refused(UsageError, lambda: go(loss="nwsd", past="members"), "has not several", "stillnet-m")


def test_the_source_is_chosen_by_name(records):
    store = Store.open(records)
    rows = np.arange(4)

    def source(name: str, past_store: Store | None = None):
        options = NWSDOptions(past=name, snapshot_age=2)
        return past_of(options, Weight(), store, rows, Windows(rows, 100, 0), past_store, CPU)

    assert isinstance(source("snapshot"), Snapshot)
    assert source("snapshot").kept.maxlen == 3
    assert isinstance(source("ema"), Average)
    assert source("table").table.shape == (3, 4, 3)
    assert isinstance(source("records", store), RecordedPast)
    with pytest.raises(RecordsError, match="needs --past-records STORE"):
        source("records")
    none = past_of(KDOptions(), Weight(), store, rows, Windows(rows, 100, 0), None, CPU)
    assert type(none) is Past
