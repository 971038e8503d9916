"""What the demo's sizes can show, tried on shapes and teachers that are not the demo's.

    python benchmarks/demo_pilot.py SHAPES FOLDER [SHARE ...]     10 minutes a share on a core

Generates the built-in data set anew from the number SHAPES (the demo's is 0), trains a teacher on
it, records it, and trains the demo's students by labels and by KD on each share of the labels, five
seeds. Prints accuracies on the test shapes of that set, and what KD gains within a seed.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch

from pointstill import distill, evaluate, load_teacher, open_dataset, record, train
from pointstill.data.primitives import Primitives
from pointstill.demo.experiment import DATA, FULL, METHODS
from pointstill.recipe import RecordRecipe

PLAIN = [method for method in METHODS if method.key in ("ce", "ce-smooth", "kd")]


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("shares", type=float, nargs="*", default=[FULL.label_share])
    options = parser.parse_args()
    torch.set_num_threads(1)
    Primitives.__init__.__defaults__ = (False, options.shapes)  # other shapes of the same kinds
    data, out = open_dataset(DATA), options.folder
    teacher = train(FULL.teacher, data, out=out / "teacher", recipe=FULL.teacher_recipe())
    store = record(
        load_teacher(str(teacher.folder), classes=data.classes),
        data,
        out=out / "records.zarr",
        recipe=RecordRecipe(views=FULL.views, augment=FULL.augment, limit=FULL.limit),
    )
    for share in options.shares:
        plan, found = replace(FULL, label_share=share), {}
        for method in PLAIN:
            runs = []
            for seed in range(plan.seeds):
                run = out / f"{share}-{method.key}-{seed}"
                if method.loss is None:
                    recipe = plan.fresh_recipe(method.smoothing, seed)
                    runs.append(train(plan.student, data, out=run, recipe=recipe))
                else:
                    taught = plan.recorded_recipe(method.loss, seed)
                    runs.append(
                        distill(plan.student, data, records=store.path, out=run, recipe=taught)
                    )
            scores = evaluate(runs, data).scores
            found[method.key] = [100 * score.overall_accuracy for score in scores]
        for key, each in found.items():
            gains = [kd - one for kd, one in zip(found["kd"], each, strict=True)]
            print(
                f"{share:g} of the labels, {key}: {mean(each):.1f} ± {stdev(each):.1f} %; KD gains "
                f"{mean(gains):.1f} ± {stdev(gains):.1f}"
            )


if __name__ == "__main__":
    main()
