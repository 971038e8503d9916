"""The commands that ask a recorded teacher again: named by the store, or as `record` was told."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from pointstill.errors import PointstillError
from pointstill.records import Store

EVERYTHING = ("--ensemble", "probabilities", "--ensemble-weights", "2,1", "--votes", "2")


@pytest.fixture(scope="module")
def second(solids, tmp_path_factory) -> Path:
    """Another run of the same data."""
    from pointstill.data import open_dataset
    from pointstill.recipe import TrainRecipe
    from pointstill.training.jobs import train

    recipe = TrainRecipe(epochs=1, points=64, batch_size=8, seed=5)
    out = tmp_path_factory.mktemp("second") / "run"
    return train("stillnet-n", open_dataset(solids), out=out, recipe=recipe, quiet=True).folder


@pytest.fixture
def teachers(teacher_run, second) -> tuple:
    return ("--teacher", teacher_run, "--teacher", second, *EVERYTHING)


@pytest.fixture
def store(cli, solids, teachers, tmp_path) -> Path:
    """Records of an ensemble that votes."""
    out = tmp_path / "r.zarr"
    code, _, err = cli("record", *teachers, "--data", solids, "--views", 2, "--out", out)
    assert code == 0, err
    return out


def test_every_verb_takes_the_teachers_of_the_store(cli, store, solids, teachers, second):
    source = Store.open(store).attributes["teacher_source"]
    assert source["teacher"][1] == str(second)
    assert (source["votes"], source["ensemble"]) == (2, "probabilities")
    for asked in (("--ask",), teachers):
        line = ("records", "verify", store, "--data", solids, "--tiles", "all", *asked)
        code, out, err = cli(*line)
        assert (code, "the teacher says the same within KL" in out) == (0, True), err
    assert "teacher" not in cli("records", "verify", store, "--data", solids)[1]
    whole = (store / "logits/c.1.0.0").read_bytes()
    for asked in ((), teachers):
        (store / "logits/c.1.0.0").write_bytes(b"")
        code, out, err = cli("records", "repair", store, "--data", solids, *asked)
        assert (code, out) == (0, f"{store}: recorded again view 1, shapes 0 to 47\n"), err
        assert (store / "logits/c.1.0.0").read_bytes() == whole
    for views, asked in ((3, ()), (4, teachers)):
        line = ("records", "extend", store, "--data", solids, "--views", views, *asked)
        code, out, err = cli(*line)
        assert (code, out) == (0, f"{store} has {views} views, {views * 48} records\n"), err
    code, out, err = cli("records", "estimate", "--data", solids, *teachers)
    assert (code, " records/s with batches of 16 views" in out) == (0, True), err


def test_another_ensemble_is_refused(cli, store, solids, teachers):
    other = [each if each != "2,1" else "1,2" for each in teachers]
    code, _, err = cli("records", "verify", store, "--data", solids, *other)
    assert code == 1
    assert "teacher.fingerprint" in err


def test_what_has_moved_is_named(cli, solids, teacher_run, tmp_path):
    """Weights are given alone; the store keeps the rest."""
    weights, out = tmp_path / "w.safetensors", tmp_path / "r.zarr"
    shutil.copy(teacher_run / "weights.safetensors", weights)
    named = ("--teacher", "stillnet-n", "--weights", weights)
    code, _, err = cli("record", *named, "--data", solids, "--views", 1, "--out", out)
    assert code == 0, err
    line = ("records", "verify", out, "--data", solids)
    assert cli(*line, "--ask")[0] == 0
    moved = weights.rename(tmp_path / "moved.safetensors")
    code, _, err = cli(*line, "--ask")
    assert code == 2
    assert f"names {weights} as the weights of its teacher stillnet-n, and they are not" in err
    assert "give --weights, wherever they are now" in err
    code, said, err = cli(*line, "--weights", moved)
    assert (code, "the teacher says the same" in said) == (0, True), err
    code, _, err = cli("records", "extend", out, "--data", solids, "--views", 2, "--weights", moved)
    assert code == 0, err


def test_no_code_runs_because_a_store_names_it(cli, solids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_net.py").write_text(
        "from pathlib import Path\nimport torch\nPath('ran').touch()\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, points):\n"
        "        return points.amax(1)\n"
    )
    named = ("--teacher", "own_net:Net", "--class-names", "names.txt")
    (tmp_path / "names.txt").write_text("ball\nbox\nrod\n")
    code, _, err = cli("record", *named, "--data", solids, "--views", 1, "--out", "r.zarr")
    assert code == 0, err

    def forget() -> None:
        (tmp_path / "ran").unlink(missing_ok=True)
        sys.modules.pop("own_net", None)

    whole = Path("r.zarr/logits/c.0.0.0").read_bytes()
    for line in (
        ("verify", "r.zarr", "--ask"),
        ("extend", "r.zarr", "--views", 2),
        ("repair", "r.zarr"),
    ):
        forget()
        if line[0] == "repair":
            Path("r.zarr/logits/c.0.0.0").write_bytes(b"")
        code, _, err = cli("records", *line, "--data", solids)
        assert code in (1, 2)
        assert "names own_net:Net as its teacher, which is a program" in err
        assert "give --teacher own_net:Net --class-names names.txt" in err
        assert not (tmp_path / "ran").exists()
        assert "own_net" not in sys.modules
    code, _, err = cli("records", "repair", "r.zarr", "--data", solids, *named)
    assert code == 0, err
    assert Path("r.zarr/logits/c.0.0.0").read_bytes() == whole
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["description", "beside", "torchscript", "run"])
def test_nor_through_what_it_names(kind, tmp_path, monkeypatch, teacher_run):
    """A description of code, one beside weights, a program in a file, a run of an own model."""
    import torch

    from pointstill.recording.teacher_source import runs

    monkeypatch.chdir(tmp_path)
    if kind == "description":
        Path("t.yaml").write_text("teacher: os:abort\n")
        assert runs("t.yaml", None)
    elif kind == "beside":
        Path("w.pt").write_bytes(b"weights")
        Path("w.pt.yaml").write_text("teacher: os:abort\n")
        assert refused_or(runs, "w.pt")
    elif kind == "torchscript":
        torch.jit.script(torch.nn.Linear(3, 3)).save("t.pt")
        assert runs("t.pt", None)
    else:
        assert not runs(str(teacher_run), None)
        shutil.copytree(teacher_run, "run")
        recipe = Path("run/recipe.yaml")
        recipe.write_text(recipe.read_text().replace("stillnet-n", "own_net:Net"))
        assert refused_or(runs, "run")


def refused_or(runs, spec: str) -> bool:
    """Whether it counts as code, or is refused earlier."""
    try:
        return bool(runs(spec, None))
    except PointstillError:
        return True


def test_a_store_that_does_not_say(cli, records, solids, tmp_path):
    """As those that were made before, or from Python."""
    store = Path(shutil.copytree(records, tmp_path / "r.zarr"))
    code, _, err = cli("records", "verify", store, "--data", solids, "--ask")
    assert code == 2
    assert "does not say how its teacher (" in err
    assert "give --teacher, with the options that it was recorded with" in err


def test_missing_chunks_are_said_before_anything_starts(cli, records, solids, tmp_path):
    store = Path(shutil.copytree(records, tmp_path / "r.zarr"))
    code, out, _ = cli("records", "info", store)
    assert (code, "(complete)" in out, "format   " in out) == (0, True, False)
    (store / "logits/c.2.0.0").unlink()
    code, out, err = cli("records", "info", store)
    assert code == 1
    assert "(damaged, 1 faulty chunk)" in out
    assert "has 1 faulty chunk (logits/c.2.0.0 missing): run `pointstill records repair" in err
    line = ("distill", "--student", "stillnet-n", "--data", solids, "--records", store)
    code, _, err = cli(*line, "--out", tmp_path / "run")
    assert code == 1
    assert "has 1 faulty chunk (logits/c.2.0.0 missing)" in err
    assert not (tmp_path / "run").exists()


def test_swapped_logits_are_found_by_verify_and_by_distill(cli, records, solids, tmp_path):
    store = Path(shutil.copytree(records, tmp_path / "r.zarr"))
    one, other = store / "logits/c.1.0.0", store / "logits/c.2.0.0"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    code, _, err = cli("records", "verify", store, "--data", solids)
    assert code == 1
    assert "wrong in 2 of 3 tiles (view 1, shapes 0 to 47 is not what was recorded there" in err
    line = ("distill", "--student", "stillnet-n", "--data", solids, "--records", store)
    code, _, err = cli(*line, "--epochs", 2, "--batch-size", 16, "--out", tmp_path / "run")
    assert code == 1
    assert "view 1, shapes 0 to 47 is not what was recorded there" in err


def test_what_an_old_store_cannot_prove_is_said(cli, solids, records, tmp_path):
    from pointstill.records.attributes import DIGEST
    from pointstill.records.layout import UNSEALED

    source = Store.open(records)
    about = {k: v for k, v in source.attributes.items() if k not in (DIGEST, "format")}
    about |= {"format": UNSEALED}
    old = Store.create(tmp_path / "o.zarr", about, 3, source.shapes, source.labels)
    for tile in source.tiles():
        old.copy(tile, source.stored(tile))
    for line in (("info", old.path), ("verify", old.path, "--data", solids)):
        code, out, err = cli("records", *line)
        assert code == 0, err
        assert out.count("would pass") == 1
    head = json.loads((old.path / "zarr.json").read_text())
    assert head["attributes"]["format"] == UNSEALED
