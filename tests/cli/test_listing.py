"""What is said of data sets, stores and single clouds."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pointstill.cli.listing import (
    describe_dataset,
    describe_models,
    describe_store,
    open_classifier,
)
from pointstill.data import open_dataset
from pointstill.deployment.predicting.job import predict_files
from pointstill.deployment.runtime import Classifier
from pointstill.errors import DataError, PointstillError
from pointstill.models import MODELS
from pointstill.models.published import PUBLISHED
from pointstill.records import Store


def test_a_data_set(solids, capsys):
    data = open_dataset(solids)
    describe_dataset(data)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{solids}: folder, z is up"
    assert lines[1:4] == [
        "shapes   60 (48 train, 12 test)",
        "classes  3",
        "points   64 least, 73 median, 83 most",
    ]
    assert lines[4].split() == ["train", "fingerprint", data.train.fingerprint[:16]]
    assert lines[5].split() == ["test", "fingerprint", data.test.fingerprint[:16]]
    table = "\n".join(lines[6:])
    for name in ("ball", "box", "rod"):
        row = next(line for line in table.splitlines() if name in line)
        assert row.replace("│", " ").split() == [name, "16", "4"]


def test_what_a_data_set_passes_over_is_counted(make_solids, tmp_path, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    root = make_solids(tmp_path / "own")
    for name in ("ball/a.json", "ball/b.json", "ball/\x1b[2J.yaml", "rod/.DS_Store", "README.md"):
        (root / name).write_text("no cloud")
    with pytest.warns(UserWarning, match=r"not read \(3, such as ball/.x1b.2J.yaml\): `points"):
        code, out, _ = cli("data", "info", root)
    assert code == 0
    rows = [line.replace("│", " ").split() for line in out.splitlines()]
    rows = [" ".join(row) for row in rows]
    assert "files of an ending that is not read 3 ball/\\x1b[2J.yaml" in rows
    assert "left by a system 1 rod/.DS_Store" in rows
    assert "files beside class folders 1 README.md" in rows


@pytest.mark.parametrize(("there", "gone"), [("train", "test"), ("test", "train")])
def test_a_data_set_of_one_split_alone(solids, tmp_path, capsys, there, gone):
    shutil.copytree(solids, tmp_path / "half" / there)
    describe_dataset(open_dataset(tmp_path / "half"))
    out = capsys.readouterr().out
    assert f"shapes   60 (60 {there}, no {gone})" in out
    assert f"{there:<8} fingerprint" in out
    row = next(line for line in out.splitlines() if "ball" in line)
    assert row.replace("│", " ").split() == ["ball", "20"]


def test_the_models(capsys):
    """Parameters as in the original code, operations of DGCNN by hand."""
    describe_models()
    lines = capsys.readouterr().out.replace("│", " ").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if " M " in line}
    assert list(rows) == list(MODELS)
    assert set(MODELS) - set(PUBLISHED) == {"stillnet-n", "stillnet-s", "stillnet-m"}
    for name, count in (("pointmlp", 13_238_504), ("point-mae", 22_099_752), ("dgcnn", 1_809_576)):
        assert rows[name][0] == f"{count / 1e6:.2f}"
    search = 1024 * 1024 * (3 + 64 + 64 + 128 + 4)  # the squared norm is one more channel
    edges = 1024 * 2 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 256)
    head = 1024 * 512 * 1024 + 2048 * 512 + 512 * 256 + 256 * 40
    assert rows["dgcnn"][2] == f"{2 * (search + edges + head) / 1e9:.3f}"
    assert rows["dgcnn"][3:] == ["92.9", "paper,", "1801.07829"]
    assert rows["stillnet-n"][3:] == ["ours:", "see", "docs/students.md"]


def test_what_was_left_out(solids, tmp_path, capsys):
    root = Path(shutil.copytree(solids, tmp_path / "solids"))
    name = open_dataset(solids).train.names[0]
    np.save(root / name, np.full((30, 3), np.nan))
    with pytest.raises(DataError, match=f"{name}.*--skip-bad"):
        describe_dataset(open_dataset(root))
    describe_dataset(open_dataset(root, skip_bad=True))
    out = capsys.readouterr().out
    assert "shapes   59 (47 train, 12 test)" in out
    assert f"left out (train): {name} has 30 of 30 points NaN or infinite" in out


def test_a_store(solids, records, teacher_run, capsys):
    describe_store(records)
    said = capsys.readouterr().out
    store = Store.open(records)
    assert f"{records}: 144 of 144 records (complete)" in said
    assert "shapes   48 of 48 (train)" in said
    assert "views    3, 64 points each" in said
    assert f"teacher  {teacher_run} ({store.attributes['teacher']['fingerprint'][:16]})" in said
    assert "augment  scale@1, shift@1; seed 0" in said
    assert "classes  3" in said
    assert "codec    float16: KL" in said
    notes = store.notes()
    rate = 144 / sum(note["seconds"] for note in notes)
    assert f"host     {os.uname().nodename}: 144 records in 3 tiles, {rate:,.1f} records/s" in said
    worst = max(note["kl_t1"] for note in notes)
    assert f"worst    KL {worst:.1e} at T=1 by the codec" in said
    logits = np.stack([store.logits(view) for view in range(3)])
    right = logits.argmax(2) == open_dataset(solids).train.labels
    each = [100 * view.mean() for view in right]
    assert f"accuracy {100 * right.mean():.2f}% of the teacher over 3 views" in said
    assert f"({min(each):.2f}% to {max(each):.2f}%)" in said
    line = next(line for line in said.splitlines() if line.startswith("on disk"))
    size = sum(file.stat().st_size for file in records.rglob("*") if file.is_file())
    assert f"{size / 1000:.1f} kB, {size / 144:.1f} bytes a record" in line


def test_an_unfinished_store(records, tmp_path, capsys):
    copy = Path(shutil.copytree(records, tmp_path / "r.zarr"))
    (copy / "probe" / "c.1.0.0").unlink()
    describe_store(copy)
    assert "96 of 144 records (2 of 3 tiles; record goes on)" in capsys.readouterr().out


def test_predictions(student_onnx, student_run, solids, capsys):
    files = [solids / "rod" / "00.npy", solids / "ball" / "03.npy"]
    rows = {}
    for model in (student_onnx, student_run):
        opened = open_classifier(model, False, None)
        predict_files(opened, [str(file) for file in files], top=2, form="jsonl")
        rows[model] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for file, row, from_run in zip(files, *rows.values(), strict=True):
        found = Classifier(student_onnx).predict(np.load(file), top=2)
        assert (row["path"], row["class"]) == (str(file), found[0][0])
        assert row["probability"] == pytest.approx(found[0][1], abs=1e-6)
        assert from_run["class"] == row["class"]


def test_one_bad_file_does_not_keep_the_others_from_being_read(student_onnx, solids, tmp_path, cli):
    good = solids / "rod" / "00.npy"
    np.save(tmp_path / "few.npy", np.ones((3, 3)))
    gone, few, other = (tmp_path / name for name in ("missing.ply", "few.npy", "other.npy"))
    shutil.copy(few, other)
    code, out, err = cli("predict", student_onnx, gone, good, few, good, other, "--top", 1)
    assert code == 1
    assert out.count(str(good)) == 2
    assert out.count(str(few)) == 2  # in the table, and among the reasons
    assert err == "error: 3 of 5 clouds were not classified: the reasons are in their rows\n"
    code, out, err = cli("predict", student_onnx, gone, gone)  # nothing there at all: misuse
    assert (code, err.count("\n")) == (2, 1)


def test_each_file_with_too_few_points_is_warned_of(student_onnx, student_run, cli, tmp_path):
    """The student learned from clouds of 64; the same count twice is said twice."""
    files = [tmp_path / name for name in ("a.npy", "b.npy", "c.npy")]
    for file, count in zip(files, (24, 24, 64), strict=True):
        np.save(file, np.random.default_rng(0).normal(size=(count, 3)))
    for model in (student_onnx, student_run):
        code, out, err = cli("predict", model, *files)
        assert (code, out.count(".npy")) == (0, 3)
        said = "has 24 points, fewer than half of the 64 that the student learned from"
        assert err.splitlines() == [
            f"warning: {file}: the cloud {said}: its answer is not to be trusted"
            for file in files[:2]
        ]


@pytest.mark.parametrize("kind", ["student_onnx", "student_run"])
def test_predictions_without_missing_points(kind, request, cli, solids, tmp_path):
    model, whole, holes = request.getfixturevalue(kind), tmp_path / "a.npy", tmp_path / "b.npy"
    cloud = np.load(solids / "rod" / "00.npy")
    np.save(whole, cloud)
    np.save(holes, np.insert(cloud, (0, 9), np.nan, axis=0))
    code, _, err = cli("predict", model, holes)
    assert (code, "pass --drop-missing" in err) == (1, True)
    code, out, _ = cli("predict", model, holes, whole, "--drop-missing", "--format", "csv")
    first, second = (line.partition(",")[2] for line in out.splitlines()[1:])
    assert (code, first) == (0, second)


def test_how_many_missing_points_were_left_out(cli, solids, tmp_path):
    root = Path(shutil.copytree(solids, tmp_path / "solids"))
    for i, name in enumerate(open_dataset(solids).train.names[:2]):
        cloud = np.load(root / name)
        cloud[: 3 + i] = np.nan, np.inf, 0
        np.save(root / name, cloud)
    code, _, err = cli("data", "info", root)
    assert (code, "--drop-missing" in err) == (1, True)
    code, out, _ = cli("data", "info", root, "--drop-missing")
    assert code == 0
    assert "left out (train): 7 points of 2 clouds, NaN or infinite" in out
    assert "left out (test): 0 points of 0 clouds" in out


def test_no_model(tmp_path):
    with pytest.raises(PointstillError, match="is no student: make one"):
        open_classifier(tmp_path / "x.onnx", False, None)
    with pytest.raises(PointstillError, match="is no run folder"):
        open_classifier(tmp_path, False, None)


def test_a_glb_is_classified_as_the_data_has_it(student_onnx, tmp_path, capsys, monkeypatch):
    """y up in the file, z up in the data that the student was trained on."""
    seen = []
    logits = np.zeros(3, np.float32)
    monkeypatch.setattr(Classifier, "logits", lambda _, cloud: seen.append(cloud) or logits)
    trimesh.creation.box((1, 5, 2)).export(tmp_path / "tall.glb")
    predict_files(Classifier(student_onnx), [str(tmp_path / "tall.glb")], top=1)
    assert np.ptp(seen[0]["xyz"], axis=0) == pytest.approx([1, 2, 5], abs=1e-3)


def test_a_run_needs_torch(cli, student_run, solids, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, err = cli("predict", student_run, solids / "rod" / "00.npy")
    assert (code, out) == (2, "")
    assert err.startswith("error: this command needs PyTorch")
