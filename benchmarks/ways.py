"""One way of distilling, alone in its process: its time and memory, as a line of JSON.

    python benchmarks/ways.py record pointnet    a teacher recorded, beside its bare forward
    python benchmarks/ways.py online pointnet    distillation with the teacher in the loop
    python benchmarks/ways.py offline STORE      distillation from records

Teachers are pointnet, gdanet, any other built-in model, and `stub-4`, which takes about 4 ms a
shape. Weights are random, which costs as much time as any. Memory is VmHWM, the largest resident
set of the process; torch and the data are in it.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.data import Dataset, open_dataset
from pointstill.data.selection import limited
from pointstill.losses import kd
from pointstill.losses.options import KDOptions
from pointstill.losses.targets import Targets
from pointstill.models import build_model
from pointstill.recipe import DistillRecipe
from pointstill.recording.engine import fill
from pointstill.recording.tiles import Recorder
from pointstill.records.store import Store
from pointstill.run import Run
from pointstill.teachers.teacher import NetworkTeacher
from pointstill.teachers.torch_module import TorchNetwork
from pointstill.training.device import keep_memory
from pointstill.training.jobs import distill

STUDENT, POINTS, BATCH, RECORD_BATCH = "stillnet-s", 1024, 64, 16
AUGMENT = "scale,shift"
SECONDS = 8.0
"""About how long a way is measured."""


class Stub(nn.Module):
    """A teacher of adjustable cost: a row of matrix products, about `ms` milliseconds a shape."""

    def __init__(self, classes: int, ms: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(256, 256) / 16)
        self.into, self.out = nn.Linear(3, 256), nn.Linear(256, classes)
        self.products = 100
        points, times = torch.randn(BATCH, POINTS, 3), []
        for _ in range(5):
            started = time.perf_counter()
            with torch.inference_mode():
                self(points)
            times.append(1e3 * (time.perf_counter() - started) / BATCH)
        self.products = max(1, round(100 * ms / statistics.median(times)))

    def forward(self, points: Tensor) -> Tensor:
        """Clouds (B, N, 3) -> logits (B, classes)."""
        rows = self.into(points[:, :64]).flatten(0, 1)
        for _ in range(self.products):
            rows = rows @ self.weight
        logits: Tensor = self.out(rows.unflatten(0, (len(points), -1)).tanh().mean(1))
        return logits


def network_of(name: str, classes: int) -> nn.Module:
    """A teacher with random weights."""
    torch.manual_seed(0)
    if name.startswith("stub-"):
        return Stub(classes, float(name.removeprefix("stub-"))).eval()
    return build_model(name, classes).eval()


def teacher_of(name: str, data: Dataset) -> NetworkTeacher:
    """The same as `load_teacher` gives it, without a file of weights."""
    classes = tuple(data.classes)
    return NetworkTeacher(
        spec=name,
        classes=classes,
        network=TorchNetwork(network_of(name, len(classes)), torch.device("cpu")),
        points=None,
        layout="bn3",
        output="logits",
        axes=None,
        columns=None,
        names=classes,
        fingerprint=name,
    )


def empty_store(
    path: Path, teacher: NetworkTeacher, data: Dataset, limit: int, views: int
) -> Store:
    """A store as `record` makes it, with nothing in it yet."""
    split, pipeline = data.train, Pipeline(parse(AUGMENT, data.train.up), seed=0)
    shapes = limited(split, limit)
    about = {
        "classes": list(split.classes),
        "data": {"fingerprint": split.fingerprint, "split": split.name, "shapes": len(split)},
        "teacher": {"fingerprint": teacher.fingerprint},
        "teacher_spec": teacher.spec,
        "augment": pipeline.describe(),
        "columns": list(pipeline.columns),
        "points": POINTS,
        "batch": RECORD_BATCH,
        "keyed": False,
        "codec": {
            "name": "float16",
            "records": len(shapes),
            "kl_t1": 0.0,
            "kl_t4": 0.0,
            "argmax_flips": 0.0,
        },
    }
    return Store.create(path, about, views, shapes, split.labels[shapes])


def record(name: str) -> dict[str, float]:
    """Recording, as `record` does it, beside the bare forward on batches of the same size."""
    data = open_dataset("primitives")
    split, teacher = data.train, teacher_of(name, data)
    module = teacher.network.module  # type: ignore[attr-defined]
    clouds = Clouds.of(split)
    pipeline = Pipeline(parse(AUGMENT, split.up), seed=0)
    shapes = torch.from_numpy(limited(split, RECORD_BATCH))
    some = pipeline.replay(clouds, 0, shapes, pipeline.sample(0, shapes), POINTS)
    with torch.inference_mode():
        ms = statistics.median(timed(lambda: module(some)) for _ in range(5)) / len(some)
    # So many records that the last tile, whose writing is waited for, weighs little.
    budget = 1e3 * SECONDS / 3 / ms
    limit = int(min(1600, max(48, budget)))
    views = int(min(4, max(1, budget // limit)))
    ratios, forwards = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = empty_store(Path(folder) / "records.zarr", teacher, data, limit, views)
        tiles, recorder = list(store.tiles()), Recorder(store, teacher, clouds, pipeline)
        rows = torch.from_numpy(store.shapes)
        points = pipeline.replay(clouds, 0, rows, pipeline.sample(0, rows), POINTS)

        def bare() -> None:
            with torch.inference_mode():
                for tile in tiles:
                    for batch in points[tile.start : tile.stop].split(RECORD_BATCH):
                        module(batch)

        records = views * limit
        for round_ in range(5):
            works: list[Callable[[], object]] = [
                bare,
                lambda: fill(recorder, tiles, quiet=True),
            ]
            # Now one first, now the other.
            times = [timed(work) for work in (works if round_ % 2 else works[::-1])]
            forward, recording = times if round_ % 2 else times[::-1]
            forwards.append(forward / records)
            ratios.append(recording / forward)
    forward = statistics.median(forwards)
    return {
        "records": records,
        "forward_ms": forward,
        "record_over_forward": statistics.median(ratios),
        "record_ms": forward * statistics.median(ratios),
        "peak_mib": peak_mib(),
    }


def online(name: str) -> dict[str, float]:
    """Distillation with the teacher in the loop, as plain as it can be written."""
    keep_memory()  # as `distill` does
    data = open_dataset("primitives")
    split = data.train
    clouds = Clouds.of(split)
    pipeline = Pipeline(parse(AUGMENT, split.up), seed=0)
    labels = torch.from_numpy(np.array(split.labels))
    teacher = network_of(name, len(split.classes))
    student = build_model(STUDENT, len(split.classes)).train()
    optimizer = torch.optim.AdamW(student.parameters())
    options = KDOptions()
    some = torch.from_numpy(limited(split, 960))
    times, waits = [], []
    while len(times) < 4 or (sum(times) < 1e3 * SECONDS and len(times) < 60):
        shapes = some[torch.randperm(len(some))[:BATCH]]
        started = time.perf_counter()
        points = pipeline.replay(clouds, 0, shapes, pipeline.sample(0, shapes), POINTS)
        asked = time.perf_counter()
        with torch.inference_mode():
            logits = teacher(points)
        waits.append(1e3 * (time.perf_counter() - asked))
        parts = kd.parts(student(points), Targets(labels[shapes], logits), options)
        parts["loss"].backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(1e3 * (time.perf_counter() - started))
    step, teacher_ms = (statistics.median(each[1:]) / BATCH for each in (times, waits))
    return {"step_ms": step, "teacher_ms": teacher_ms, "peak_mib": peak_mib()}


def offline(records: str) -> dict[str, float]:
    """Distillation from records by `distill`, with all that it does besides."""
    data = open_dataset("primitives")
    with tempfile.TemporaryDirectory() as folder:
        kd_alone: dict[str, dict[str, Any]] = {"kd": {"loss": "kd"}}
        (times,) = epochs(data, Path(records), Path(folder), kd_alone, rounds=1).values()
    shapes = Store.open(records).rows
    return {"step_ms": statistics.median(times) / shapes, "peak_mib": peak_mib()}


def finished_store(path: Path, data: Dataset, limit: int) -> Path:
    """A finished store of one view."""
    teacher = teacher_of("stillnet-n", data)
    store = empty_store(path, teacher, data, limit, views=1)
    clouds, pipeline = Clouds.of(data.train), Pipeline.restore(store.attributes["augment"])
    fill(Recorder(store, teacher, clouds, pipeline), list(store.tiles()), quiet=True)
    return path


def epochs(
    data: Dataset,
    records: Path,
    folder: Path,
    recipes: dict[str, dict[str, Any]],
    rounds: int,
    count: int = 6,
) -> dict[str, list[float]]:
    """Milliseconds of the epochs of `distill` under each recipe, in turns.

    Of `count` epochs the first two are left out: they warm up, and NWSD is not at work yet.
    """
    ends: list[float] = []
    log = Run.log

    def noted(run: Run, line: dict[str, Any]) -> None:
        log(run, line)
        ends.append(time.perf_counter())

    times: dict[str, list[float]] = {name: [] for name in recipes}
    shapes = Store.open(records).rows
    common: dict[str, Any] = {"epochs": count, "batch_size": BATCH, "val": 0.0, "limit": shapes}
    with patch.object(Run, "log", noted):
        for round_ in range(rounds):
            for name, recipe in recipes.items():
                ends.clear()
                distill(
                    STUDENT,
                    data,
                    records=records,
                    out=folder / f"{name}-{round_}",
                    recipe=DistillRecipe(**common, **recipe),
                    past_records=records if recipe.get("past") == "records" else None,
                    quiet=True,
                )
                times[name] += [1e3 * float(gap) for gap in np.diff(ends)[1:]]
    return times


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def peak_mib() -> float:
    """The largest resident set of this process so far, in MiB (Linux)."""
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text("utf-8").splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) / 1024


WAYS = {"record": record, "online": online, "offline": offline}

if __name__ == "__main__":
    way, *name = sys.argv[1:]
    print(json.dumps(WAYS[way](*name)))
