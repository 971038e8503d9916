"""One of several ranks, as `rank_launcher.py` has torchrun start it: `rank.py TASK JSON`."""

import json
import math
import os
import sys
import time
from pathlib import Path

import torch

import pointstill.run
from pointstill import torchrun
from pointstill.__main__ import run
from pointstill.data import open_dataset
from pointstill.losses import cross_entropy
from pointstill.models import build_model
from pointstill.recipe import DistillRecipe
from pointstill.training import ranks
from pointstill.training.jobs import distill

RANK = int(os.environ["RANK"])


def forbidden(*_: object) -> None:
    raise AssertionError(f"rank {RANK} writes in the run folder")


def students(solids: str, records: str, out: str, cases: dict) -> None:
    """Distil a student a case; only the first rank may write or lock."""
    if RANK:
        pointstill.run.write_whole = pointstill.run.lock = forbidden
    for name, options in cases.items():
        done = distill(
            "stillnet-n",
            open_dataset(solids),
            records=records,
            past_records=records if options.get("past") == "records" else None,
            out=Path(out) / name,
            recipe=DistillRecipe(**options),
        )
        assert done.finished
        assert (done.folder / pointstill.run.WEIGHTS).exists()


def command(tokens: list[str], at_rank: int, at_step: int, how: str) -> None:
    """Run a command line in which one rank comes to grief at a step."""
    original, steps = cross_entropy.parts, iter(range(1000))

    def poisoned(logits, targets, options) -> dict[str, torch.Tensor]:
        parts = original(logits, targets, options)
        if next(steps) == at_step:
            if how == "kill":
                os.kill(os.getpid(), 9)
            parts["loss"] = parts["loss"] * math.nan
        return parts

    if at_rank == RANK:
        cross_entropy.parts = poisoned
    sys.exit(run(tokens))


def functions(out: str) -> None:
    """Every function that ranks meet in, against what it should give."""
    log = Path(out) / "turns"
    with torchrun.in_turn():
        if RANK == 0:
            time.sleep(0.5)
        with log.open("a") as file:
            file.write(f"{RANK}\n")
    fabric = ranks.start("cpu")
    assert (ranks.rank(), ranks.world(), torchrun.world()) == (RANK, 2, 2)
    assert torchrun.first() == (RANK == 0) == fabric.is_global_zero
    assert log.read_text() == "0\n1\n"

    rows = torch.arange(7)
    mine = ranks.shard(rows)
    assert mine.tolist() == [[0, 1, 2, 3], [4, 5, 6]][RANK]
    assert torch.equal(ranks.all_gather(mine), rows)
    table = torch.arange(14.0).reshape(7, 2)
    assert torch.equal(ranks.all_gather(table[mine]), table)
    assert ranks.shard(rows[:1]).tolist() == [[0], []][RANK]
    value = torch.tensor([1.0, 10.0]) * (RANK + 1)
    assert ranks.total(value).tolist() == [3.0, 30.0]
    assert value.tolist() == [RANK + 1.0, 10.0 * (RANK + 1)]
    assert ranks.from_first({"rank": RANK}) == {"rank": 0}
    assert ranks.of_each(f"rank {RANK}") == ["rank 0", "rank 1"]
    assert ranks.most(RANK, fabric.device) == ranks.most(1 - RANK, fabric.device) == 1

    model = build_model("stillnet-n", 4)
    for number, each in enumerate(model.buffers()):
        if each.is_floating_point():
            each.fill_(100 * RANK + number)
    ranks.same_buffers(model)
    for number, each in enumerate(model.buffers()):
        assert not each.is_floating_point() or (each == number).all()


if __name__ == "__main__":
    {"students": students, "command": command, "functions": functions}[sys.argv[1]](
        **json.loads(sys.argv[2])
    )
