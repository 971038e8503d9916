"""Make the stored formats that `test_stored.py` opens; run once, by the version they are of.

    python tests/stored/make.py

What is committed was made by pointstill 0.1.0 (commit 15ded7d), before its modules were moved;
`sealed.zarr`, the first store whose probes seal its chunks, by 0.2.0 (`make_sealed`).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TRAIN = "--model stillnet-n --epochs 2 --points 32 --batch-size 8 --threads 1 --device cpu"
RECORD = "--teacher labels --views 2 --points 32 --threads 1 --device cpu --data clouds"
STUDENT = "--student stillnet-n --epochs 2 --points 32 --batch-size 8 --threads 1 --device cpu"
COMMANDS = (
    f"train {TRAIN} --smoothing 0.1 --data clouds --out labels",
    f"record {RECORD} --out stored.zarr",
    f"record {RECORD} --augment scale,rotate,jitter --codec int8 --keyed --out keyed.zarr",
    f"distill {STUDENT} --loss nwsd --data clouds --records stored.zarr --out nwsd",
    "export nwsd --out nwsd.onnx",
)


SEALED = f"record {RECORD} --codec topk:2 --out sealed.zarr"


def cloud(number: int) -> np.ndarray:
    """Points of a ball, a box or a rod."""
    draws = np.random.default_rng(number).uniform(-1, 1, (48, 3))
    scale = ((1.0, 1.0, 1.0), (1.0, 0.6, 0.2), (0.1, 0.1, 1.0))[number % 3]
    if number % 3 == 0:
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    points: np.ndarray = (draws * scale).astype(np.float32)
    return points


def main() -> None:
    for number in range(30):
        file = HERE / "clouds" / ("ball", "box", "rod")[number % 3] / f"{number:02}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, cloud(number))
    for command in COMMANDS:
        arguments = [sys.executable, "-m", "pointstill", *command.split()]
        subprocess.run(arguments, cwd=HERE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    make_sealed()


def make_sealed() -> None:
    arguments = [sys.executable, "-m", "pointstill", *SEALED.split()]
    subprocess.run(arguments, cwd=HERE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    (HERE / "expected.json").write_text(json.dumps(measured(), indent=1) + "\n")


def measured() -> dict[str, object]:
    """What these files say, by whatever pointstill is installed."""
    import torch

    from pointstill import Classifier
    from pointstill.records import Store
    from pointstill.run import Run

    points = cloud(31)
    found: dict[str, object] = {"nwsd.onnx": Classifier(HERE / "nwsd.onnx").logits(points).tolist()}
    for name in ("labels", "nwsd"):
        with torch.inference_mode():
            logits = Run(HERE / name).model()(torch.from_numpy(points)[None])
        found[name] = logits[0].tolist()
    for name in ("stored.zarr", "keyed.zarr", "sealed.zarr"):
        store = Store.open(HERE / name)
        rows = np.arange(store.rows)
        found[name] = {
            "fingerprint": store.fingerprint,
            "logits": store.logits(1, rows).tolist(),
            "parameters": store.parameters(1, rows).tolist(),
        }
    return found


if __name__ == "__main__":
    main()
