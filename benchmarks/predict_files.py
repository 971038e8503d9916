"""python benchmarks/predict_files.py [--student primitives-n] [--files 10000] [--json FILE]

Clouds a second of one core that `pointstill predict` classifies from files of text, PLY and NPY,
beside reading the same files alone, in turns; what it costs to start, and from how many clouds a
second process is worth its start. All in processor time, user and system, of all processes: where
other work shares the cores, the time on the clock is the other work's."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from conditions import conditions
from pointstill.data.readers import read_cloud

HEADER = "ply\nformat binary_little_endian 1.0\nelement vertex {}\n"
HEADER += "property float x\nproperty float y\nproperty float z\nend_header\n"
KINDS = ("text", "ply", "npy")
STATED = 10_000
"""Files that a rate is stated for, the start included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="primitives-n", help="a file, or one in the package")
    parser.add_argument("--files", type=int, default=10_000, help="of each format")
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3, help="measurements, in turns")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    times: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        folders = write(Path(folder), options.files, options.points)
        two = write(Path(folder) / "two", 2, options.points)["npy"]
        for _ in range(options.repeat):
            each = times.setdefault("two files", {})
            for processes in (1, 2):
                spent = predicting(options.student, two, processes)
                each.setdefault(f"predict_{processes}", []).append(spent)
            for kind, place in folders.items():
                each = times.setdefault(kind, {})
                each.setdefault("reading", []).append(reading(place, read_cloud))
                if kind == "text":
                    each.setdefault("loadtxt", []).append(reading(place, np.loadtxt))
                for processes in (1, 2):
                    spent = predicting(options.student, place, processes)
                    each.setdefault(f"predict_{processes}", []).append(spent)
    found = conditions(1) | {
        "load": round(os.getloadavg()[1], 1),
        "student": options.student,
        "files": options.files,
        "points": options.points,
        "repeat": options.repeat,
        "seconds": {
            kind: {what: round(statistics.median(spent), 3) for what, spent in each.items()}
            for kind, each in times.items()
        },
    }
    print(text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def write(folder: Path, files: int, points: int) -> dict[str, Path]:
    """The same clouds in each format, in a folder of its own."""
    folders = {kind: folder / kind for kind in KINDS}
    for place in folders.values():
        place.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(files):
        cloud = draw.normal(size=(points, 3)).astype(np.float32)
        np.savetxt(folders["text"] / f"{number:06}.xyz", cloud, "%.6f")
        np.save(folders["npy"] / f"{number:06}.npy", cloud)
        content = HEADER.format(points).encode() + cloud.tobytes()
        (folders["ply"] / f"{number:06}.ply").write_bytes(content)
    return folders


def reading(folder: Path, read: Callable[[Path], Any]) -> float:
    """Processor seconds that reading all of a folder takes."""
    started = time.process_time()
    for path in sorted(folder.iterdir()):
        read(path)
    return time.process_time() - started


def predicting(student: str, folder: Path, processes: int) -> float:
    """Processor seconds of the whole command, its start and its processes included."""
    command = [sys.executable, "-m", "pointstill", "predict", student, str(folder)]
    command += ["--out", f"{folder}.csv", "--workers", str(processes)]
    known = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    before = spent_by_children()
    subprocess.run(command, check=True, capture_output=True, env=known)
    return spent_by_children() - before


def spent_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def costs(found: dict[str, Any], kind: str) -> dict[str, float]:
    """Seconds: of a cloud in one process and in one of two, of a start, and of a process's."""
    start, all_files = found["seconds"]["two files"], found["seconds"][kind]
    files = found["files"] - 2
    return {
        "start": start["predict_1"],
        "process": (start["predict_2"] - start["predict_1"]) / 2,
        "cloud": (all_files["predict_1"] - start["predict_1"]) / files,
        "shared": (all_files["predict_2"] - start["predict_2"]) / files,
    }


def worth(found: dict[str, Any], kind: str, processes: int) -> float:
    """Clouds from which so many processes, each on a core of its own, end before one does."""
    cost = costs(found, kind)
    return cost["process"] / (cost["cloud"] - cost["shared"] / processes)


def text(found: dict[str, Any]) -> str:
    """The figures as a page shows them."""
    lines = [
        "| files | reading alone | `np.loadtxt` | classifying, reading included "
        f"| {STATED:,} files, the start included | two processes pay from | eight from |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        seconds = found["seconds"][kind]
        cost = costs(found, kind)
        rates = [found["files"] / seconds["reading"]]
        rates += [found["files"] / seconds["loadtxt"] if "loadtxt" in seconds else None]
        rates += [1 / cost["cloud"], STATED / (cost["start"] + STATED * cost["cloud"])]
        cells = ["" if rate is None else f"{rate:,.0f}" for rate in rates]
        cells += [f"{worth(found, kind, processes):,.0f} clouds" for processes in (2, 8)]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    cost = costs(found, "npy")
    lines += [
        "",
        f"Clouds a second of processor time, which is a core's second: {found['files']:,} files of "
        f"{found['points']:,} points of each format, `{found['student']}`, medians of "
        f"{found['repeat']} measurements in turns. The last three columns are computed: the last "
        "two for processes on cores of their own that nothing else uses. The command takes "
        f"{cost['start']:.2f} s to start, a process {cost['process']:.2f} s more. "
        f"Measured {found['date']} on {found['processor']}, ONNX Runtime {found['onnxruntime']}, "
        f"while other work shared the cores (load {found['load']}).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
