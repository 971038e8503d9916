"""Costs, against counts by hand."""

import json

import pytest
import torch
from torch import nn

from pointstill.errors import TrainingError, UsageError
from pointstill.evaluation.profiling import (
    Profile,
    in_turns,
    latency,
    operations,
    processor,
    profile,
    sample_cloud,
    write_profile,
)
from pointstill.evaluation.tables import profile_table

CPU = torch.device("cpu")


def test_operations_of_a_linear_layer():
    """Two for each of 3 x 8 x 5 multiply-adds."""
    layer = nn.Linear(8 * 3, 5)
    assert operations(lambda points: layer(points.flatten(1)), 8, CPU) == 2 * 3 * 8 * 5


def test_operations_of_attention():
    """Two heads of 4 channels, 8 x 8 pairs: products with keys and with values."""

    def attend(points: torch.Tensor) -> torch.Tensor:
        x = torch.ones(1, 2, points.shape[1], 4)
        return nn.functional.scaled_dot_product_attention(x, x, x)

    assert operations(attend, 8, torch.device("cpu")) == 2 * 2 * (2 * 8 * 8 * 4)


def test_latency_runs_on_one_thread_and_puts_the_others_back():
    used = []

    def classify(points: torch.Tensor) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return points

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert 0 < latency(classify, 8, CPU, seconds=0.01, most=5) < 1000
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(used) == {1}
    assert 4 <= len(used) <= 6


def test_a_batch_is_shared_among_its_clouds(monkeypatch):
    """A clock that only work moves on: 8 ms a batch of 4, of which each cloud has 2."""
    now, sizes = [0.0], []

    def classify(points: torch.Tensor) -> torch.Tensor:
        sizes.append(len(points))
        now[0] += 0.008
        return points

    monkeypatch.setattr("pointstill.evaluation.profiling.time.perf_counter", lambda: now[0])
    assert latency(classify, 8, CPU, most=3, clouds=4) == pytest.approx(2.0)
    assert set(sizes) == {4}
    layer = nn.Linear(8 * 3, 5)
    assert operations(lambda points: layer(points.flatten(1)), 8, CPU, 3, 4) == 2 * 3 * 8 * 5


def test_turns_go_round_and_the_middle_counts(monkeypatch):
    """A clock that only work moves on: one takes 2 s, the other 1, 3, 1, 3, ... s."""
    now, turns = [0.0], []

    def work(name: str, *seconds: float) -> None:
        turns.append(name)
        now[0] += seconds[turns.count(name) % len(seconds)]

    monkeypatch.setattr("pointstill.evaluation.profiling.time.perf_counter", lambda: now[0])
    works = {("a", ""): lambda: work("a", 2.0), ("b", ""): lambda: work("b", 1.0, 3.0, 3.0)}
    assert in_turns(works, seconds=1.0, rounds=3) == {("a", ""): 2000.0, ("b", ""): 3000.0}
    assert turns == ["a", "b"] * 4  # the first is the warm-up


def test_profile_of_a_student_and_of_what_onnx_does_not_know(monkeypatch):
    def exported(model, points):
        if type(model.student).__name__ == "PointNet":
            raise TrainingError("cannot be written as ONNX")
        return type("Session", (), {"run": lambda self, names, feed: None})()

    monkeypatch.setattr("pointstill.deployment.exporting.onnx_session", exported)
    student, other = profile(["stillnet-n", "pointnet"], classes=5, points=64, seconds=0.01)
    assert student.onnx_ms is not None
    assert student.best_ms == min(student.torch_ms, student.onnx_ms)
    assert (other.onnx_ms, other.best_ms) == (None, other.torch_ms)
    assert other.parameters > 20 * student.parameters
    assert other.flops > student.flops > 0


def test_a_name_that_is_no_model():
    with pytest.raises(UsageError, match="did you mean stillnet-n"):
        profile(["stilnet-n"])
    for wrong in ({"points": 15}, {"classes": 1}):
        with pytest.raises(UsageError, match="choose 16 points and 2 classes or more"):
            profile(["stillnet-n"], **wrong)


def test_the_table_compares_with_the_reference(tmp_path):
    rows = [
        Profile("a", 1000, 2_000_000, 4.0, 1.0),
        Profile("pointmlp-elite", 2000, 3_000_000, 20.0, None),
        Profile("c", 3000, 3_000_000, 40.0, None),
    ]
    table = profile_table(rows, 64)
    assert list(table.columns[5].cells) == ["20.0 x", "1.0 x", "0.5 x"]
    assert list(table.columns[4].cells) == ["1.00", "", ""]
    write_profile(rows, 64, tmp_path / "p.json")
    content = json.loads((tmp_path / "p.json").read_text())
    assert [each["name"] for each in content["models"]] == ["a", "pointmlp-elite", "c"]
    assert content["threads"] == 1


def test_the_processor_has_a_name():
    assert processor().strip()


def test_the_sample_cloud_is_in_the_unit_sphere():
    radius = sample_cloud(500, CPU).norm(dim=2)
    assert 0.2 < float(radius.min()) < float(radius.max()) <= 1
