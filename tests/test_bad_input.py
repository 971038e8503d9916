"""Bad input, end to end: one line that names it and the fix, and exit 1 (2: nothing there)."""

import errno
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.torch import save_file

from pointstill.data import open_dataset
from pointstill.errors import DataError
from pointstill.evaluation.scoring import evaluate
from pointstill.models import build_model
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.recording.job import record
from pointstill.run import WEIGHTS
from pointstill.training.jobs import distill
from pointstill.training.jobs import train as train_from_labels


@pytest.fixture
def fails(cli) -> Callable[..., None]:
    """The command ends with 1 and one line on standard error, with all of `named` in it.

    With `begun`, it may have told before that it is at work.
    """

    def fails(*tokens: object, named: tuple[str, ...], begun: bool = False) -> None:
        code, _, said = cli(*tokens)
        assert code == 1
        *before, said = said.splitlines()
        assert said.startswith("error: ")
        assert begun or not before
        assert not re.search("error|Traceback|Warning", " ".join(before))
        assert "fault of pointstill" not in said
        for text in named:
            assert text in said

    return fails


def distilling(data: object, records: object, out: object) -> list[object]:
    tokens = ["distill", "--student", "stillnet-n", "--epochs", "1", "--device", "cpu"]
    return [*tokens, "--data", data, "--records", records, "--out", out]


def class_folders(root: Path, make: Callable[[Path], None]) -> Path:
    """Two classes of five good clouds, and a bad file that `make` writes into the first."""
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(5):
            np.save(root / name / f"{i}.npy", draw.normal(size=(20, 3)))
    make(root / "a")
    return root


def noise(**places: float) -> np.ndarray:
    cloud = np.random.default_rng(1).normal(size=(20, 3))
    for place, value in places.items():
        cloud[int(place[1:]), 1] = value
    return cloud


