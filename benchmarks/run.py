"""`make bench`: what recording and distilling cost beside what they cannot do without.

    python benchmarks/run.py               everything, about nine minutes on two quiet cores
    python benchmarks/run.py --only step   one part, printed and not kept

Every figure is a ratio against something measured in the same run, or stands beside it. Results go
to benchmarks/results/<date>.json, and `page.py` makes docs/benchmarks.md and its picture from them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import page
from conditions import conditions
from pointstill.augment import Clouds, Pipeline, parse
from pointstill.data import open_dataset
from pointstill.data.selection import limited
from pointstill.losses import LOSSES
from pointstill.losses.options import KDOptions
from pointstill.losses.targets import Targets
from pointstill.models import build_model
from pointstill.training.device import keep_memory
from ways import AUGMENT, BATCH, POINTS, STUDENT, epochs, finished_store, timed

HERE = Path(__file__).parent
ROUNDS, SHAPES = 60, 960
TEACHERS = ("stub-1", "stub-4", "stub-16", "pointnet", "gdanet")
RECORDED = ("stillnet-m", "stub-4", "pointnet", "gdanet")
RECIPES: dict[str, dict[str, Any]] = {
    "ce": {"loss": "ce"},
    "kd": {"loss": "kd"},
    "nwsd table": {"loss": "nwsd", "past": "table"},
    "nwsd records": {"loss": "nwsd", "past": "records"},
    "nwsd snapshot": {"loss": "nwsd", "past": "snapshot"},
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def in_turns(works: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of each work in every round, so that all see the same machine.

    A round begins with another work each time, so that none always follows the same one.
    """
    names = list(works)
    times: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS + 2):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            ms = timed(works[name])
            if round_ >= 2:  # warm-up
                times[name].append(ms)
    return times


def over(times: dict[str, list[float]], one: str, other: str) -> float:
    """Median over the rounds of the ratio of two works."""
    return float(np.median(np.divide(times[one], times[other])))


def bench_step() -> dict[str, dict[str, float]]:
    """A training step: on ready points with labels; with replay; and with KD.

    On the clouds of the built-in data, and on clouds of 2,048 points, as ModelNet40 has them, of
    which a view draws 1,024.
    """
    keep_memory()  # as training does
    split = open_dataset("primitives").train
    small = Clouds.of(split), torch.from_numpy(limited(split, BATCH))
    points = np.random.default_rng(0).normal(size=(BATCH * 2048, 3)).astype(np.float32)
    large = Clouds(points, np.arange(BATCH + 1) * 2048), torch.arange(BATCH)
    return {
        "stillnet-n, primitives": steps("stillnet-n", *small),
        "stillnet-s, primitives": steps("stillnet-s", *small),
        "stillnet-m, primitives": steps("stillnet-m", *small),
        "stillnet-s, 2,048 points": steps("stillnet-s", *large),
    }


def steps(student: str, clouds: Clouds, shapes: Tensor) -> dict[str, float]:
    """The ratios of steps on one batch of clouds."""
    classes = 40
    pipeline = Pipeline(parse(AUGMENT, "z"), seed=0)
    parameters = pipeline.sample(0, shapes)
    ready = pipeline.replay(clouds, 0, shapes, parameters, POINTS)
    torch.manual_seed(0)
    model = build_model(student, classes)
    optimizer = torch.optim.AdamW(model.parameters())
    targets = Targets(torch.randint(classes, (BATCH,)), torch.randn(BATCH, classes))

    def step(loss: str, replay: bool) -> None:
        points = ready
        if replay:
            points = pipeline.replay(clouds, 0, shapes, parameters, POINTS)
        model.train()
        parts = LOSSES[loss].parts(model(points), targets, KDOptions())
        parts["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(ready)

    times = in_turns(
        {
            "ce": lambda: step("ce", replay=False),
            "ce, again": lambda: step("ce", replay=False),
            "ce, replay": lambda: step("ce", replay=True),
            "kd": lambda: step("kd", replay=False),
            "kd, replay": lambda: step("kd", replay=True),
            "forward": forward,
        }
    )
    return {
        "ce_ms": statistics.median(times["ce"]) / BATCH,
        "again_over_ce": over(times, "ce, again", "ce"),
        "replay_over_ready": over(times, "ce, replay", "ce"),
        "kd_over_ce": over(times, "kd", "ce"),
        "replay_and_kd_over_ce": over(times, "kd, replay", "ce"),
        "forward_over_ce": over(times, "forward", "ce"),
    }


def bench_epoch() -> dict[str, float]:
    """Epochs of `distill` on the same records: each loss beside cross-entropy."""
    data = open_dataset("primitives")
    with tempfile.TemporaryDirectory() as folder:
        records = finished_store(Path(folder) / "records.zarr", data, SHAPES)
        times = epochs(data, records, Path(folder), RECIPES, rounds=2)
    ratios = {f"{name} over ce": over(times, name, "ce") for name in RECIPES if name != "ce"}
    return {"ce_ms": statistics.median(times["ce"]) / SHAPES, **ratios}


def in_a_process(way: str, name: str) -> dict[str, float]:
    """A way of distilling in a process of its own."""
    say(f"{way} {name if way != 'offline' else ''}")
    command = [sys.executable, str(HERE / "ways.py"), way, name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def bench_record() -> dict[str, dict[str, float]]:
    """Recording, beside the bare forward on batches of the same size."""
    return {name: in_a_process("record", name) for name in RECORDED}


def bench_online() -> dict[str, Any]:
    """Distillation from records and with the teacher in the loop: same student, views and loss."""
    with tempfile.TemporaryDirectory() as folder:
        records = str(
            finished_store(Path(folder) / "records.zarr", open_dataset("primitives"), SHAPES)
        )
        before = in_a_process("offline", records)
        teachers = {name: in_a_process("online", name) for name in TEACHERS}
        after = in_a_process("offline", records)
    both = {key: [before[key], after[key]] for key in before}
    return {"student": STUDENT, "batch": BATCH, "from_records": both, "in_the_loop": teachers}


PARTS: dict[str, Callable[[], Any]] = {
    "step": bench_step,
    "epoch": bench_epoch,
    "record": bench_record,
    "online": bench_online,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    results = conditions(torch.get_num_threads())
    for name, part in PARTS.items():
        if options.only in (None, name):
            say(f"part {name}")
            results[name] = part()
    text = json.dumps(results, indent=2)
    print(text)
    if options.only is None:
        page.RESULTS.mkdir(exist_ok=True)
        file = page.RESULTS / f"{results['date']}.json"
        file.write_text(text + "\n", "utf-8")
        page.write(file)
        say(f"wrote {file}, {page.PAGE} and {page.PICTURE}")


if __name__ == "__main__":
    main()
