"""The functions that ranks meet in, by two and by one alone; what a process takes from torchrun."""

import json

import pytest
import torch

from pointstill import torchrun
from pointstill.data import open_dataset
from pointstill.errors import TrainingError, UsageError
from pointstill.losses.options import KDOptions
from pointstill.recipe import FitOptions
from pointstill.training import ranks
from pointstill.training.shapes import training_shapes
from rank_launcher import WORKER, launched


@pytest.mark.slow
def test_what_ranks_meet_in(tmp_path):
    done = launched(WORKER, "functions", json.dumps({"out": str(tmp_path)}))
    assert done.returncode == 0, done.stderr


def test_a_process_by_itself(tmp_path, capsys):
    rows = torch.arange(3)
    assert (ranks.rank(), ranks.world()) == (0, 1)
    for function in (ranks.shard, ranks.all_gather, ranks.total, ranks.from_first):
        assert function(rows) is rows
    assert ranks.of_each(rows)[0] is rows
    assert ranks.most(3, rows.device) == 3
    torchrun.tell("once")
    assert capsys.readouterr().err == "once\n"
    assert not torchrun.left_alone(RuntimeError("[gloo/transport] Connection closed by peer"))


# What torchrun tells


@pytest.fixture
def told(monkeypatch) -> None:
    """What torchrun tells the second of two ranks, on one machine."""
    for name, value in {
        "TORCHELASTIC_RUN_ID": "1",
        "WORLD_SIZE": "2",
        "RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)


def test_what_a_process_is_told(told, monkeypatch):
    assert (torchrun.world(), torchrun.first()) == (2, False)
    monkeypatch.setenv("RANK", "0")
    assert torchrun.first()
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert (torchrun.world(), torchrun.first()) == (1, True)


def test_an_error_for_want_of_others(told):
    class DistNetworkError(RuntimeError):
        pass

    assert torchrun.left_alone(RuntimeError("[../gloo/transport/tcp/pair.cc] Connection closed"))
    assert torchrun.left_alone(DistNetworkError("broken pipe"))
    assert not torchrun.left_alone(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


# What is refused


@pytest.mark.parametrize("device", ["cpu:0", "mps", "cuda:0"])
def test_a_device_for_one(told, device):
    with pytest.raises(UsageError, match="device"):
        ranks.start(device)


def test_machines_of_different_size(told, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="same --nproc-per-node"):
        ranks.start("cpu")


def test_more_ranks_than_gpus(told, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 ranks are on this machine, and 1 GPUs"):
        ranks.start("auto")


def test_each_rank_needs_two_shapes(told, solids):
    split = open_dataset(solids).train
    assert len(training_shapes(split, FitOptions(limit=4, val=0.0), KDOptions()).train) == 4
    with pytest.raises(TrainingError, match="3 shapes to train on, and 4 are needed"):
        training_shapes(split, FitOptions(limit=3, val=0.0), KDOptions())
