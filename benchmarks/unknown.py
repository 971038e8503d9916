"""Scores by which an unknown cloud is told, beside one another: figures as JSON.

    python benchmarks/unknown.py split MODELNET40 --out FOLDER
    pointstill train --model stillnet-n --data FOLDER/thirty.npz --up y --out RUN
    python benchmarks/unknown.py measure MODELNET40 NAME=RUN ... --thirty RUN --classes FOLDER

`split` writes thirty of ModelNet40's classes to one file and the test shapes of the ten others
(every fourth by name) to another. Runs of all classes are asked about `strangers`, and about views
of nothing made of training shapes, by which a score may be chosen; a run of thirty classes about
the ten others too.
"""

import argparse
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conditions import conditions
from page import table
from pointstill.augment import Clouds
from pointstill.augment.outliers import outliers
from pointstill.data import Dataset, open_dataset
from pointstill.data.selection import labelled
from pointstill.evaluation.unknown import auroc
from pointstill.points.upright import turn_up
from pointstill.run import Run
from pointstill.storage.calibration import RECALL, energy
from pointstill.training.calibration import typical_of

RESULTS = Path(__file__).parent / "results"
Logits = NDArray[np.float64]
FEW = 256
"""Points of known shapes with few of them."""
SEEN = 4096
"""Training shapes that are asked about."""
CLIPPED = 0.9
"""Part of the activations that ReAct lets pass (Sun, Guo, Li, NeurIPS 2021)."""
SCORES = {
    "probability": "largest probability",
    "logit": "largest logit",
    "energy": "energy",
    "react": "energy by ReAct",
    "distance": "distance",
    "both": "energy and distance",
}


def split(source: str, folder: Path) -> None:
    """Write the two files."""
    data = open_dataset(source)
    unseen = data.classes[3::4]
    parts: dict[str, list[tuple[str, str, NDArray[np.float32]]]] = {"thirty": [], "ten": []}
    for name in ("train", "test"):
        clouds = data.split(name)
        for shape, label in enumerate(np.asarray(clouds.labels)):
            points = clouds.points[clouds.offsets[shape] : clouds.offsets[shape + 1]]
            kind = clouds.classes[label]
            if kind not in unseen:
                parts["thirty"].append((name, kind, points))
            elif name == "test":
                parts["ten"] += [("train", kind, points), ("test", kind, points)]
    folder.mkdir(parents=True, exist_ok=True)
    for file, shapes in parts.items():
        classes = sorted({kind for _, kind, _ in shapes})
        np.savez(
            folder / f"{file}.npz",
            points=np.concatenate([points for *_, points in shapes]),
            offsets=np.cumsum([0, *(len(points) for *_, points in shapes)]),
            labels=[classes.index(kind) for _, kind, _ in shapes],
            classes=classes,
            split=[name for name, *_ in shapes],
        )


