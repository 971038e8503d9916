"""Memory and time a record as data and records grow: 20 k, 200 k and 2 M records.

    python benchmarks/large.py [--shapes 2000 20000 200000] [--folder DIR]

Makes data sets of so many generated clouds (96 to 160 points) in a temporary folder, records ten
views of each from a stub of a teacher, reads the records back as training does, and distils a tiny
student from all of them. Every phase is a process of its own that watches its anonymous memory
(RssAnon: what cannot be dropped and read again). A quarter of an hour on one core, and 1 GB of
disk; `--shapes 200 2000` takes a minute. Results go to benchmarks/results/large-<date>.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from conditions import conditions
from pointstill import models
from pointstill.augment import Clouds
from pointstill.data import Dataset, Shape
from pointstill.data.source import SplitName
from pointstill.recipe import DistillRecipe, RecordRecipe
from pointstill.recording import job
from pointstill.records import Store
from pointstill.records.matching import check_records, recorded_pipeline
from pointstill.training import jobs
from pointstill.training.shuffling import Windows
from pointstill.training.views import RecordedViews

CPU = torch.device("cpu")
VIEWS, CLASSES, POINTS, BATCH = 10, 40, 64, 128
LIMIT_MB = 400.0
PHASES = ("data", "record", "read", "distill")


class Watch(threading.Thread):
    """Samples the anonymous memory of this process, from after its imports on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.imports = self.peak = self.now()
        self.begun = self.begun_cpu = 0.0
        self.start()

    @staticmethod
    def now() -> float:
        """MB of RssAnon."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(0.005)

    def begin(self) -> None:
        """The first record comes: what was before is the start."""
        if not self.begun:
            self.begun, self.begun_cpu = time.perf_counter(), time.process_time()


@dataclass(frozen=True)
class Generated:
    """Clouds of 40 classes of ellipsoids, each a function of its number."""

    count: int
    kind: str = "generated"
    classes: tuple[str, ...] = tuple(f"class {number}" for number in range(CLASSES))
    up: str = "z"

    @property
    def key(self) -> str:
        return f"generated/{self.count}"

    def files(self, split: SplitName) -> list[Path]:
        return []

    def shapes(self, split: SplitName) -> Iterator[Shape]:
        for number in range(self.count):
            label = number % CLASSES
            yield Shape(f"{split}/{label:02}/{number:07}", label, lambda n=number: cloud(n))


def cloud(number: int) -> np.ndarray:
    draw = np.random.Generator(np.random.Philox(number))
    axes = 1 + np.array([number % CLASSES % 4, number % CLASSES // 4 % 4, number % CLASSES // 16])
    return (draw.normal(size=(draw.integers(96, 161), 3)) * axes).astype(np.float32)


@dataclass(frozen=True)
class Stub:
    """In place of a teacher: logits by a fixed matrix from the spread of the points."""

    spec: str = "stub"
    classes: tuple[str, ...] = Generated(0).classes
    points: int = POINTS
    device: torch.device = CPU
    fingerprint: str = "stub"
    parameters: None = None
    nbytes: None = None
    counted: bool = False
    votes: int = 1

    def logits(self, points: Tensor) -> Tensor:
        return points.square().mean(1) @ torch.linspace(-9, 9, 3 * CLASSES).reshape(3, CLASSES)


class Tiny(nn.Module):
    """A student that costs next to nothing, so that reading is not hidden behind it."""

    def __init__(self, classes: int):
        super().__init__()
        self.lift, self.head = nn.Linear(3, 16), nn.Linear(16, classes)

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.head(self.lift(points).relu().amax(1))
        return logits


def data(folder: Path, count: int, watch: Watch) -> int:
    """The first read of a source, into the cache."""
    watch.begin()
    return len(opened(folder, count).train)


def record(folder: Path, count: int, watch: Watch) -> int:
    """All views from the stub."""
    store = job.record(
        Stub(),
        opened(folder, count),
        out=folder / f"{count}.zarr",
        recipe=RecordRecipe(views=VIEWS, batch_size=BATCH),
        quiet=True,
    )
    return store.rows * store.views


def read(folder: Path, count: int, watch: Watch) -> int:
    """All batches of an epoch a view, without a student."""
    split, store = opened(folder, count).train, Store.open(folder / f"{count}.zarr")
    rows = check_records(store, split, np.arange(count))
    pipeline = recorded_pipeline(store)
    clouds, shapes = Clouds.of(split), torch.from_numpy(store.shapes[rows])
    windows = Windows(rows // store.attributes["tile"], DistillRecipe().window, seed=0)
    views = RecordedViews(store, rows, windows, CPU, True)
    watch.begin()
    for epoch in range(VIEWS):
        view = views.view(epoch)
        for some in torch.from_numpy(view.order.rows).split(BATCH):
            pipeline.replay(clouds, view.number, shapes[some], view.parameters[some], POINTS)
            assert view.teacher is not None
            assert view.teacher[some].shape[1] == CLASSES
    return count * VIEWS


def distill(folder: Path, count: int, watch: Watch) -> int:
    """Ten epochs of a tiny student with NWSD."""
    models.MODELS["tiny"] = Tiny
    recipe = DistillRecipe(loss="nwsd", epochs=VIEWS, batch_size=BATCH, val=0.0, device="cpu")
    records, out = folder / f"{count}.zarr", folder / f"{count}-run"
    jobs.distill("tiny", opened(folder, count), records=records, out=out, recipe=recipe, quiet=True)
    return count * VIEWS


def opened(folder: Path, count: int) -> Dataset:
    return Dataset(f"generated-{count}", Generated(count), cache=folder / "cache")


def phase(name: str, folder: Path, count: int) -> dict[str, Any]:
    """One phase, in this process."""
    torch.set_num_threads(1)
    watch, started = Watch(), time.perf_counter()
    # Recording begins with its first tile, training with `fit`: before is the start.
    heard(Store, "write", watch)
    heard(jobs, "fit", watch)
    records = globals()[name](folder, count, watch)
    stopped, cpu = time.perf_counter(), time.process_time()
    return {
        "records" if name != "data" else "clouds": records,
        "rss_anon_mb": round(watch.peak, 1),
        "rss_anon_after_imports_mb": round(watch.imports, 1),
        "start_seconds": round(watch.begun - started, 2),
        "us_each": round(1e6 * (stopped - watch.begun) / records, 2),
        "cpu_us_each": round(1e6 * (cpu - watch.begun_cpu) / records, 2),
    }


def heard(owner: Any, name: str, watch: Watch) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def spy(*arguments: Any, **more: Any) -> Any:
        watch.begin()
        return original(*arguments, **more)

    setattr(owner, name, spy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--folder", type=Path, default=None, help="where to make it all")
    parser.add_argument("--phase", choices=PHASES, default=None, help="for its own processes")
    options = parser.parse_args()
    if options.phase:
        print(json.dumps(phase(options.phase, options.folder, options.shapes[0])))
        return
    results = conditions(threads=1) | {
        "views": VIEWS,
        "classes": CLASSES,
        "window": DistillRecipe().window,
        "phases": {name: [] for name in PHASES},
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for count in options.shapes:
            for name in PHASES:
                command = [sys.executable, __file__, "--phase", name, "--folder", folder]
                command += ["--shapes", str(count)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found = json.loads(done.stdout)
                print(name, found, file=sys.stderr, flush=True)
                results["phases"][name].append(found)
    for name, found in results["phases"].items():
        first, last = found[0], found[-1]
        results[f"{name}_cpu_us_each_last_over_first"] = round(
            last["cpu_us_each"] / first["cpu_us_each"], 2
        )
    peak = max(each["rss_anon_mb"] for found in results["phases"].values() for each in found)
    results |= {"rss_anon_mb": peak, "limit_mb": LIMIT_MB, "within_limit": peak <= LIMIT_MB}
    text = json.dumps(results, indent=2)
    out = Path(__file__).parent / "results" / f"large-{results['date']}.json"
    out.write_text(text + "\n", "utf-8")
    print(text)
    if peak > LIMIT_MB:
        raise SystemExit(f"{peak} MB of anonymous memory, more than {LIMIT_MB}")


if __name__ == "__main__":
    main()
