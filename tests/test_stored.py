"""What older versions wrote keeps opening: runs, stores and exported students of 0.1.0."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from pointstill import Classifier

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


@pytest.mark.parametrize("name", ["stored.zarr", "keyed.zarr", "sealed.zarr"])
def test_a_store_reads_as_it_did(measured, name):
    assert measured[name] == EXPECTED[name]


@pytest.mark.parametrize("number", range(4))
def test_the_old_command_returns_what_is_there(stored, cli, monkeypatch, number):
    """Runs and stores are gone on with, not refused, and not made again."""
    monkeypatch.chdir(stored.HERE)
    before = {file: file.read_bytes() for file in sorted(stored.HERE.rglob("*")) if file.is_file()}
    code, _, err = cli(*stored.COMMANDS[number].split())
    assert code == 0, err
    after = {file: file.read_bytes() for file in sorted(stored.HERE.rglob("*")) if file.is_file()}
    assert after == before


def test_the_old_command_exports_the_same_student(stored, cli, monkeypatch, tmp_path):
    """And says what a run of old cannot prove."""
    monkeypatch.chdir(stored.HERE)
    *command, _ = stored.COMMANDS[4].split()
    code, out, err = cli(*command, tmp_path / "again.onnx")
    assert (code, err) == (0, "")
    assert "note: nwsd is of a version that kept no digests" in out
    found = Classifier(tmp_path / "again.onnx").logits(stored.cloud(31))
    np.testing.assert_allclose(found, EXPECTED["nwsd.onnx"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "command",
    [
        "records verify stored.zarr --data clouds --tiles all --teacher labels",
        "records verify keyed.zarr --data clouds --tiles all --teacher labels",
        "records verify sealed.zarr --data clouds --tiles all --ask",
        "records info stored.zarr",
        "records info sealed.zarr",
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


def test_old_recipes_repeat_their_runs(stored, cli, monkeypatch):
    """0.1.0 wrote down what a loss did not use, and an older one lacks what came later."""
    monkeypatch.chdir(stored.HERE)
    shutil.copytree("nwsd", "kd")
    file = Path("kd/recipe.yaml")
    recipe = yaml.safe_load(file.read_text())
    recipe |= {"loss": "kd", "beta": 0.2, "form": "js"}
    del recipe["window"], recipe["keep"], recipe["alpha"]
    file.write_text(yaml.safe_dump(recipe))
    same = stored.COMMANDS[3].replace("--loss nwsd", "--loss kd").replace("--out nwsd", "--out kd")
    assert cli(*same.split())[0] == 0
    assert cli(*same.replace("--loss kd ", "").split())[0] == 0  # which is the default
    code, _, err = cli(*same.split(), "--temperature", "2")
    assert code == 1
    assert "(temperature: 4.0 then, 2.0 now)" in err  # that, and nothing else
    again = "distill --recipe kd/recipe.yaml --data clouds --records stored.zarr --out kd"
    code, _, err = cli(*again.split())
    assert code == 0, err
    del recipe["origin"]  # a file of the user's own
    Path("own.yaml").write_text(yaml.safe_dump(recipe))
    code, _, err = cli(*again.replace("kd/recipe", "own").split())
    assert code == 2
    assert "past is snapshot, and loss kd does not use it" in err


def test_a_control_is_run_from_the_recipe_of_its_method(stored, cli, monkeypatch):
    monkeypatch.chdir(stored.HERE)
    recipe = yaml.safe_load(Path("nwsd/recipe.yaml").read_text())
    del recipe["origin"]
    Path("nwsd.yaml").write_text(yaml.safe_dump(recipe | {"beta": 0.2}))
    code, _, err = cli("distill", "--recipe", "nwsd.yaml", "--loss", "kd", "--out", "control")
    assert code == 0, err
    found = yaml.safe_load(Path("control/recipe.yaml").read_text())
    assert found["loss"] == "kd"
    assert "beta" not in found


def test_the_default_loss_is_another_than_it_was(stored, cli, monkeypatch):
    monkeypatch.chdir(stored.HERE)
    code, _, err = cli(*stored.COMMANDS[3].replace("--loss nwsd ", "").split())
    assert code == 1
    assert "loss: nwsd then, kd now" in err
    assert "give the same options to go on with it, or choose another --out" in err
