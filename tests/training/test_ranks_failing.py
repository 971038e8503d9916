"""Ranks fail as one: whichever fails, all end, and one line says why."""

import json
import time

import pytest

from pointstill.run import Run
from rank_launcher import CASES, COMMON, TRAIN, WORKER, errors, flags, launched, machines


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_all(solids, records, tmp_path, rank):
    out = tmp_path / "run"
    tokens = ["distill", "--student", "stillnet-n", "--data", str(solids)]
    tokens += ["--records", str(records), "--out", str(out), *flags(COMMON | CASES["ce"])]
    task = {"tokens": tokens, "at_rank": rank, "at_step": 7, "how": "nan"}
    said = errors(launched(WORKER, "command", json.dumps(task)))
    # The gradient of all ranks is spoilt at once: whichever comes first says so, for all.
    assert len(said) == 1
    assert "in epoch 1, step 2" in said[0]
    assert "keeps the last good state" in said[0]
    assert Run(out).load_state()["epoch"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nowhere"}, "does not exist"),  # on every rank
        ({"out": "taken"}, "is not empty and holds no run"),  # on the first, where others wait
        ({"batch-siz": 3}, "Unknown option: --batch-siz"),  # before anything
    ],
)
def test_one_line_for_all(options, message, solids, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "a.txt").touch()
    given = {"data": solids, "out": "run", "device": "cpu"} | options
    done = launched(*TRAIN.split(), *flags(given), cwd=tmp_path)
    said = errors(done)
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.slow
def test_a_machine_that_fails_ends_all(solids, tmp_path):
    """The other is not waited for: no torchrun watches over both."""
    command = [*TRAIN.split(), "--out", "run", "--device", "cpu", "--data"]
    started = time.monotonic()
    done = machines(tmp_path, [*command, solids], [*command, "nowhere"])
    assert time.monotonic() - started < 120  # not torch's half an hour
    said = [line for each in done for line in errors(each)]
    assert len(said) == 1
    assert "nowhere does not exist" in said[0]
