"""A loss and a model are added by a file and a line each, and used through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

PROGRAM = """
import shlex
import sys
from own_loss import OwnOptions
from own_model import OwnModel
from pointstill.losses import LOSSES, Loss
from pointstill.models import MODELS

LOSSES["own"] = Loss(OwnOptions, "own_loss")
MODELS["own-model"] = OwnModel

from pointstill.__main__ import run

sys.exit(max(run(shlex.split(line)) for line in sys.argv[1:]))
"""
QUICK = "--epochs 2 --batch-size 16 --threads 1 --device cpu"


def pointstill(*lines: str) -> subprocess.CompletedProcess[str]:
    """Command lines of a program that adds them, one after another; the worst of their codes."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{PROGRAM}"
    command = [sys.executable, "-c", code, *lines]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_own_loss_and_model(solids, records, tmp_path):
    out, labels = tmp_path / "run", tmp_path / "labels"
    where = f"--data {solids} --records {records} --out {out}"
    done = pointstill(f"distill --student own-model --loss own --gamma 3 {QUICK} {where}")
    assert done.returncode == 0, done.stderr
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    own = {"student": "own-model", "loss": "own", "gamma": 3.0, "snapshot_age": 5, "smoothing": 0.0}
    assert recipe.items() >= own.items()
    assert not recipe.keys() & {"alpha", "beta", "temperature", "form"}
    first, second = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    assert first["loss"] > 3 * first["squared"]
    assert (first["pasts"], second["pasts"]) == (0.0, 1.0)  # by its own schedule
    before = (out / "weights.safetensors").stat().st_mtime_ns

    done = pointstill(
        f"distill --recipe {out}/recipe.yaml {where}",
        f"train --model own-model {QUICK} --data {solids} --out {labels}",
        f"evaluate {out} {labels} --data {solids}",
    )
    assert done.returncode == 0, done.stderr
    assert (out / "weights.safetensors").stat().st_mtime_ns == before  # the same run
    assert "own-model" in (labels / "recipe.yaml").read_text()


def test_its_options_are_flags(solids, records, tmp_path):
    told = " ".join(pointstill("distill --help").stdout.replace("│", " ").split())
    assert "own: Labels, and the squared distance from the teacher's logits" in told
    assert "--gamma FLOAT Weight of the squared distance. (own; default: 0.5)" in told
    assert "(nwsd, own; default: snapshot)" in told
    where = f"--data {solids} --records {records} --out {tmp_path / 'run'}"
    done = pointstill(
        f"distill --student own-model --gamma 3 {where}",
        f"distill --student own-model --loss own --gamma -1 {where}",
    )
    wrong = "gamma is 3.0, and loss kd does not use it: leave it out, or choose loss own"
    low = "gamma is -1.0: choose 0 or more"
    assert (done.returncode, done.stderr) == (2, f"error: {wrong}\nerror: {low}\n")
