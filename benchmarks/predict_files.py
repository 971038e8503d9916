"""python benchmarks/predict_files.py [--student primitives-n] [--files 10000] [--json FILE]

Clouds a second that `pointstill predict` classifies from files of text, PLY and NPY, beside reading
the same files alone, in turns; and how much faster several processes are than one."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from conditions import conditions
from pointstill.data.readers import read_cloud

HEADER = "ply\nformat binary_little_endian 1.0\nelement vertex {}\n"
HEADER += "property float x\nproperty float y\nproperty float z\nend_header\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="primitives-n", help="a file, or one in the package")
    parser.add_argument("--files", type=int, default=10_000, help="of each format")
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3, help="measurements, in turns")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    times: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        folders = write(Path(folder), options.files, options.points)
        for _ in range(options.repeat):
            for kind, place in folders.items():
                each = times.setdefault(kind, {})
                each.setdefault("reading", []).append(reading(place))
                if kind == "text":
                    each.setdefault("loadtxt", []).append(loadtxt(place))
                for many in (1, options.workers):
                    took = predicting(options.student, place, many)
                    each.setdefault(f"predict, {many}", []).append(took)
    found = {
        kind: {
            what: round(options.files / statistics.median(took), 1) for what, took in each.items()
        }
        for kind, each in times.items()
    }
    print("| format | " + " | ".join(found["text"]) + " |")
    for kind, rates in found.items():
        print(
            f"| {kind} | " + " | ".join(str(rates.get(what, "")) for what in found["text"]) + " |"
        )
    if options.json:
        sizes = {"files": options.files, "points": options.points, "clouds_a_second": found}
        options.json.write_text(json.dumps(conditions(1) | sizes, indent=1) + "\n")


def write(folder: Path, files: int, points: int) -> dict[str, Path]:
    """The same clouds in each format, in a folder of its own."""
    folders = {kind: folder / kind for kind in ("text", "ply", "npy")}
    for place in folders.values():
        place.mkdir()
    draw = np.random.default_rng(0)
    for number in range(files):
        cloud = draw.normal(size=(points, 3)).astype(np.float32)
        np.savetxt(folders["text"] / f"{number:06}.xyz", cloud, "%.6f")
        np.save(folders["npy"] / f"{number:06}.npy", cloud)
        content = HEADER.format(points).encode() + cloud.tobytes()
        (folders["ply"] / f"{number:06}.ply").write_bytes(content)
    return folders


def reading(folder: Path) -> float:
    """Seconds that reading all of a folder takes."""
    started = time.perf_counter()
    for path in sorted(folder.iterdir()):
        read_cloud(path)
    return time.perf_counter() - started


def loadtxt(folder: Path) -> float:
    started = time.perf_counter()
    for path in sorted(folder.iterdir()):
        np.loadtxt(path)
    return time.perf_counter() - started


def predicting(student: str, folder: Path, workers: int) -> float:
    """Seconds of the whole command, its start included."""
    command = [sys.executable, "-m", "pointstill", "predict", student, str(folder)]
    command += ["--out", f"{folder}.csv", "--workers", str(workers)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
