"""Real scans end to end: five folds, a teacher trained on each, students compared on all shapes.

    python benchmarks/five_folds.py FOLDER --out results/five-folds

For every fold a teacher is trained on the other four parts, recorded, and distilled into the same
student by every method and seed. Each shape is predicted once per method and seed, by models that
never saw it; predictions are pooled over the folds and compared by the exact McNemar test. Options
are fixed beforehand, not tuned. Killed, the same command goes on.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from pointstill import distill, evaluate, load_teacher, open_dataset, record, train
from pointstill.demo.experiment import METHODS
from pointstill.evaluation.profiling import processor
from pointstill.evaluation.scoring import exact
from pointstill.recipe import RecordRecipe, TrainRecipe

AUGMENT = "scale,rotate,shift"


def accuracies(right: dict[tuple[str, int], np.ndarray], name: str) -> list[float]:
    """Overall accuracy of each seed of a method, in percent."""
    return [100 * float(right[key].mean()) for key in sorted(right) if key[0] == name]


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Standard deviation over seeds (n - 1), as in the demo; one seed has none."""
    return f" +- {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default="stillnet-m")
    parser.add_argument("--student", default="stillnet-n")
    parser.add_argument("--teacher-epochs", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--points", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()

    predictions: dict[tuple[str, int], list[int]] = {}
    labels: list[int] = []
    for fold in range(5):
        data = open_dataset(options.data, fold=fold)
        out = options.out / f"fold-{fold}"
        common = {"batch_size": 32, "val": 0.0, "smoothing": 0.1, "threads": options.threads}
        recipe = TrainRecipe(epochs=options.teacher_epochs, augment=AUGMENT, **common)
        run = train(options.teacher, data, out=out / "teacher", recipe=recipe)
        teacher = load_teacher(str(run.folder), classes=data.classes)
        views = RecordRecipe(views=options.views, augment=AUGMENT)
        store = record(teacher, data, out=out / "records.zarr", recipe=views)
        models: list[tuple[str, int, Path]] = [("teacher", 0, run.folder)]
        for seed in range(options.seeds):
            common |= {"epochs": options.epochs, "seed": seed, "points": options.points}
            for method in METHODS:
                folder = out / f"{method.key}-{seed}"
                models.append((method.title, seed, folder))
                if method.loss is None:
                    recipe = TrainRecipe(augment=AUGMENT, **common)
                    train(options.student, data, out=folder, recipe=recipe, quiet=True)
                else:
                    distill(
                        options.student,
                        data,
                        records=store.path,
                        out=folder,
                        recipe=replace(method.loss, **common),
                        quiet=True,
                    )
        result = evaluate([folder for *_, folder in models], data, quiet=True)
        labels += result.labels
        for (name, seed, _), score in zip(models, result.scores, strict=True):
            predictions.setdefault((name, seed), []).extend(score.predictions)
        print(f"fold {fold}: {len(labels)} shapes so far, {time.monotonic() - started:.0f} s")

    truth = np.array(labels)
    right = {key: np.array(each) == truth for key, each in predictions.items()}
    lines = [f"pooled over {len(truth)} shapes; {processor()}, {options.threads} thread(s)"]
    titles = [method.title for method in METHODS]
    for name in ("teacher", *titles):
        each = accuracies(right, name)
        seeds = ", ".join(f"{value:.2f}" for value in each)
        lines.append(f"{name:<18} {np.mean(each):.2f}{spread(each)}  ({seeds})")
    for one, other in combinations(titles, 2):
        differences = np.subtract(accuracies(right, one), accuracies(right, other))
        lines.append(f"{one} / {other}: {differences.mean():+.2f}{spread(differences)} points")
        for seed in range(options.seeds):
            a, b = right[one, seed], right[other, seed]
            alone = int((a & ~b).sum()), int((b & ~a).sum())
            lines.append(f"{one} / {other}, seed {seed}: {alone}, p = {exact(*alone):.3f}")
    print("\n".join(lines))
    table = {f"{name}/{seed}": each for (name, seed), each in predictions.items()}
    content = {"labels": labels, "predictions": table, "lines": lines}
    (options.out / "pooled.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
