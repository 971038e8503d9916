"""python benchmarks/runtime_alone.py student.onnx ... [--processes 5] [--json FILE]

What the runtime alone costs, without PyTorch: processor time to import it, to open a student and to
give a first answer, the memory of the process, and milliseconds an answer of a cloud of 1,024
points, on one thread and on two. Each process is a fresh one; answers are taken in turns with a
matrix product of NumPy on as many threads, and their ratio is what can be compared."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from conditions import conditions

CHILD = """
import json, sys, time
spent, clock = time.process_time, time.perf_counter
def memory():  # ru_maxrss would be that of the process which started this one
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
found = {"python_mib": memory()}
started = spent()
from pointstill import Classifier
found["import_s"] = spent() - started
found["imported_mib"] = memory()
import numpy as np
draw = np.random.default_rng(0)
cloud = draw.normal(size=(1024, 3)).astype(np.float32)
cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
started = spent()
classifier = Classifier(sys.argv[1], threads=int(sys.argv[2]))
found["open_s"] = spent() - started
started = spent()
classifier.logits(cloud)
found["first_s"] = spent() - started
found["answered_mib"] = memory()
square = draw.normal(size=(512, 512)).astype(np.float32)
answers, products = [], []
for _ in range(int(sys.argv[3])):
    started = clock()
    square @ square
    between = clock()
    classifier.logits(cloud)
    products.append(between - started)
    answers.append(clock() - between)
for name, times in {"answer": answers, "product": products}.items():
    found[name + "_ms"] = 1000 * sorted(times)[len(times) // 2]
    found["least_" + name + "_ms"] = 1000 * min(times)
found["answers_over_products"] = found["least_answer_ms"] / found["least_product_ms"]
found["at_last_mib"] = memory()
heavy = [name for name in ("torch", "zarr", "scipy", "matplotlib") if name in sys.modules]
assert not heavy, heavy
about = classifier.about
found["model"], found["classes"] = about.get("model"), len(about["classes"])
found["points"] = about["points"]
print(json.dumps(found))
"""
THREADS = (1, 2)


def measured(student: Path, threads: int, answers: int) -> dict[str, Any]:
    """A student in a process of its own."""
    known = os.environ | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    command = [sys.executable, "-c", CHILD, str(student), str(threads), str(answers)]
    done = subprocess.run(command, env=known, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over processes; what is no figure is the same in all."""
    return {
        name: round(statistics.median(run[name] for run in runs), 4)
        if isinstance(value, float)
        else value
        for name, value in runs[0].items()
    }


def text(found: dict[str, Any]) -> str:
    """The figures as a page shows them."""
    lines = [
        "| | file | threads | import | open | first | memory | answer | least | over a product |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in found["runs"]:
        lines.append(
            f"| `{run['model']}` | {run['file_kb']} kB | {run['threads']} "
            f"| {run['import_s']:.2f} s | {run['open_s']:.2f} s | {1000 * run['first_s']:.0f} ms "
            f"| {run['at_last_mib']:.0f} MiB | {run['answer_ms']:.2f} ms "
            f"| {run['least_answer_ms']:.2f} ms "
            f"| {run['answers_over_products']:.2f} |"
        )
    lines += [
        "",
        f"Measured {found['date']} on {found['processor']}, ONNX Runtime {found['onnxruntime']}, "
        f"load {found['load']}: fresh processes, medians of {found['processes']}. Import, opening "
        "and the first answer are processor time, which is what they take where nothing else runs "
        "and the files are in memory. Memory is the largest that the process had, with Python, "
        "NumPy and ONNX Runtime. An answer is that of a cloud of 1,024 points, its checks "
        f"included: the median, and the least of {found['answers']}. The last column is the least "
        "answer over the least product of two 512 x 512 matrices in NumPy, taken in turns with it "
        "on as many threads.",
    ]
    if found["load"] > cores_of(found):
        lines += [
            "",
            "Other work had more than all of the machine: **import, opening, memory and the least "
            "answer on one thread can be believed; medians, and what has two threads, cannot**.",
        ]
    return "\n".join(lines)


def cores_of(found: dict[str, Any]) -> int:
    """Of the machine, by what is said of its processor."""
    (count,) = re.findall(r"\((\d+) cores\)", found["processor"])
    return int(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("students", type=Path, nargs="+", help="exported students")
    parser.add_argument("--processes", type=int, default=5, help="fresh ones of each")
    parser.add_argument("--answers", type=int, default=300, help="of each process")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cases = [(student, threads) for student in options.students for threads in THREADS]
    runs: dict[tuple[Path, int], list[dict[str, Any]]] = {case: [] for case in cases}
    for _ in range(options.processes):
        for student, threads in cases:
            runs[student, threads].append(measured(student, threads, options.answers))
    found = conditions(max(THREADS)) | {
        "load": round(os.getloadavg()[1], 1),
        "processes": options.processes,
        "answers": options.answers,
        "runs": [
            {"threads": threads, "file_kb": student.stat().st_size // 1000, **middle(each)}
            for (student, threads), each in runs.items()
        ],
    }
    print(text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
