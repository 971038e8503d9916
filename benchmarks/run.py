"""`make bench`: what recording and distilling cost beside what they cannot do without.

Every figure is a ratio against something measured in the same run. Results go to
benchmarks/results/<date>.json; a copy of the table is printed.
"""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.data import open_dataset
from pointstill.data.subset import limited
from pointstill.losses import LOSSES, Targets
from pointstill.models import build_model
from pointstill.profiling import processor
from pointstill.recipe import LossOptions

POINTS, BATCH, ROUNDS = 1024, 64, 15


def median_ms(*works: Callable[[], object]) -> list[float]:
    """Median milliseconds of each, measured in turns so that all see the same machine."""
    times: list[list[float]] = [[] for _ in works]
    for round_ in range(ROUNDS + 2):
        for mine, work in zip(times, works, strict=True):
            started = time.perf_counter()
            work()
            if round_ >= 2:  # warm-up
                mine.append(time.perf_counter() - started)
    return [1e3 * statistics.median(mine) for mine in times]


def bench_step(model_name: str) -> dict[str, float]:
    """A training step: on ready points with labels; with replay; and with each loss."""
    split = open_dataset("primitives").train
    clouds = Clouds(split.points, split.offsets)
    pipeline = Pipeline(parse("scale,shift", split.up), seed=0)
    shapes = torch.from_numpy(limited(split, BATCH))
    labels = torch.from_numpy(np.array(split.labels))[shapes]
    parameters = pipeline.sample(0, shapes)
    ready = pipeline.replay(clouds, 0, shapes, parameters, POINTS)
    torch.manual_seed(0)
    model = build_model(model_name, len(split.classes))
    optimizer = torch.optim.AdamW(model.parameters())
    teacher, table = torch.randn(2, BATCH, len(split.classes))
    frozen = build_model(model_name, len(split.classes)).eval()

    def step(loss: str, replay: bool, past: str | None = None) -> None:
        points = ready
        if replay:
            points = pipeline.replay(clouds, 0, shapes, parameters, POINTS)
        model.train()
        logits = model(points)
        said = table
        if past == "snapshot":
            with torch.no_grad():
                said = frozen(points)
        targets = Targets(labels, teacher, said)
        LOSSES[loss].function(logits, targets, LossOptions(loss="nwsd"))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    bare, ce, kd, from_table, snapshot = median_ms(
        lambda: step("ce", replay=False),
        lambda: step("ce", replay=True),
        lambda: step("kd", replay=True),
        lambda: step("nwsd", replay=True, past="table"),
        lambda: step("nwsd", replay=True, past="snapshot"),
    )
    return {
        "ce_ms_a_shape": ce / BATCH,
        "ce_with_replay_over_ready_points": ce / bare,
        "kd_over_ce": kd / ce,
        "kd_with_replay_over_ce_on_ready_points": kd / bare,
        "nwsd_table_over_ce": from_table / ce,
        "nwsd_snapshot_over_ce": snapshot / ce,
    }


def bench_record(model_name: str) -> dict[str, float]:
    """Recording a tile, beside the bare forward on the same batches."""
    from pointstill.recording import record_tile
    from pointstill.records.store import Store, Tile
    from pointstill.teachers import Teacher, load_teacher

    data = open_dataset("primitives")
    split = data.train
    clouds = Clouds(split.points, split.offsets)
    pipeline = Pipeline(parse("scale,shift", split.up), seed=0)
    shapes, tile, batch = limited(split, 64), Tile(0, 0, 0, 64), 16
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        torch.save(build_model(model_name, len(data.classes)).state_dict(), weights)
        teacher: Teacher = load_teacher(model_name, weights=weights, classes=data.classes)
        indices = torch.from_numpy(shapes)
        points = pipeline.replay(clouds, 0, indices, pipeline.sample(0, indices), POINTS)
        about = {
            "classes": list(data.classes),
            "columns": list(pipeline.columns),
            "batch": batch,
            "points": POINTS,
            "keyed": False,
            "codec": {"name": "float16"},
        }
        store = Store.create(Path(folder) / "r.zarr", about, 1, shapes, split.labels[shapes])

        def bare() -> None:
            with torch.inference_mode():
                for some in torch.split(points, batch):
                    teacher.logits(some)

        def recorded() -> None:
            content = record_tile(teacher, pipeline, clouds, shapes, tile, POINTS, batch)
            store.write(tile, *content)

        forward, whole = median_ms(bare, recorded)
    return {"forward_ms_a_view": forward / 64, "record_over_forward": whole / forward}


def main() -> None:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": commit,
        "step": {name: bench_step(name) for name in ("stillnet-n", "stillnet-s")},
        "record": {name: bench_record(name) for name in ("stillnet-m", "pointnet")},
    }
    text = json.dumps(results, indent=2)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{results['date']}.json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
