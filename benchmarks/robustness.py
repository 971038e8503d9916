"""Students on what goes wrong: figures as JSON, and the tables and the curves of the docs from it.

    python benchmarks/robustness.py DATA RUN [RUN ...]     measure, and draw; --limit 200 to try
    python benchmarks/sections.py                          write the page from the JSON

A run is a folder, an exported student, or a teacher's description; NAME=PATH gives it a name in the
tables. `--beside NAME=PATH` measures a slow one on ModelNet-C alone, and all others again, on the
first --few shapes.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from page import table
from pointstill.data import open_dataset
from pointstill.data.keyed_draws import uniforms
from pointstill.evaluation.profiling import surroundings
from pointstill.evaluation.robustness import KnownClouds, measure_corruptions, measure_points
from pointstill.evaluation.scoring import evaluate
from pointstill.progress import Track
from pointstill.teachers import load_teacher

mpl.use("svg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
RESULTS, CURVES = ROOT / "benchmarks/results", ROOT / "docs/accuracy_by_points.svg"
COUNTS = [16, 32, 64, 128, 256, 512, 1024]
STRAYS = [0.005, 0.01, 0.02, 0.05, 0.1]
"""Shares of points that belong to nothing, 2 to 10 radii away."""
CLEAN = ("overall_accuracy", "temperature", "calibration_error", "tempered_error")
"""What is kept of the scores on clouds as they are."""
Points = NDArray[np.float32]


def with_strays(name: str, points: Points, share: float) -> Points:
    """A cloud of which a share of the points, one at least, is somewhere around it."""
    middle = points.mean(axis=0)
    radius = np.linalg.norm(points - middle, axis=1).max()
    count = max(1, round(share * len(points)))
    u = uniforms(f"far strays:{share}:{name}", 4 * count).reshape(4, count)
    height, angle = 2 * u[0] - 1, 2 * np.pi * u[1]
    level = np.sqrt(1 - height**2)
    way = np.stack([level * np.cos(angle), level * np.sin(angle), height], axis=1)
    moved = points.copy()
    places = np.argsort(uniforms(f"far strays:{share}:{name}:places", len(points)))[:count]
    moved[places] = middle + radius * (2 + 8 * u[2:3].T) * way
    return moved


def measure(
    source: str, named: dict[str, str], limit: int | None, slow: dict[str, str], few: int
) -> dict[str, Any]:
    """Ask all runs about everything, and slow ones beside them about a few corrupted shapes."""
    data = open_dataset(source)
    models, others = (
        [load_teacher(path, classes=data.classes, up=data.up) for path in paths.values()]
        for paths in (named, slow)
    )
    clean = evaluate(models, data, limit=limit)
    clouds = KnownClouds(data, "test", limit)
    with Track("strays", len(models) * len(STRAYS) * len(clouds), "clouds") as track:
        strays = {
            str(share): clouds.accuracy(
                models, lambda name, points, s=share: with_strays(name, points, s), 16, track
            )
            for share in STRAYS
        }
    return {
        "date": date.today().isoformat(),
        "data": Path(source).name,
        "shapes": len(clouds),
        "names": list(named),
        "clean": [{name: getattr(score, name) for name in CLEAN} for score in clean.scores],
        "corruptions": figures(measure_corruptions(models, data, limit=limit)),
        "points": figures(measure_points(models, data, COUNTS, limit=limit)),
        "strays": strays,
        "beside": {
            "names": [*named, *slow],
            "shapes": few,
            "corruptions": figures(measure_corruptions([*models, *others], data, limit=few)),
        }
        if slow
        else None,
        **surroundings(1),
    }


def figures(scores: Sequence[Any]) -> list[dict[str, Any]]:
    """What was measured of each model, without where it lies: `names` has its name."""
    return [
        {name: value for name, value in asdict(score).items() if name != "name"} for score in scores
    ]


def percent(value: float | None) -> str:
    """A share, as percent."""
    return "-" if value is None else f"{100 * value:.1f}"


def corruption_rows(gone: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What is said of ModelNet-C, a model a column."""
    return [
        ("OA clean, %", *(percent(each["clean"]) for each in gone)),
        *(
            (
                f"CE {name}" if name != "mCE" else name,
                *(f"{each['errors'][name]:.3f}" for each in gone),
            )
            for name in gone[0]["errors"]
        ),
        ("RmCE", *(f"{each['relative_errors']['RmCE']:.3f}" for each in gone)),
    ]


def beside(found: dict[str, Any] | None) -> list[str]:
    """ModelNet-C on a few shapes, with slow models."""
    if not found:
        return []
    title = f"**ModelNet-C**, the same on {found['shapes']} of these shapes, with published weights"
    return [title, table(("", *found["names"]), corruption_rows(found["corruptions"]))]


def text(found: dict[str, Any]) -> str:
    """The tables."""
    names, clean, gone = found["names"], found["clean"], found["corruptions"]
    by_points = found["points"]
    points = [
        (str(count), *(percent(each["accuracy"][count]) for each in by_points))
        for count in by_points[0]["accuracy"]
    ]
    strays = [
        (f"{100 * float(share):g} %", *map(percent, values))
        for share, values in found["strays"].items()
    ]
    corruptions = corruption_rows(gone)
    calibration = [
        ("OA, %", *(percent(each["overall_accuracy"]) for each in clean)),
        ("temperature", *(f"{each['temperature']:.2f}" for each in clean)),
        ("ECE before, %", *(percent(each["calibration_error"]) for each in clean)),
        ("ECE after, %", *(percent(each["tempered_error"]) for each in clean)),
    ]
    head = ("", *names)
    title = f"Measured on {found['date']}, {found['shapes']:,} test shapes of {found['data']}"
    return "\n\n".join(
        [
            f"{title} ({found['processor']}, torch {found['torch']}).",
            "**Calibration**",
            table(head, calibration),
            "**ModelNet-C**, on our sampling: errors over those of DGCNN as published",
            table(head, corruptions),
            *beside(found["beside"]),
            "**Few points**: overall accuracy, %",
            table(("points", *names), points),
            "![accuracy by points](accuracy_by_points.svg)",
            "**Strays**: overall accuracy, %, with so many points 2 to 10 radii away",
            table(("strays", *names), strays),
        ]
    )


def draw(found: dict[str, Any]) -> None:
    """The curves of accuracy by points."""
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style | {"svg.hashsalt": "pointstill"}):
        figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
        for name, each in zip(found["names"], found["points"], strict=True):
            counts = [int(count) for count in each["accuracy"]]
            values = [100 * value for value in each["accuracy"].values()]
            axes.plot(counts, values, "o-", label=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="points of a cloud", ylabel="overall accuracy, %", ylim=(0, 100))
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(CURVES, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--beside", action="append", default=[])
    parser.add_argument("--few", type=int, default=150)
    asked = parser.parse_args()
    named, slow = (
        {name or Path(path).name: path for name, _, path in (run.rpartition("=") for run in runs)}
        for runs in (asked.runs, asked.beside)
    )
    found = measure(asked.data, named, asked.limit, slow, asked.few)
    target = RESULTS / f"robustness-{found['date']}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found)
    print(text(found))


if __name__ == "__main__":
    main()