BAD_FILES = {
    "letter.txt": (lambda path: path.write_text("0 0 0\n1 1x 1\n" * 9), "'1x' is not a number"),
    "nan.npy": (lambda path: np.save(path, noise(p3=np.nan)), "1 of 20 points NaN or infinite"),
    "inf.npy": (lambda path: np.save(path, noise(p0=np.inf, p1=-np.inf)), "2 of 20 points"),
    "bare.off": (lambda path: path.write_text("OFF\n4 0 0\n" + "0 0 1\n" * 4), "has 4 points"),
    "three.npy": (lambda path: np.save(path, np.eye(3)), "has 3 points, but a cloud needs 8"),
    "cut.npy": (lambda path: path.write_bytes(b"\x93NUMPY"), "damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_clouds(name, fails, teacher_run, tmp_path):
    write, said = BAD_FILES[name]
    # The bad file may be in either split: one of the two is asked for all folds.
    root = class_folders(tmp_path / "set", lambda folder: write(folder / name))
    fails("data", "info", root, named=(name, said, "--skip-bad"))
    fails("predict", teacher_run, root / "a" / name, named=(name, said))


def test_a_path_of_nothing_is_misuse(cli, tmp_path, solids, teacher_run, records):
    """The same mistake ends every verb alike: one line, exit 2, nothing made."""
    gone, out, cloud = tmp_path / "gone", tmp_path / "out", solids / "rod" / "00.npy"
    data, train = ["--data", solids], ["train", "--model", "stillnet-n", "--out", out]
    gdanet = ["evaluate", "gdanet", *data, "--weights"]
    for said, *commands in (
        ("gone does not exist", ["data", "info", gone], [*train, "--data", gone]),
        ("gone does not exist", ["evaluate", teacher_run, "--data", gone]),
        ("is no run folder", ["export", gone, "--out", out]),
        ("is no model, run folder, model file", ["evaluate", gone, *data]),
        ("is no model, run folder", ["record", "--teacher", gone, *data, "--out", out]),
        ("gone.onnx is not there: give a file that is", ["evaluate", f"{gone}.onnx", *data]),
        ("is no weights file: give one", [*gdanet, f"{gone}.t7"], [*gdanet, f"{gone}.safetensors"]),
        ("is no record store", ["records", "info", gone], ["records", "repair", gone]),
        ("is no record store", ["records", "verify", gone, *data]),
        ("is no record store", ["records", "merge", gone, gone, "--out", out]),
        ("is no record store", distilling(solids, gone, out)),
        ("is no record store", ["evaluate", teacher_run, *data, "--records", gone]),
        ("is no student: make one", ["predict", gone, cloud], ["predict", f"{gone}.onnx", cloud]),
        ("gone.npy does not exist", ["predict", teacher_run, f"{gone}.npy"]),
        ("gone.yaml cannot be read", ["train", "--recipe", f"{gone}.yaml", *train[1:], *data]),
        ("gone.txt cannot be read", ["evaluate", teacher_run, *data, "--class-names", "gone.txt"]),
    ):
        for command in commands:
            code, _, err = cli(*command)
            assert (code, err.count("\n")) == (2, 1), (command, err)
            assert said in err, (command, err)
    assert not out.exists()


def test_something_else_at_a_path_is_a_failure(fails, cli, tmp_path, solids, teacher_run):
    """What is there may be mended: it is not the command line that is wrong."""
    fails("data", "info", tmp_path, named=("no known layout",))
    fails("export", tmp_path, "--out", tmp_path / "x.onnx", named=("is no run folder",))
    fails("evaluate", tmp_path, "--data", solids, named=("is no run folder",))
    fails("records", "info", tmp_path, named=("is no record store",))
    gone, bad = tmp_path / "gone.npy", tmp_path / "bad.npy"
    bad.touch()
    code, out, err = cli("predict", teacher_run, gone, bad, "--format", "csv")
    _, first, second = out.splitlines()  # one line a file
    assert (code, err.count("\n")) == (1, 1)
    assert "gone.npy" in first
    assert "does not exist: check the path" in first
    assert "is damaged, or not a .npy file" in second


def test_empty_class(fails, tmp_path):
    root = class_folders(tmp_path / "set", lambda folder: (folder.parent / "c").mkdir())
    fails("data", "info", root, named=("set/c is an empty class",))


def test_one_class(cli, fails, teacher_run, records, make_solids, tmp_path):
    """A class folder's own parent is meant, mostly; `data info` shows what was found."""
    root = make_solids(tmp_path / "set", each=5)
    for name in ("box", "rod"):
        shutil.rmtree(root / name)
    code, out, _ = cli("data", "info", root)
    assert (code, "classes  1" in out) == (0, True)
    named = (f"{root} has one class (ball): give the folder above the class folders",)
    out = tmp_path / "out"
    train = ["train", "--model", "stillnet-n", "--data", root, "--device", "cpu", "--out", out]
    fails(*train, named=named)
    fails(*distilling(root, records, out), named=named)
    fails("record", "--teacher", teacher_run, "--data", root, "--out", out, named=named)
    fails("evaluate", teacher_run, "--data", root, named=named)
    data = open_dataset(root)
    for job in (
        lambda: train_from_labels("stillnet-n", data, out=out, recipe=TrainRecipe()),
        lambda: distill("x", data, records=records, out=out, recipe=DistillRecipe()),
        lambda: record(None, data, out=out),
        lambda: evaluate(teacher_run, data),
    ):
        with pytest.raises(DataError, match=r"has one class \(ball\)"):
            job()
    assert not out.exists()


def test_truncated_h5(fails, tmp_path):
    (tmp_path / "shape_names.txt").write_text("a\nb\n")
    for split in ("train", "test"):
        (tmp_path / f"{split}_files.txt").write_text(f"{split}0.h5\n")
        with h5py.File(tmp_path / f"{split}0.h5", "w") as file:
            file["data"] = np.random.default_rng(0).normal(size=(50, 64, 3)).astype(np.float32)
            file["label"] = np.arange(50) % 2
    path = tmp_path / "train0.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails("data", "info", tmp_path, named=("train0.h5", "truncated"))


def test_weights_of_another_number_of_classes(fails, solids, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(build_model("stillnet-n", 40).state_dict(), weights)
    said = ("holds weights of 40 classes, and the data has 3", str(weights))
    tokens = ["stillnet-n", "--weights", weights, "--data", solids]
    fails("evaluate", *tokens, named=said)
    fails("record", "--teacher", *tokens, "--out", tmp_path / "r.zarr", named=said)
    assert not (tmp_path / "r.zarr").exists()


def test_a_run_of_another_number_of_classes(fails, solids, student_run, tmp_path):
    run = shutil.copytree(student_run, tmp_path / "run")
    save_file(build_model("stillnet-n", 4).state_dict(), run / WEIGHTS)
    for command in (["evaluate", run, "--data", solids], ["export", run, "--out", "x.onnx"]):
        fails(*command, named=("carries no SHA-256", "train again"))


def test_records_of_another_data_set(fails, make_solids, records, tmp_path):
    other = make_solids(tmp_path / "other", first_seed=900)
    named = ("data.fingerprint", "train on the data that was recorded")
    fails(*distilling(other, records, tmp_path / "run"), named=named)


def test_records_of_another_version_of_augmentation(fails, solids, records, tmp_path, monkeypatch):
    monkeypatch.setattr("pointstill.augment.scale.Scale.version", 2)
    named = ("scale.version: 1 in the records, now 2", "record again")
    fails(*distilling(solids, records, tmp_path / "run"), named=named)


def test_a_full_disk(fails, solids, records, teacher_run, tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        named = ("No space left on device", "free or allow space")
        fails(*distilling(solids, records, tmp_path / "run"), named=named)
    with monkeypatch.context() as patch:
        patch.setattr("pointstill.data.cache.os.fsync", full)
        patch.setenv("POINTSTILL_CACHE", str(tmp_path / "cache"))
        fails("data", "info", solids, named=("No space left on device", "POINTSTILL_CACHE"))
    tokens = ["evaluate", teacher_run, "--data", solids, "--limit", "2", "--json", "/dev/full"]
    fails(*tokens, named=("/dev/full cannot be written (it is a pipe, a socket or a device)",))


def test_a_disk_that_refuses_records(cli, solids, teacher_run, tmp_path):
    """The system's own refusal: no file may be longer than 64 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "r.zarr"
    tokens = ["record", "--teacher", teacher_run, "--data", solids, "--out", out, "--views", "2"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        code, _, err = cli(*tokens)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert "Traceback" not in err
    assert cli(*tokens)[0] == 0  # with space again, it goes on


def test_a_folder_that_may_not_be_written(
    fails, solids, records, teacher_run, public_path, unprivileged, monkeypatch
):
    for name, source in (("solids", solids), ("r.zarr", records), ("run", teacher_run)):
        shutil.copytree(source, public_path / name)
    locked = public_path / "locked"
    locked.mkdir(mode=0o555)
    monkeypatch.chdir(public_path)
    monkeypatch.setenv("POINTSTILL_CACHE", str(public_path / "cache"))
    with unprivileged():
        fails(
            *distilling(Path("solids"), Path("r.zarr"), locked / "run"),
            named=("Permission denied", "choose another --out"),
        )
        record = ["record", "--teacher", "run", "--data", "solids", "--out", locked / "r.zarr"]
        fails(*record, named=("Permission denied", str(locked / "r.zarr")), begun=True)
        evaluate = ["evaluate", "run", "--data", "solids", "--limit", "2"]
        named = ("Permission denied", str(locked))
        fails(*evaluate, "--json", locked / "x.json", named=named, begun=True)
        fails(*evaluate, "--pictures", locked / "p", named=named, begun=True)
        monkeypatch.setenv("POINTSTILL_CACHE", str(locked))
        fails("data", "info", "solids", named=("Permission denied", "POINTSTILL_CACHE"))
    locked.chmod(0o755)


def test_damaged_weights_are_named(fails, teacher_run, tmp_path, solids):
    run = shutil.copytree(teacher_run, tmp_path / "run")
    (run / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:-100])
    fails("evaluate", run, "--data", solids, named=(WEIGHTS, "train again"))
