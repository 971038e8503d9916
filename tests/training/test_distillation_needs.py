"""Distillation needs the training split and the records: no test split, and no teacher."""

import shutil
import subprocess
import sys

import pytest

from distilling import QUICK
from pointstill.data import open_dataset
from pointstill.recipe import DistillRecipe
from pointstill.run import WEIGHTS
from pointstill.training.jobs import distill

pytestmark = pytest.mark.usefixtures("toy")


@pytest.mark.parametrize("damage", ["garbage", "empty", "removed", "unreadable"])
def test_the_test_split_is_not_needed(damage, solids, records, public_path, unprivileged, tmp_path):
    """From a fresh cache, with the test files spoilt in every way."""
    split = open_dataset(solids)
    root, out = public_path / "solids", public_path / "out"
    for part in (split.train, split.test):
        for name in part.names:
            (root / part.name / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(solids / name, root / part.name / name)
    if damage == "removed":
        shutil.rmtree(root / "test")
    for file in (root / "test").rglob("*.npy"):
        if damage == "unreadable":
            file.chmod(0)
        else:
            file.write_bytes(b"" if damage == "empty" else b"no cloud at all")
    store = shutil.copytree(records, public_path / "records.zarr")
    with unprivileged():
        data = open_dataset(root, cache=public_path / "cache")
        recipe = DistillRecipe(**QUICK)
        assert data.classes == split.classes
        assert data.train.fingerprint == split.train.fingerprint
        run = distill("toy", data, records=store, out=out, recipe=recipe, quiet=True)
    assert (run.folder / WEIGHTS).stat().st_size > 0
    assert len(list((public_path / "cache").iterdir())) == 1  # the training split alone


def test_no_teacher_is_loaded(solids, records, tmp_path):
    """Neither teachers nor recording is so much as imported, from the command line on."""
    program = """
import sys
from pointstill.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code
assert code == 0, code
loaded = [name for name in sys.modules if name.startswith("pointstill.")]
assert "pointstill.training.loop" in loaded
for name in ("teachers", "recording", "evaluation", "demo"):
    assert not any(each.startswith("pointstill." + name) for each in loaded), name
"""
    line = f"distill --student stillnet-n --data {solids} --records {records} --epochs 1"
    line += f" --batch-size 16 --device cpu --out {tmp_path / 'run'}"
    command = [sys.executable, "-c", program, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"finished {tmp_path / 'run'}" in done.stdout
