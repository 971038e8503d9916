"""The command line: exit codes, help, recipes, and one line for whatever is wrong."""

import errno
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import onnx
import pytest
import yaml
from safetensors.torch import load_file, save_file

import pointstill
from pointstill.cli import _main, _value_of
from pointstill.data import open_dataset
from pointstill.models import build_model
from pointstill.run import WEIGHTS, Run

COMMANDS = [
    ["train"],
    ["record"],
    ["distill"],
    ["evaluate"],
    ["export"],
    ["predict"],
    ["demo"],
    ["data", "info"],
    ["records", "info"],
]
SHORT = ["--epochs", "1", "--points", "64", "--batch-size", "16", "--device", "cpu"]

Go = Callable[..., tuple[int, str, str]]


@pytest.fixture
def go(capsys: pytest.CaptureFixture[str]) -> Go:
    """Run a command line: exit code, standard output, standard error."""

    def go(*tokens: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _main([str(token) for token in tokens])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


@pytest.fixture
def fails(go: Go) -> Callable[..., None]:
    """The command ends with 1 and one line on standard error, with all of `named` in it.

    With `begun`, it may have told before that it is at work.
    """

    def fails(*tokens: object, named: tuple[str, ...], begun: bool = False) -> None:
        code, _, said = go(*tokens)
        assert code == 1
        *before, said = said.splitlines()
        assert said.startswith("error: ")
        assert begun or not before
        assert not re.search("error|Traceback|Warning", " ".join(before))
        assert "fault of pointstill" not in said
        for text in named:
            assert text in said

    return fails


def squeezed(text: str) -> str:
    """Text without boxes and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


# Help


def test_version(go):
    assert go("--version") == (0, f"{pointstill.__version__}\n", "")


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_opens_with_examples(go, command):
    code, out, err = go(*command, "--help")
    assert (code, err) == (0, "")
    assert out.index("Examples") < out.index("pointstill ", out.index("Examples"))
    for after in ("─ Parameters ─", "─ Commands ─"):
        assert out.find("Examples") < out.find(after) or after not in out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_examples_can_be_typed(command):
    """Each example in the help of a command is one: its command and flags are known."""
    from pointstill.cli import app

    found = app
    for name in command:
        found = found[name]
    _, _, text = (found.help or "").partition("**Examples**")
    examples = re.findall(r"^ *(pointstill .*(?:\n {8,}--.*)*)", text, flags=re.MULTILINE)
    assert examples
    for example in examples:
        tokens = example.split()[1:]
        assert tokens[: len(command)] == command
        if "--recipe" not in tokens:  # which is read, and is not there
            app.parse_args(tokens, exit_on_error=False, print_error=False)


def test_without_a_command_there_is_help(go):
    for tokens in ([], ["data"], ["records"]):
        code, out, _ = go(*tokens)
        assert code == 0
        assert "Usage: pointstill" in out


# What is misused


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["trian"], 'Did you mean "train"?'),
        (["data", "inof"], 'Did you mean "info"?'),
        (["train", "--model", "x", "--data", "x", "--out", "x", "--epoch", "3"], "--epochs?"),
        (["distill", "--student", "x"], "requires an argument"),
        (["train", "--model", "x", "--data", "x", "--out", "x", "--epochs", "many"], "--epochs"),
        (["train", "--model", "x", "--data", "x", "--out", "x", "--precision", "8"], "32-true"),
        (["distill", *"--data x --records x --student x --out x --loss kl".split()], '"kd"'),
        (["evaluate", "--data", "x"], "requires an argument"),
        (["evaluate", "run", "--data", "x", "--split", "val"], '"test"'),
    ],
)
def test_misuse_ends_with_two(go, tokens, said):
    code, out, err = go(*tokens)
    assert code == 2
    assert out == ""
    assert said in squeezed(err)


def test_options_that_make_no_sense_end_with_two(go, solids, tmp_path, teacher_run):
    start = ["train", "--data", solids, "--out", tmp_path / "run"]
    for options, said in (
        (["--model", "stillnet-n", "--epochs", "0"], "epochs is 0; choose 1 or more"),
        (["--model", "stillnet-n", "--val", "1"], "val is 1.0; choose 0 to below 1"),
        (["--model", "stilnet-n", *SHORT], "did you mean stillnet-n"),
        (["--model", "stillnet-n", "--augment", "scael"], "unknown augmentation 'scael'"),
        (["--model", "stillnet-n", "--points", "64", "--device", "gpu"], "choose auto or cpu"),
        (["--model", "stillnet-n", "--fold", "7"], "fold is 7; choose 0 to 4"),
        (["--model", "stillnet-n", "--augment", "scale(hihg=2)"], "scale has no option 'hihg'"),
    ):
        code, _, err = go(*start, *options)
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert said in err
        assert not (tmp_path / "run").exists()  # nothing that the right options would meet
    code, _, err = go("evaluate", "gdanett", "--data", solids)
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean gdanet?" in err
    code, _, err = go("evaluate", teacher_run, "--data", solids, "--limit", "0")
    assert (code, err) == (2, "error: limit and batch size must be 1 or more\n")


def test_without_torch(go, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = go("export", "run", "--out", "x.onnx")
    assert code == 2
    assert err.startswith("error: this command needs PyTorch")
    assert "pip install 'pointstill[train]'" in err


# What breaks


def test_interruption(go, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointstill.show.predict_files", stop)
    code, _, err = go("predict", "x.onnx", "y.npy")
    assert (code, err) == (130, "stopped; the same command goes on from here\n")


def test_a_fault_of_ours_is_called_one(go, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("pointstill.show.predict_files", fail)
    code, _, err = go("predict", "x.onnx", "y.npy")
    assert code == 1
    assert err.startswith("error: ValueError: two lines (a fault of pointstill: set POINTSTILL_DE")
    assert err.count("\n") == 1
    monkeypatch.setenv("POINTSTILL_DEBUG", "1")
    with pytest.raises(ValueError, match="two"):
        go("predict", "x.onnx", "y.npy")


def test_a_reader_that_went_away(go, monkeypatch):
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("pointstill.show.predict_files", fail)
    assert go("predict", "x.onnx", "y.npy") == (0, "", "")


def test_the_process_ends_as_it_should(tmp_path):
    command = [sys.executable, "-m", "pointstill", "data", "info", tmp_path / "missing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*missing: no such folder; .*\n", done.stderr)


# Recipes


@pytest.mark.parametrize(
    ("tokens", "value"),
    [
        (["train", "--recipe", "a.yaml"], "a.yaml"),
        (["train", "--recipe=a.yaml", "--epochs", "1"], "a.yaml"),
        (["train", "--recipe"], None),
        (["train", "--recipes", "a.yaml"], None),
        ([], None),
    ],
)
def test_the_recipe_is_found_among_the_tokens(tokens, value):
    assert _value_of("--recipe", tokens) == value


def test_a_flag_overrides_the_recipe(go, solids, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    lines = {"model": "stillnet-n", "epochs": 1, "points": 64, "batch_size": 16, "val": 0}
    recipe.write_text(yaml.safe_dump(lines | {"data": str(solids), "limit": 6, "seed": 4}))
    for flag in (["--recipe", recipe], [f"--recipe={recipe}"]):
        out = tmp_path / f"run{len(flag)}"
        code, said, err = go("train", *flag, "--seed", "5", "--out", out)
        assert code == 0, err
        assert f"finished {out}" in said
        resolved = Run(out).recipe
        assert {name: resolved[name] for name in lines} == lines
        assert (resolved["limit"], resolved["seed"]) == (6, 5)
    code, _, err = go("train", "--out", tmp_path / "x")  # a recipe does not linger
    assert code == 2
    assert "requires an argument" in squeezed(err)


def test_a_run_is_repeated_by_its_own_recipe(go, solids, records, tmp_path):
    """Of train and of distill; with a data path and records that are named as commands are."""
    train = ["train", "--model", "stillnet-n", "--data", solids, *SHORT, "--limit", "9"]
    student = ["distill", "--student", "stillnet-n", "--data", solids, "--records", records]
    student += ["--epochs", "1", "--batch-size", "16", "--loss", "kd", "--smoothing", "0.1"]
    for tokens in (train, student):
        first, second = tmp_path / f"{tokens[0]}-1", tmp_path / f"{tokens[0]}-2"
        assert go(*tokens, "--out", first)[0] == 0
        code, _, err = go(tokens[0], "--recipe", first / "recipe.yaml", "--out", second)
        assert code == 0, err
        assert Run(first).recipe == Run(second).recipe
        assert (first / WEIGHTS).read_bytes() == (second / WEIGHTS).read_bytes()


def test_a_run_that_left_out_bad_clouds_is_repeated(go, solids, tmp_path):
    root = Path(shutil.copytree(solids, tmp_path / "solids"))
    np.save(root / open_dataset(solids).train.names[0], np.full((30, 3), np.nan))
    tokens = ["--model", "stillnet-n", "--data", root, *SHORT, "--skip-bad", "--limit", "9"]
    assert go("train", *tokens, "--out", tmp_path / "first")[0] == 0
    recipe = tmp_path / "first" / "recipe.yaml"
    code, _, err = go("train", "--recipe", recipe, "--out", tmp_path / "second")
    assert code == 0, err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("epoch: 3\n", "epoch"),
        ("epochs: many\n", "epochs"),
        ("- epochs\n", "is not a list of `name: value` lines"),
        ("epochs: [\n", "cannot be read"),
        ("\xff", "is not a list"),
        ("epochs: 0\n", "epochs is 0; choose 1 or more"),
        (None, "cannot be read"),
    ],
)
def test_recipes_that_make_no_sense(go, tmp_path, content, said):
    recipe = tmp_path / "recipe.yaml"
    if content is not None:
        recipe.write_text(content)
    tokens = ["--model", "stillnet-n", "--data", "x", "--out", tmp_path / "run"]
    code, out, err = go("train", "--recipe", recipe, *tokens)
    assert (code, out) == (2, "")
    assert said in squeezed(err)
    assert not (tmp_path / "run").exists()


# Bad input, end to end


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
    "nan.npy": (lambda path: np.save(path, noise(p3=np.nan)), "1 of 20 points are NaN or infinite"),
    "inf.npy": (lambda path: np.save(path, noise(p0=np.inf, p1=-np.inf)), "2 of 20 points"),
    "bare.off": (lambda path: path.write_text("OFF\n4 0 0\n" + "0 0 1\n" * 4), "has no faces"),
    "three.npy": (lambda path: np.save(path, np.eye(3)), "has 3 points, but a cloud needs 8"),
    "cut.npy": (lambda path: path.write_bytes(b"\x93NUMPY"), "damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_clouds(name, fails, student_onnx, tmp_path):
    write, said = BAD_FILES[name]
    # The bad file may be in either split: one of the two is asked for all folds.
    root = class_folders(tmp_path / "set", lambda folder: write(folder / name))
    fails("data", "info", root, named=(name, said, "--skip-bad"))
    fails("predict", student_onnx, root / "a" / name, named=(name, said))


def test_missing_folder(fails, tmp_path, teacher_run):
    missing = tmp_path / "missing"
    fails("data", "info", missing, named=(str(missing), "no such folder"))
    fails(
        "train", "--model", "stillnet-n", "--data", missing, "--out", tmp_path / "run",
        named=("no such folder",),
    )  # fmt: skip
    fails("evaluate", teacher_run, "--data", missing, named=("no such folder",))
    fails("records", "info", missing, named=("is no record store",))
    fails("export", missing, "--out", tmp_path / "x.onnx", named=("is no run folder",))
    fails("predict", missing, missing / "x.npy", named=("no student at",))


def test_empty_class(fails, tmp_path):
    root = class_folders(tmp_path / "set", lambda folder: (folder.parent / "c").mkdir())
    fails("data", "info", root, named=("set/c: an empty class",))


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
    said = ("weights have 40 classes, data has 3", str(weights))
    tokens = ["stillnet-n", "--weights", weights, "--data", solids]
    fails("evaluate", *tokens, named=said)
    fails("record", "--teacher", *tokens, "--out", tmp_path / "r.zarr", named=said)
    assert not (tmp_path / "r.zarr").exists()


def test_a_run_of_another_number_of_classes(fails, solids, student_run, tmp_path):
    run = shutil.copytree(student_run, tmp_path / "run")
    save_file(build_model("stillnet-n", 4).state_dict(), run / WEIGHTS)
    for command in (["evaluate", run, "--data", solids], ["export", run, "--out", "x.onnx"]):
        fails(*command, named=("does not fit stillnet-n", "train again"))


def distilling(data: Path, records: Path, out: Path) -> list[object]:
    tokens = ["distill", "--student", "stillnet-n", "--epochs", "1", "--device", "cpu"]
    return [*tokens, "--data", data, "--records", records, "--out", out]


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
        patch.setattr("pointstill.run.os.fsync", full)
        named = ("No space left on device", "free or allow space")
        fails(*distilling(solids, records, tmp_path / "run"), named=named)
    with monkeypatch.context() as patch:
        patch.setattr("pointstill.data.cache.os.fsync", full)
        patch.setenv("POINTSTILL_CACHE", str(tmp_path / "cache"))
        fails("data", "info", solids, named=("No space left on device", "POINTSTILL_CACHE"))
    if Path("/dev/full").exists():
        tokens = ["evaluate", teacher_run, "--data", solids, "--limit", "2", "--json", "/dev/full"]
        fails(*tokens, named=("No space left on device",), begun=True)


def test_a_disk_that_refuses_records(go, solids, teacher_run, tmp_path):
    """The system's own refusal: no file may be longer than 64 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "r.zarr"
    tokens = ["record", "--teacher", teacher_run, "--data", solids, "--out", out, "--views", "2"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        code, _, err = go(*tokens)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert "Traceback" not in err
    assert go(*tokens)[0] == 0  # with space again, it goes on


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


# The whole way


def test_from_clouds_to_a_student(go, solids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["--data", solids]
    train = ["--model", "stillnet-n", *data, "--augment", "scale,rotate", *SHORT]
    code, said, _ = go("train", *train, "--out", "teacher")
    assert code == 0
    assert said.splitlines() == [
        "finished teacher",
        f"next: pointstill evaluate teacher --data {solids}",
        "      pointstill export teacher --out student.onnx",
    ]
    record = ["--teacher", "teacher", *data, "--views", "2", "--limit", "12", "--out", "r.zarr"]
    code, said, err = go("record", *record)
    assert code == 0, err
    assert said.startswith("recorded 24 records in r.zarr\nnext: pointstill distill")
    assert "--limit 12" in said
    code, said, _ = go("records", "info", "r.zarr")
    assert code == 0
    assert "24 of 24 records (complete)" in said
    student = ["--student", "stillnet-n", *data, "--records", "r.zarr", "--limit", "12"]
    code, _, err = go("distill", *student, "--epochs", "1", "--device", "cpu", "--out", "student")
    assert code == 0, err
    options = ["--records", "r.zarr", "--json", "e.json", "--pictures", "p", "--classes"]
    code, said, err = go("evaluate", "student", "teacher", *data, *options, "--threads", "1")
    assert code == 0, err
    assert "student against teacher: right alone on" in said
    assert "accuracy by class" in said
    result = json.loads(Path("e.json").read_text())
    assert [score["name"] for score in result["scores"]] == ["student", "teacher"]
    assert sorted(path.name for path in Path("p").iterdir()) == [
        "student-test.png",
        "teacher-test.png",
    ]
    code, said, _ = go("predict", "student", solids / "rod" / "00.npy", "--top", "1")
    assert code == 0
    assert re.fullmatch(r".*rod/00\.npy: (ball|box|rod) \d+\.\d%\n", said)


def test_pictures_of_runs_of_one_name(go, solids, teacher_run, student_run, tmp_path):
    """Two run folders called `run`: two pictures."""
    options = ["--data", solids, "--limit", "3", "--pictures", tmp_path]
    assert go("evaluate", teacher_run, student_run, *options)[0] == 0
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_export(go, student_run, student_onnx, tmp_path, monkeypatch):
    made = SimpleNamespace(model_proto=onnx.load(student_onnx))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: made)
    code, said, err = go("export", student_run, "--out", tmp_path / "s.onnx")
    assert code == 0, err
    assert said.startswith(f"wrote {tmp_path / 's.onnx'} (")
    assert "it agrees with torch" in said
    code, said, _ = go("predict", tmp_path / "s.onnx", tmp_path / "s.onnx")
    assert code == 1


def test_damaged_weights_are_named(fails, teacher_run, tmp_path, solids):
    run = shutil.copytree(teacher_run, tmp_path / "run")
    assert load_file(run / WEIGHTS)
    (run / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:-100])
    fails("evaluate", run, "--data", solids, named=(WEIGHTS, "train again"))