class Asked:
    """A run of StillNet on xyz; its logits as they are, or by ReAct."""

    def __init__(self, folder: str) -> None:
        run = Run(folder)
        self.model, self.points, self.version = run.model(), run.recipe["points"], run.normalization
        self.activations: list[torch.Tensor] = []
        self.most: float | None = None
        for member in self.model.members:
            member.head[-1].register_forward_pre_hook(self._clipped)

    def _clipped(self, _: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        if self.most is None:
            self.activations.append(given[0])
            return given
        return (given[0].clamp_max(self.most),)

    @torch.inference_mode()
    def logits(self, views: list[torch.Tensor]) -> Logits:
        """Of views (B, N, 3), batch by batch: (R, C)."""
        return torch.cat([self.model(each) for each in views]).double().numpy()

    def clip(self) -> None:
        """From now on clip what was let through until now."""
        self.most = float(torch.cat(self.activations).quantile(CLIPPED))

    def views(self, points: Any, offsets: Any, rows: NDArray[np.int64]) -> list[torch.Tensor]:
        """Views of shapes, as the run sees them: (B, N, 3) each."""
        clouds = Clouds(points, offsets, torch.device("cpu"), None, self.version)
        batches = torch.split(torch.from_numpy(rows), 64)
        return [clouds.plain(some, self.points) for some in batches]


def asked(folder: str, data: Dataset, sources: dict[str, Dataset], limit: int) -> dict[str, Any]:
    """What each score is worth: AUROC, and the share accepted at 95 % recall, of each source."""
    run = Asked(folder)
    train, test = data.train, data.test
    rows = np.arange(0, len(train.labels), -(-len(train.labels) // SEEN))
    seen = run.views(train.points, train.offsets, rows)
    labels = torch.from_numpy(np.asarray(train.labels)[rows].astype(np.int64))
    some = labelled(np.asarray(test.labels), limit)
    views = {"known": run.views(test.points, test.offsets, some)}
    views["nothing"] = [
        outliers(each, own, 0, 0, shapes, data.features)
        for each, own, shapes in zip(
            seen[::4], labels.split(64)[::4], torch.from_numpy(rows).split(64)[::4], strict=True
        )
    ]
    views["few"] = run.views(*cut(test, some), np.arange(len(some)))
    for name, source in sources.items():
        points = turn_up(source.test.points, source.test.up, data.up)
        views[name] = run.views(points, source.test.offsets, np.arange(len(source.test.labels)))
    typical = run.logits(seen)
    plain = {name: run.logits(each) for name, each in views.items()}
    run.clip()
    clipped = {name: run.logits(each) for name, each in views.items()}
    # Thresholds and scales are of every second of the known shapes, as held-out ones would be.
    fitted = typical_of(typical, plain["known"][::2])
    assert fitted is not None
    by: dict[str, Callable[[str], Logits]] = {
        "probability": lambda name: plain[name].max(1) - energy(plain[name]),
        "logit": lambda name: plain[name].max(1),
        "energy": lambda name: energy(plain[name]),
        "react": lambda name: energy(clipped[name]),
        "distance": lambda name: -fitted.squared_distance(plain[name]),
        "both": lambda name: fitted.score(plain[name]),
    }
    right = plain["few"].argmax(1) == np.asarray(test.labels)[some]
    found: dict[str, Any] = {"right of few points": float(right.mean()), "scores": {}}
    for score, of in by.items():
        line = np.quantile(of("known"), 1 - RECALL)
        found["scores"][score] = {
            name: {
                "auroc": auroc(of("known"), of(name)),
                "accepted": float((of(name) >= line).mean()),
                "kinds": by_kind(of(name) >= line, sources[name].test) if name in sources else {},
            }
            for name in views
            if name != "known"
        }
    return found


def cut(clouds: Any, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`FEW` points of each of some shapes, any of them, and where each begins."""
    draw = np.random.Generator(np.random.Philox(0))
    kept = [
        draw.choice(np.arange(clouds.offsets[row], clouds.offsets[row + 1]), FEW, replace=False)
        for row in rows
    ]
    return clouds.points[np.concatenate(kept)], np.arange(len(rows) + 1) * FEW


def by_kind(accepted: NDArray[np.bool_], clouds: Any) -> dict[str, float]:
    """The share accepted of each class."""
    labels = np.asarray(clouds.labels)
    return {
        kind: float(accepted[labels == place].mean()) for place, kind in enumerate(clouds.classes)
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Ask all runs."""
    data, strangers = open_dataset(options.source), open_dataset("strangers")
    thirty, ten = (
        open_dataset(options.classes / f"{name}.npz", up=data.up) for name in ("thirty", "ten")
    )
    named = dict(each.split("=", 1) for each in options.runs)
    runs = {
        name: asked(folder, data, {"strangers": strangers}, options.limit)
        for name, folder in named.items()
    }
    others = {"strangers": strangers, "ten classes": ten}
    runs["thirty"] = asked(options.thirty, thirty, others, options.limit)
    return {
        **conditions(1),
        "data": Path(options.source).name,
        "shapes": options.limit,
        "runs": runs,
    }


def text(found: dict[str, Any]) -> str:
    """What the page says of it."""
    runs = {name: each["scores"] for name, each in found["runs"].items()}
    heads = [
        (run, source)
        for run, scores in runs.items()
        for source in scores["energy"]
        if source != "few"
    ]
    tables = []
    for measured, words, scale, digits in (
        ("auroc", "AUROC", 1, 3),
        ("accepted", "accepted at 95 % recall, %", 100, 1),
    ):
        rows = [
            (
                title,
                *(
                    f"{scale * runs[run][score][source][measured]:.{digits}f}"
                    for run, source in heads
                ),
            )
            for score, title in SCORES.items()
        ]
        tables += [f"{words}:", table(("score", *(": ".join(each) for each in heads)), rows)]
    strangers = {name: run["both"]["strangers"] for name, run in runs.items()}
    kinds = [
        (kind, *(f"{100 * each['kinds'][kind]:.0f}" for each in strangers.values()))
        for kind in strangers["thirty"]["kinds"]
    ]
    few = [
        ("right", *(f"{100 * each['right of few points']:.1f}" for each in found["runs"].values())),
        *(
            (
                f"known by {SCORES[score]}",
                *(f"{100 * run[score]['few']['accepted']:.1f}" for run in runs.values()),
            )
            for score in ("energy", "both")
        ),
    ]
    tables += [
        f"strangers accepted, %, by kind; {SCORES['both']}:",
        table(("kind", *strangers), kinds),
        f"known shapes at {FEW} points, %:",
        table(("", *runs), few),
    ]
    first = (
        f"**Scores**, by `benchmarks/unknown.py` on {found['date']}, {found['shapes']} test shapes "
        f"of {found['data']} as the known ones"
    )
    return "\n\n".join([first, *tables])


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    splitting, measuring = verbs.add_parser("split"), verbs.add_parser("measure")
    for each in (splitting, measuring):
        each.add_argument("source")
    splitting.add_argument("--out", type=Path, required=True)
    measuring.add_argument("runs", nargs="+", metavar="NAME=RUN")
    measuring.add_argument("--thirty", required=True, metavar="RUN")
    measuring.add_argument("--classes", type=Path, required=True, metavar="FOLDER")
    measuring.add_argument("--limit", type=int, default=600)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.verb == "split":
        split(options.source, options.out)
        return
    found = measure(options)
    target = RESULTS / f"unknown-{date.today().isoformat()}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(text(found))


if __name__ == "__main__":
    main()
