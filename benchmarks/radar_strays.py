"""What leaving strays out is worth on radar clouds, half of which have clutter metres away.

    PYTHONPATH=. python benchmarks/radar_strays.py DATA --out FOLDER [--seed 0]

DATA is mTransSee (`examples/radar_gestures/mtranssee.yaml`). The student by labels alone on xyz and
time of `make results` is trained again as before 0.4, with version 1 of the normalisation, which
scales a cloud by its farthest point whatever that is. Both are asked about people never seen, and
about people beside reflectors.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conditions import conditions
from page import table
from pointstill import evaluate, open_dataset, train
from pointstill.augment import normalize
from pointstill.data import Dataset
from pointstill.recipe import TrainRecipe

SPLITS = {"test": "people never seen", "shift": "beside reflectors"}
SAME = ("epochs", "points", "batch_size", "val", "smoothing", "augment", "learning_rate", "seed")
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"


def main() -> None:
    """Train, ask, and write what was found."""
    from studies.job import outcomes  # whose place is the repository's root, not this folder

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = open_dataset(options.data, features="xyz,time")
    latest = outcomes(ROOT / "results/radar")[f"shares/100-{options.seed}-ce"]
    same = {name: latest.found["recipe"][name] for name in SAME}
    recipe = TrainRecipe(threads=1, **same)
    normalize.VERSION = 1  # as a run that was begun before 0.4 goes on
    first = train("stillnet-n", data, out=options.out, recipe=recipe)
    normalize.VERSION = 2
    found: dict[str, Any] = {
        "conditions": conditions(1),
        "data": Path(options.data).name,
        "seed": options.seed,
        "clouds": {split: clutter(data, split) for split in ("train", *SPLITS)},
        "accuracy": {},
    }
    for split in SPLITS:
        (score,) = evaluate(first, data, split=split).scores
        found["accuracy"][split] = [100 * score.overall_accuracy, latest.accuracy(split)]
    target = RESULTS / f"radar_strays-{date.today().isoformat()}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(text(found))


def clutter(data: Dataset, split: str) -> dict[str, float]:
    """How many clouds of a split have strays, and what these do to the radius."""
    clouds = data.split(split)
    before, after = (
        normalize.sample(clouds.points, clouds.offsets, version) for version in normalize.VERSIONS
    )
    some = list(after.strays)
    shrunk = after.parameters[some, 3] / before.parameters[some, 3]
    return {"share": len(some) / len(clouds), "radius": float(np.median(shrunk))}


def text(found: dict[str, Any]) -> str:
    """What the page says of it."""
    share, radius = found["clouds"]["train"]["share"], found["clouds"]["train"]["radius"]
    rows = [
        (words, *(f"{value:.1f}" for value in found["accuracy"][split]))
        for split, words in SPLITS.items()
    ]
    return (
        f"**Clutter in radar clouds**, by `benchmarks/radar_strays.py` on "
        f"{found['conditions']['date']}: {100 * share:.0f} % of the training clouds of "
        f"{Path(found['data']).stem} have strays, without which the median of them is "
        f"{radius:.2f} times as large. `stillnet-n` by labels alone on (xyz, time), trained and "
        f"asked with either version of the normalisation, seed {found['seed']}: overall accuracy, %"
        "\n\n" + table(("", "version 1", "version 2"), rows)
    )


if __name__ == "__main__":
    main()
