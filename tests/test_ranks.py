"""Two ranks under torchrun are one process whose batches are two BatchNorm shards, and fail as one.

The ranks are real: processes that torchrun starts, which compute together by gloo.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MethodType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pointstill import ranks, torchrun
from pointstill.data import open_dataset
from pointstill.distillation import distill, training_shapes
from pointstill.errors import TrainingError, UsageError
from pointstill.models import MODELS
from pointstill.recipe import DistillRecipe, FitOptions
from pointstill.run import STATE, WEIGHTS, Run
from pointstill.streaming import seed_of
from pointstill.training import _State

TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node 2"
DISTILL = "-m pointstill distill --student stillnet-n"
TRAIN = "-m pointstill train --model stillnet-n"
WORKER = Path(__file__).with_name("rank.py")
COMMON = {"epochs": 5, "batch_size": 9, "learning_rate": 1e-4, "device": "cpu"}
"""43 shapes in batches of 9 and 8, so that shards differ in size; five epochs of three views. At
the usual rate of 2e-3 a change of the first weights by 1e-7 grows to 0.1 in three epochs."""
CASES = {
    "table": {"past": "table", "ema": 0.9},
    "ce": {"loss": "ce", "smoothing": 0.1},
    "kd": {"loss": "kd", "val": 0.0},
    "snapshot": {"past": "snapshot", "snapshot_age": 1},
    "ema": {"past": "ema", "past_decay": 0.9},
    "records": {"past": "records", "form": "guard"},
}


def launched(
    *arguments: object, by: str = TORCHRUN, cwd: Path | None = None, **environment: object
) -> subprocess.CompletedProcess:
    """Run a program in two ranks to its end."""
    command = [sys.executable, *by.split(), *map(str, arguments)]
    # A session of its own: whatever happens, no rank outlives the test.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=cwd,
        env=quiet() | {name: str(value) for name, value in environment.items()},
    )
    try:
        out, err = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def quiet() -> dict[str, str]:
    """The environment, without torch's warnings about the names of this machine."""
    return os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_NUM_THREADS": "1"}


def flags(options: dict[str, object]) -> list[str]:
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
    return [token for pair in pairs for token in pair]


# The reference: one process


class Stream:
    """The random numbers that the second rank would draw for dropout."""

    state: Tensor


def two_shards(model: nn.Module) -> nn.Module:
    """Let a model train on each half of a batch by itself, as two ranks do.

    BatchNorm normalises each half by itself and keeps the running statistics of the first, and
    dropout in the second half has a stream of its own.
    """

    def forward(self: nn.Module, points: Tensor) -> Tensor:
        whole = type(self).forward
        if not self.training:
            return whole(self, points)
        first, second = points.tensor_split(2)
        logits = whole(self, first)
        kept = [each.clone() for each in self.buffers()]
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(Stream.state)
            others = whole(self, second)
            Stream.state = torch.get_rng_state()
        for each, value in zip(self.buffers(), kept, strict=True):
            each.data.copy_(value)
        return torch.cat([logits, others])

    model.forward = MethodType(forward, model)
    return model


@pytest.fixture
def alone(solids: Path, records: Path, tmp_path: Path, monkeypatch) -> Callable[..., Run]:
    """Distil in this process; by default in two shards."""
    begin_epoch, original = _State.begin_epoch, MODELS["stillnet-n"]

    def begun(self: _State, epoch: int, seed: int) -> None:
        begin_epoch(self, epoch, seed)
        Stream.state = torch.Generator().manual_seed(seed_of("epoch@1", seed, epoch)).get_state()

    def alone(name: str, options: dict, shards: bool = True) -> Run:
        build = (lambda classes: two_shards(original(classes))) if shards else original
        with monkeypatch.context() as patch:
            patch.setattr(_State, "begin_epoch", begun)
            patch.setitem(MODELS, "stillnet-n", build)
            return distill(
                "stillnet-n",
                open_dataset(solids),
                records=records,
                past_records=records if options.get("past") == "records" else None,
                out=tmp_path / f"alone-{name}-{shards}",
                recipe=DistillRecipe(**COMMON | options),
                quiet=True,
            )

    return alone


def distance(first: Path, second: Path) -> float:
    """The largest difference of a weight."""
    one, two = load_file(first / WEIGHTS), load_file(second / WEIGHTS)
    assert one.keys() == two.keys()
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def alike(pair: Path, one: Path, other: Path) -> None:
    """The pair ended as the process of two shards did, and far from the one of whole batches.

    Weights mostly differ by 1e-6. Where rounding lets a maximum be taken elsewhere it is 1e-4, as
    it is in one process whose first weights are changed by 1e-7.
    """
    assert distance(pair, one) < 1e-3
    assert distance(pair, other) > 2e-2
    for mine, its in zip(lines(pair), lines(one), strict=True):
        # The largest logit is that of a shard, so its mean is below that of whole batches.
        assert mine.pop("max_logit") < its.pop("max_logit")
        assert mine == pytest.approx(its, rel=0, abs=1e-4)


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """What pointstill, not torchrun, said of a failure."""
    assert done.returncode == 1
    assert "terminate called" not in done.stderr  # each exits, and none aborts
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


# Two ranks and one process


