"""What older versions wrote keeps opening: runs, stores and exported students of 0.1.0."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STORED = Path(__file__).parent / "stored"
EXPECTED = json.loads((STORED / "expected.json").read_text())


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> ModuleType:
    """`stored/make.py`, over a copy of what it made."""
    folder = shutil.copytree(STORED, tmp_path_factory.mktemp("stored") / "made")
    spec = importlib.util.spec_from_file_location("stored_make", folder / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(stored) -> dict:
    return json.loads(json.dumps(stored.measured()))


@pytest.mark.parametrize("name", ["labels", "nwsd", "nwsd.onnx"])
def test_a_model_gives_the_logits_that_it_gave(measured, name):
    np.testing.assert_allclose(measured[name], EXPECTED[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["stored.zarr", "keyed.zarr"])
def test_a_store_reads_as_it_did(measured, name):
    assert measured[name] == EXPECTED[name]


@pytest.mark.parametrize("number", range(5))
def test_the_old_command_returns_what_is_there(stored, cli, monkeypatch, number):
    """Runs and stores are gone on with, not refused, and not made again; nor is the file."""
    monkeypatch.chdir(stored.HERE)
    out = stored.HERE / stored.COMMANDS[number].split()[-1]
    before = {file: file.read_bytes() for file in sorted(stored.HERE.rglob("*")) if file.is_file()}
    code, _, err = cli(*stored.COMMANDS[number].split())
    assert code == 0, err
    after = {file: file.read_bytes() for file in sorted(stored.HERE.rglob("*")) if file.is_file()}
    if out.suffix == ".onnx":  # written anew
        before.pop(out), after.pop(out)
    assert after == before


@pytest.mark.parametrize(
    "command",
    [
        "records verify stored.zarr --data clouds --tiles all --teacher labels",
        "records verify keyed.zarr --data clouds --tiles all --teacher labels",
        "records info stored.zarr",
        "evaluate labels nwsd nwsd.onnx --data clouds --records stored.zarr",
        "predict nwsd.onnx clouds/ball/00.npy",
        "distill --recipe nwsd/recipe.yaml --records stored.zarr --data clouds --out nwsd",
        "train --recipe labels/recipe.yaml --data clouds --out labels",
    ],
)
def test_commands_take_what_is_stored(stored, cli, monkeypatch, command):
    monkeypatch.chdir(stored.HERE)
    code, _, err = cli(*command.split())
    assert code == 0, err
