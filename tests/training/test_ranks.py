"""Two ranks under torchrun are one process whose batches are two BatchNorm shards."""

import json
from collections.abc import Callable
from pathlib import Path
from types import MethodType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pointstill.data import open_dataset
from pointstill.errors import TrainingError
from pointstill.models import MODELS
from pointstill.recipe import DistillRecipe, RecordRecipe
from pointstill.recording.job import record
from pointstill.run import STATE, WEIGHTS, Run
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill
from pointstill.training.shuffling import seed_of
from pointstill.training.state import State
from rank_launcher import CASES, COMMON, DISTILL, WORKER, errors, flags, launched, machines

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
    begin_epoch, original = State.begin_epoch, MODELS["stillnet-n"]

    def begun(self: State, epoch: int, seed: int) -> None:
        begin_epoch(self, epoch, seed)
        Stream.state = torch.Generator().manual_seed(seed_of("epoch@1", seed, epoch)).get_state()

    def alone(name: str, options: dict, shards: bool = True, records: Path = records) -> Run:
        build = (lambda classes: two_shards(original(classes))) if shards else original
        with monkeypatch.context() as patch:
            patch.setattr(State, "begin_epoch", begun)
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
    return Run(folder).metrics()


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
        "calibration.json",
        "curves.svg",
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


@pytest.mark.slow
def test_mixes_are_the_same_in_a_share_of_a_batch(solids, teacher_run, alone, tmp_path):
    """Mixes with the shapes held out are left out of the epochs of every rank alike."""
    data = open_dataset(solids)
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    recipe = RecordRecipe(views=3, augment="mix,scale,shift")
    records = record(teacher, data, out=tmp_path / "mixed", recipe=recipe, quiet=True).path
    options, out = COMMON | CASES["kd"] | {"val": 0.1}, tmp_path / "pairs"
    task = {"solids": str(solids), "records": str(records), "out": str(out)}
    done = launched(WORKER, "students", json.dumps(task | {"cases": {"mixed": options}}))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("215 of 215 shapes") == 1
    one, other = (alone("mixed", options, shards, records).folder for shards in (True, False))
    alike(out / "mixed", one, other)


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


@pytest.mark.slow
def test_two_machines(pairs, solids, records, tmp_path):
    command = [*DISTILL.split(), "--data", solids, "--records", records, "--out", "run"]
    command += flags(COMMON | CASES["kd"])
    assert [done.returncode for done in machines(tmp_path, command, command)] == [0, 0]
    runs = [tmp_path / name / "run" for name in "01"]
    assert sorted(run.exists() for run in runs) == [False, True]  # that of the first rank
    assert same(pairs / "kd", next(run for run in runs if run.exists()))