def test_two_ranks_are_two_shards(solids, records, tmp_path, alone):
    """By the command of the documentation, with the past that needs what every rank said."""
    out, options = tmp_path / "pair", COMMON | CASES["table"]
    done = launched(
        *DISTILL.split(),
        *("--data", solids, "--records", records, "--out", out),
        *flags(options),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1
    assert done.stderr.count("training stillnet-n") == done.stderr.count("215 of 215 shapes") == 1
    assert sorted(each.name for each in out.iterdir()) == [
        "metrics.jsonl",
        "recipe.yaml",
        WEIGHTS,
    ]
    alike(out, alone("table", options).folder, alone("table", options, shards=False).folder)
    # One process would not go on with what two began.
    with pytest.raises(TrainingError, match=r"origin\.ranks: 2 then, None now"):
        distill(
            "stillnet-n",
            open_dataset(solids),
            records=records,
            out=out,
            recipe=DistillRecipe(**options),
        )


@pytest.fixture(scope="module")
def pairs(solids: Path, records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two ranks for each case, by processes of which only the first may write."""
    out = tmp_path_factory.mktemp("pairs")
    cases = {name: COMMON | CASES[name] for name in CASES if name != "table"}
    cases["twice"] = COMMON | CASES["ce"]
    task = {"solids": str(solids), "records": str(records), "out": str(out), "cases": cases}
    done = launched(WORKER, "students", json.dumps(task))
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("case", [name for name in CASES if name != "table"])
def test_every_loss_and_past(case, pairs, alone):
    options = COMMON | CASES[case]
    one, other = (alone(case, options, shards).folder for shards in (True, False))
    alike(pairs / case, one, other)


def same(first: Path, second: Path) -> bool:
    """Whether two runs ended alike, to the last bit."""
    assert not (second / STATE).exists()
    return all(
        (first / name).read_bytes() == (second / name).read_bytes()
        for name in (WEIGHTS, "metrics.jsonl")
    )


@pytest.mark.slow
def test_killed_ranks_end_with_the_same_bits(pairs, solids, records, tmp_path):
    """A rank is killed by SIGKILL, the other ends with it, and the same command goes on."""
    assert same(pairs / "ce", pairs / "twice")
    out = tmp_path / "killed"
    command = ["distill", "--student", "stillnet-n", "--save-minutes", "0"]
    command += ["--data", str(solids), "--records", str(records), "--out", str(out)]
    command += flags(COMMON | CASES["ce"])
    for at_rank, at_step in [(1, 7), (0, 4)]:
        task = {"tokens": command, "at_rank": at_rank, "at_step": at_step, "how": "kill"}
        done = launched(WORKER, "command", json.dumps(task))
        assert [line for line in errors(done) if "another rank was killed" not in line] == []
        assert "SIGKILL" in done.stderr
    state = Run(out).load_state()
    assert state["epoch"] * 5 + state["step"] == 7 + 4
    assert len(state["ranks"]) == 2
    assert not torch.equal(*(own["random"] for own in state["ranks"]))
    done = launched("-m", "pointstill", *command)
    assert done.returncode == 0, done.stderr
    assert same(pairs / "ce", out)


def machines(folder: Path, *commands: list[object]) -> list[subprocess.CompletedProcess]:
    """A rank for each command, each by a torchrun of its own as on machines that share nothing."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = f"-m torch.distributed.run --nnodes {len(commands)} --rdzv-backend c10d --rdzv-id 1 "
    meeting += f"--rdzv-endpoint localhost:{port} --local-addr localhost"
    with ThreadPoolExecutor() as pool:
        places = [folder / str(number) for number in range(len(commands))]
        for place in places:
            place.mkdir()
        runs = [
            pool.submit(launched, *command, by=meeting, cwd=place, POINTSTILL_CACHE=place / "cache")
            for command, place in zip(commands, places, strict=True)
        ]
        return [run.result() for run in runs]


@pytest.mark.slow
def test_two_machines(pairs, solids, records, tmp_path):
    command = [*DISTILL.split(), "--data", solids, "--records", records, "--out", "run"]
    command += flags(COMMON | CASES["kd"])
    assert [done.returncode for done in machines(tmp_path, command, command)] == [0, 0]
    runs = [tmp_path / name / "run" for name in "01"]
    assert sorted(run.exists() for run in runs) == [False, True]  # that of the first rank
    assert same(pairs / "kd", next(run for run in runs if run.exists()))


# Failing together


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
        ({"data": "nowhere"}, "no such folder"),  # on every rank
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
    assert "nowhere: no such folder" in said[0]


@pytest.mark.slow
def test_what_ranks_meet_in(tmp_path):
    done = launched(WORKER, "functions", json.dumps({"out": str(tmp_path)}))
    assert done.returncode == 0, done.stderr


# Without torchrun


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


def test_a_process_by_itself(tmp_path, capsys):
    rows = torch.arange(3)
    assert (ranks.rank(), ranks.world()) == (0, 1)
    for function in (ranks.shard, ranks.gathered, ranks.total, ranks.from_first):
        assert function(rows) is rows
    assert ranks.of_each(rows)[0] is rows
    assert ranks.decided(True, rows.device)
    torchrun.tell("once")
    assert capsys.readouterr().err == "once\n"
    assert not torchrun.left_alone(RuntimeError("[gloo/transport] Connection closed by peer"))


def test_an_error_for_want_of_others(told):
    class DistNetworkError(RuntimeError):
        pass

    assert torchrun.left_alone(RuntimeError("[../gloo/transport/tcp/pair.cc] Connection closed"))
    assert torchrun.left_alone(DistNetworkError("broken pipe"))
    assert not torchrun.left_alone(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


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
    assert len(training_shapes(split, FitOptions(limit=4, val=0.0))[0]) == 4
    with pytest.raises(TrainingError, match="3 shapes to train on, and 4 are needed"):
        training_shapes(split, FitOptions(limit=3, val=0.0))
