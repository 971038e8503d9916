"""`pointstill records`: every verb from the command line, on a real teacher."""

import json
import shutil
from pathlib import Path

import onnx
import pytest

from pointstill.records import Store


@pytest.fixture
def store(records: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(records, tmp_path / "r.zarr"))


def test_info(cli, store):
    code, out, _ = cli("records", "info", store)
    assert code == 0
    assert "144 of 144 records (complete)" in out
    assert f"records  {Store.open(store).fingerprint[:16]}" in out
    for name in ("host     ", "worst    KL", "accuracy ", "shapes   ", "hardest  "):
        assert name in out


def test_estimate(cli, solids, teacher_run):
    line = "--shapes 9843 --views 20 --classes 40 --codec int8 --keyed"
    code, out, _ = cli("records", "estimate", *line.split())
    assert code == 0
    assert out.startswith("196,860 records of 44 B logits + 0 B parameters\n")
    code, out, _ = cli("records", "estimate", "--data", solids, "--teacher", teacher_run)
    assert code == 0
    assert "960 records of 6 B logits + 24 B parameters" in out
    assert " records/s with batches of 16 views of 64 points" in out
    assert " of memory at its highest" in out
    code, _, err = cli("records", "estimate", "--shapes", 9)
    assert (code, "give --shapes and --classes, or --data" in err) == (2, True)
    for name in ("shapes", "views", "classes"):
        given = {"shapes": 100, "classes": 40, "views": 2} | {name: 0}
        flags = [token for each in given.items() for token in (f"--{each[0]}", each[1])]
        code, _, err = cli("records", "estimate", *flags)
        assert (code, err) == (2, f"error: {name} is 0: choose 1 or more\n")
    assert cli("records", "estimate", "--teacher", teacher_run)[0] == 2


def test_verify_and_repair(cli, store, solids, teacher_run):
    asked = ("--data", solids, "--teacher", teacher_run)
    code, out, _ = cli("records", "verify", store, "--tiles", "all", *asked)
    assert (code, "3 tiles replay within" in out, "within KL" in out) == (0, True, True)
    chunk = store / "logits/c.1.0.0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-9])
    for teacher in ((), asked[2:]):
        code, _, err = cli("records", "verify", store, "--data", solids, *teacher)
        assert code == 1
        assert "wrong in 1 of 3 tiles" in err
        assert "view 1, shapes 0 to 47" in err
        assert (err.count(str(store)), err.count("records repair")) == (1, 1)
    code, _, err = cli("records", "repair", store)
    assert code == 1
    assert "give --teacher and --data" in err
    code, out, _ = cli("records", "repair", store, *asked)
    assert (code, out) == (0, f"{store}: recorded again view 1, shapes 0 to 47\n")
    assert cli("records", "verify", store, "--tiles", "many", *asked)[0] == 2


def test_extend_subset_and_merge(cli, store, solids, teacher_run, tmp_path):
    asked = ("--data", solids, "--teacher", teacher_run)
    code, out, _ = cli("records", "extend", store, "--views", 4, *asked)
    assert (code, out) == (0, f"{store} has 4 views, 192 records\n")
    small, joined = tmp_path / "small.zarr", tmp_path / "joined.zarr"
    code, out, _ = cli("records", "subset", store, "--views", 2, "--out", small)
    assert (code, out) == (0, f"{small} has 2 views of 48 shapes\n")
    few = tmp_path / "few.zarr"
    code, out, _ = cli("records", "subset", store, "--limit", 12, "--data", solids, "--out", few)
    assert (code, out) == (0, f"{few} has 4 views of 12 shapes\n")
    code, out, _ = cli("records", "merge", small, store, "--out", joined)
    assert (code, out) == (0, f"merged 2 stores into {joined}\n")
    assert Store.open(joined).fingerprint == Store.open(store).fingerprint


def test_export(cli, store, tmp_path):
    pytest.importorskip("pyarrow")
    code, out, _ = cli("records", "export", store, "--parquet", tmp_path / "r.parquet")
    assert code == 0
    assert out.startswith(f"wrote {tmp_path / 'r.parquet'}")


def test_record_takes_codec_key_and_part(cli, solids, teacher_run, tmp_path):
    out = tmp_path / "r.zarr"
    line = ("record", "--teacher", teacher_run, "--data", solids, "--views", 2, "--out", out)
    code, said, _ = cli(*line, "--codec", "int8", "--keyed", "--part", "1/2")
    assert code == 0
    assert "next: record the other parts" in said
    assert len(Store.open(out).missing()) == 1
    assert cli(*line, "--codec", "int8", "--keyed")[0] == 0
    store = Store.open(out)
    assert (store.missing(), store.keyed, store.coding.name) == ([], True, "int8")
    line = ("distill", "--student", "stillnet-n", "--data", solids, "--records", out)
    assert cli(*line, "--epochs", 1, "--batch-size", 16, "--out", tmp_path / "run")[0] == 0


def test_an_exported_student_knows_its_records(student_onnx, records):
    props = {each.key: each.value for each in onnx.load(student_onnx).metadata_props}
    origin = json.loads(props["pointstill"])["origin"]
    assert origin["records"] == Store.open(records).fingerprint


def test_an_estimate_takes_a_recipe(cli, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("views: 7\ncodec: int8\n")
    tokens = ["records", "estimate", "--shapes", "10", "--classes", "40", "--recipe", recipe]
    assert cli(*tokens)[1].startswith("70 records of 44 B logits")
    assert cli(*tokens, "--views", "2")[1].startswith("20 records of 44 B logits")
