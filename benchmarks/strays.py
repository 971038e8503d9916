"""What strays cost a student, with both versions of the normalisation side by side.

    python benchmarks/strays.py RUN DATA [--limit 500]

Of each of some test shapes, 1, 3 and 10 points are moved 2, 3, 10 and 100 radii from the middle,
each in a direction of its own. The weights of the run are deployed with version 1, which scales a
cloud by its farthest point, and with 2, which leaves strays out. Prints overall accuracies, on all
test shapes as they are too, and median milliseconds on one thread in ONNX Runtime, in turns, and
writes them to results/, for the page that `sections.py` writes.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from conditions import conditions
from page import table
from pointstill import open_dataset
from pointstill.augment import normalize
from pointstill.data import Split
from pointstill.data.selection import limited
from pointstill.deployment.exporting import Deployed, onnx_session
from pointstill.evaluation.profiling import in_turns
from pointstill.run import Run

RESULTS = Path(__file__).parent / "results"
STRAYS, RADII, SIZES = (1, 3, 10), (2, 3, 10, 100), (1024, 2048, 28_100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("data")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(options.run)
    points = run.recipe["points"]
    sessions = {
        version: onnx_session(Deployed(run.model(), points, normalization=version).eval(), points)
        for version in normalize.VERSIONS
    }
    split = open_dataset(options.data).test
    some, every = limited(split, options.limit), np.arange(len(split))
    found: dict[str, Any] = {"conditions": conditions(1), "shapes": len(some)}
    found["as they are, all"] = accuracies(sessions, split, every, 0, 1)
    found["as they are"] = accuracies(sessions, split, some, 0, 1)
    for strays in STRAYS:
        for radii in RADII:
            row = accuracies(sessions, split, some, strays, radii)
            found[f"{strays} at {radii}"] = row
            print(f"{strays} at {radii} radii", row, flush=True)
    found["milliseconds"] = latencies(sessions, options.seconds)
    print(json.dumps(found, indent=1))
    target = RESULTS / f"strays-{date.today().isoformat()}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def accuracies(
    sessions: dict[int, onnxruntime.InferenceSession],
    split: Split,
    shapes: np.ndarray,
    strays: int,
    radii: float,
) -> dict[int, float]:
    """Overall accuracy in percent of each version, on shapes with so many strays."""
    draw, right = np.random.default_rng(0), dict.fromkeys(sessions, 0)
    for shape in shapes.tolist():
        cloud = strewn(split.cloud(shape), strays, radii, draw)
        for version, session in sessions.items():
            (logits,) = session.run(None, {"points": cloud[None]})
            right[version] += int(logits[0].argmax() == split.labels[shape])
    return {version: 100 * count / len(shapes) for version, count in right.items()}


def strewn(cloud: np.ndarray, strays: int, radii: float, draw: np.random.Generator) -> np.ndarray:
    """A cloud (n, 3) of which some points are so many radii from the middle."""
    middle = cloud.mean(axis=0)
    radius = np.linalg.norm(cloud - middle, axis=1).max()
    away = draw.normal(size=(strays, 3))
    away *= radii * radius / np.linalg.norm(away, axis=1)[:, None]
    cloud = cloud.copy()
    cloud[draw.permutation(len(cloud))[:strays]] = middle + away
    return cloud


def latencies(
    sessions: dict[int, onnxruntime.InferenceSession], seconds: float
) -> dict[str, dict[int, float]]:
    """Median milliseconds for one cloud, in turns, by number of points and version."""
    draw, works = np.random.default_rng(0), {}
    for size in SIZES:
        cloud = draw.normal(size=(1, size, 3)).astype(np.float32)
        cloud /= np.linalg.norm(cloud, axis=2, keepdims=True) ** 0.7
        for version, session in sessions.items():
            works[f"{size}", f"{version}"] = lambda session=session, cloud=cloud: session.run(
                None, {"points": cloud}
            )
    times = in_turns(works, seconds, rounds=20)
    return {
        f"{size}": {version: times[f"{size}", f"{version}"] for version in sessions}
        for size in SIZES
    }


def text(found: dict[str, Any]) -> str:
    """What the page says of it."""
    said, pair = found["conditions"], "{1:.1f} / {2:.1f}"
    rows = [
        (str(count), *(pair.format(0, *found[f"{count} at {far}"].values()) for far in RADII))
        for count in STRAYS
    ]
    clean = pair.format(0, *found["as they are"].values())
    return "\n\n".join(
        [
            f"**One to ten strays**, by `benchmarks/strays.py` on {said['date']}: overall "
            f"accuracy, %, of the same weights with normalisation 1 / 2, on {found['shapes']} test "
            f"shapes; without strays {clean}",
            table(("strays", *(f"{far} radii away" for far in RADII)), rows),
        ]
    )


if __name__ == "__main__":
    main()
