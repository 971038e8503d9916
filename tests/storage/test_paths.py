"""What must be on this machine is refused at a URL, before anything is read or made."""

from pathlib import Path

import pytest

from pointstill import Classifier, distill, export, train
from pointstill.errors import UsageError
from pointstill.evaluation.scoring import Evaluation
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.records.parquet import export_parquet
from pointstill.run import Run
from pointstill.storage.paths import here

NOTHING = object()  # neither data nor a store: what looks at it fails
DOORS = {
    "train": lambda out: train("stillnet-n", NOTHING, out=out, recipe=TrainRecipe()),
    "distill": lambda out: distill(
        "stillnet-n", NOTHING, records="r.zarr", out=out, recipe=DistillRecipe()
    ),
    "export": lambda out: export("run", out),
    "export of a run": lambda run: export(run, "student.onnx"),
    "run": Run,
    "classifier": Classifier,
    "parquet": lambda out: export_parquet(NOTHING, out),
    "results": lambda out: Evaluation({}, [], [], [], [], []).write_json(out),
}


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """An empty folder, in which `s3:` would be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("where", ["s3://bucket/run", "http://host/run", Path("gs://bucket/run")])
@pytest.mark.parametrize("door", DOORS)
def test_a_url_is_refused(empty, door, where):
    with pytest.raises(
        UsageError, match=f"is {where}; it must be a path on this machine"
    ) as caught:
        DOORS[door](where)
    assert "\n" not in str(caught.value)
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("train --model stillnet-n --data primitives --out URL", "--out"),
        ("train --model stillnet-n --data primitives --out=URL", "--out"),
        ("evaluate stillnet-n --weights URL --data primitives", "--weights"),
        ("evaluate run --data primitives --json URL", "--json"),
        ("export URL --out student.onnx", "this"),
        ("predict primitives-n scan.ply URL", "a cloud"),
        ("demo --out URL", "--out"),
    ],
)
def test_the_command_line_says_the_same(empty, cli, words, flag):
    with pytest.raises(UsageError) as caught:
        here("s3://bucket/x", flag)
    code, out, err = cli(*words.replace("URL", "s3://bucket/x").split())
    assert (code, out, err) == (2, "", f"error: {caught.value}\n")
    assert not list(empty.iterdir())


def test_what_is_on_this_machine(tmp_path, cli):
    assert here("runs/a b", "out") == here(Path("runs/a b"), "out") == Path("runs/a b")
    assert here("file:///runs/a%20b", "out") == Path("/runs/a b")
    code, _, err = cli("export", f"file://{tmp_path}/no%20run", "--out", "x.onnx")
    assert (code, err.startswith(f"error: {tmp_path}/no run is no run folder")) == (2, True)
