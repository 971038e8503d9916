"""The command line: exit codes, help, and one line for whatever is wrong."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

import pointstill
from command_line import SHORT, squeezed
from pointstill import __main__
from pointstill.data import open_dataset
from pointstill.errors import Stopped

COMMANDS = [
    ["train"],
    ["record"],
    ["distill"],
    ["evaluate"],
    ["export"],
    ["models"],
    ["predict"],
    ["demo"],
    ["data", "info"],
    ["records", "info"],
    ["teacher", "describe"],
]


# Help


def test_version(cli):
    assert cli("--version") == (0, f"{pointstill.__version__}\n", "")


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_opens_with_examples(cli, command):
    code, out, err = cli(*command, "--help")
    assert (code, err) == (0, "")
    assert out.index("Examples") < out.index("pointstill ", out.index("Examples"))
    for after in ("─ Parameters ─", "─ Commands ─"):
        assert out.find("Examples") < out.find(after) or after not in out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_examples_can_be_typed(command):
    """Each example in the help of a command is one: its command and flags are known."""
    from pointstill.cli.commands import app

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


def test_without_a_command_there_is_help(cli):
    for tokens in ([], ["data"], ["records"]):
        code, out, _ = cli(*tokens)
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
        (["distill", "--student=x", "--data=x", "--records=x", "--out=x", "--loss=kl"], '"kd"'),
        (["evaluate", "--data", "x"], "requires an argument"),
    ],
)
def test_misuse_ends_with_two(cli, tokens, said):
    code, out, err = cli(*tokens)
    assert code == 2
    assert out == ""
    assert said in squeezed(err)


def test_a_split_that_the_data_do_not_have_ends_with_two(cli, solids):
    code, out, err = cli("evaluate", "run", "--data", solids, "--split", "val")
    assert (code, out) == (2, "")
    assert "split is 'val'" in squeezed(err)
    assert "choose from train, test, or all" in squeezed(err)


def test_what_cannot_be_measured_is_refused_before_anything_is(cli, solids, teacher_run):
    for options, said in (
        (["--split", "all", "--points", "16"], "in one split, not in all: name one by --split"),
        (["--split", "all", "--unknown", "strangers"], "in one split, not in all"),
        (
            ["--features", "xyz,height", "--corruptions", "modelnet-c"],
            "ModelNet-C corrupts xyz alone",
        ),
        (["--points", "64,4"], "points is 64, 4: give numbers of 8 or more"),
        (["--unknown", "nowhere"], "nowhere"),
    ):
        code, out, err = cli("evaluate", teacher_run, "--data", solids, *options)
        assert (code, out) == (2, ""), err
        assert said in squeezed(err)


def test_few_points_and_unknown_clouds_are_measured_too(cli, solids, teacher_run, tmp_path):
    options = ["--data", solids, "--limit", "6", "--points", "16", "--unknown", "strangers"]
    file = tmp_path / "all.json"
    code, out, err = cli("evaluate", teacher_run, *options, "--json", file)
    assert code == 0, err
    assert "clouds of strangers among the known ones" in squeezed(out)
    found = json.loads(file.read_text())
    assert [*found["points"][0]["accuracy"]] == ["16"]
    assert found["unknown"][0]["name"] == str(teacher_run)


def test_options_that_make_no_sense_end_with_two(cli, solids, tmp_path, teacher_run):
    start = ["train", "--data", solids, "--out", tmp_path / "run"]
    for options, said in (
        (["--model", "stillnet-n", "--epochs", "0"], "epochs is 0: choose 1 or more"),
        (["--model", "stillnet-n", "--epochs", "2.5"], "--epochs is 2.5: give a whole number"),
        (["--model", "stillnet-n", "--seed", "-1"], "seed is -1: choose 0 to 9223372036854775807"),
        (["--model", "stillnet-n", "--val", "1"], "val is 1.0: choose 0 to below 1"),
        (["--model", "stilnet-n", *SHORT], "did you mean stillnet-n"),
        (["--model", "stillnet-n", "--augment", "scael"], "unknown augmentation 'scael'"),
        (["--model", "stillnet-n", "--points", "64", "--device", "gpu"], "choose auto or cpu"),
        (["--model", "stillnet-n", "--fold", "7"], "fold is 7: choose 0 to 4"),
        (["--model", "stillnet-n", "--augment", "scale(hihg=2)"], "scale has no option 'hihg'"),
    ):
        code, _, err = cli(*start, *options)
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert said in err
        assert not (tmp_path / "run").exists()  # nothing that the right options would meet
    code, _, err = cli("evaluate", "gdanett", "--data", solids)
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean gdanet?" in err
    code, _, err = cli("evaluate", teacher_run, "--data", solids, "--limit", "0")
    assert (code, err) == (2, "error: limit is 0: choose 1 or more\n")


def test_without_torch(cli, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = cli("export", "run", "--out", "x.onnx")
    assert code == 2
    assert err.startswith("error: this command needs PyTorch")
    assert "pip install 'pointstill[train]'" in err


# What breaks


def test_names_that_the_terminal_cannot_write(make_solids, tmp_path):
    root = make_solids(tmp_path / "möbel", each=6)
    (root / "ball").rename(root / "Bälle")
    command = [sys.executable, "-m", "pointstill", "data", "info", "möbel"]
    plain = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, env=plain, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"B?lle" in done.stdout


def test_warnings_are_one_plain_line(monkeypatch, capsys):
    def warn(*_: object) -> None:
        warnings.warn("two\nlines", stacklevel=1)

    monkeypatch.setattr("pointstill.cli.listing.describe_models", warn)
    monkeypatch.setattr("sys.argv", ["pointstill", "models"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(SystemExit) as end:
            __main__.main()
    assert end.value.code == 0
    assert capsys.readouterr().err == "warning: two lines\n"


@pytest.mark.parametrize("flag", ["--json", "--pictures"])
def test_a_place_that_cannot_be_written_is_found_before_any_work(cli, solids, tmp_path, flag):
    (tmp_path / "file").touch()
    code, out, err = cli("evaluate", "gdanet", "--data", solids, flag, tmp_path / "file" / "x")
    assert (code, out) == (1, "")  # before the missing weights of gdanet are
    assert re.fullmatch(r"error: .*/file/x cannot be written \(.*\): choose another place\n", err)


@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (Stopped(15), 143, "stopped"),
        (Stopped(1, "stopped at step 3"), 129, "stopped at step 3"),
        (SystemExit(15), 143, "stopped"),  # as Ray leaves
    ],
)
def test_interruption(cli, monkeypatch, tmp_path, stop, code, said):
    """Only what is gone on with by the same command is said to be."""

    def stopped(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr("pointstill.cli.listing.open_classifier", stopped)
    assert cli("predict", "x.onnx", "y.npy")[::2] == (code, f"{said}\n")
    monkeypatch.setattr("pointstill.demo.run_demo", stopped)
    goes_on = f"{said}; the same command goes on from here\n"
    assert cli("demo", "--out", tmp_path)[::2] == (code, goes_on)


def test_a_fault_of_ours_is_called_one(cli, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("pointstill.cli.listing.open_classifier", fail)
    code, _, err = cli("predict", "x.onnx", "y.npy")
    assert code == 1
    assert err.startswith("error: ValueError: two lines (a fault of pointstill: set POINTSTILL_DE")
    assert err.count("\n") == 1
    monkeypatch.setenv("POINTSTILL_DEBUG", "1")
    with pytest.raises(ValueError, match="two"):
        cli("predict", "x.onnx", "y.npy")


def test_a_reader_that_went_away(cli, monkeypatch):
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("pointstill.cli.listing.open_classifier", fail)
    assert cli("predict", "x.onnx", "y.npy") == (0, "", "")


def test_the_process_ends_as_it_should(tmp_path):
    command = [sys.executable, "-m", "pointstill", "data", "info", tmp_path / "missing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*missing does not exist: .*\n", done.stderr)


# The whole way


def test_from_clouds_to_a_student(cli, solids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["--data", solids]
    train = ["--model", "stillnet-n", *data, "--augment", "scale,rotate", *SHORT]
    code, said, _ = cli("train", *train, "--out", "teacher")
    assert code == 0
    assert said.splitlines() == [
        "finished teacher",
        f"next: pointstill evaluate teacher --data {solids}",
        "      pointstill export teacher --out student.onnx",
    ]
    record = ["--teacher", "teacher", *data, "--views", "2", "--limit", "12", "--out", "r.zarr"]
    code, said, err = cli("record", *record)
    assert code == 0, err
    assert said.startswith("recorded 24 records in r.zarr\nnext: pointstill distill")
    assert "--limit 12" in said
    code, said, _ = cli("records", "info", "r.zarr")
    assert code == 0
    assert "24 of 24 records (complete)" in said
    student = ["--student", "stillnet-n", *data, "--records", "r.zarr", "--limit", "12"]
    code, _, err = cli("distill", *student, "--epochs", "1", "--device", "cpu", "--out", "student")
    assert code == 0, err
    options = ["--records", "r.zarr", "--json", "e.json", "--pictures", "p", "--classes"]
    code, said, err = cli("evaluate", "student", "teacher", *data, *options, "--threads", "1")
    assert code == 0, err
    assert "student against teacher: right alone on" in said
    assert "accuracy by class" in said
    result = json.loads(Path("e.json").read_text())
    assert [score["name"] for score in result["scores"]] == ["student", "teacher"]
    assert sorted(path.name for path in Path("p").iterdir()) == [
        "student-test.png",
        "teacher-test.png",
    ]
    code, said, _ = cli("predict", "student", solids / "rod" / "00.npy", "--top", "1")
    assert code == 0
    assert "00.npy" in said
    assert re.search(r"(ball|box|rod)\W.*\d+\.\d%", said, re.DOTALL)


def test_every_next_step_names_the_same_data(cli, solids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(solids, "my scans")
    fold = open_dataset("my scans", fold=2)
    bad = fold.train.names[:5]
    for name in bad:
        np.save(Path("my scans") / name, np.full((30, 3), np.nan))
    data = ["--data", "my scans", "--fold", "2", "--skip-bad"]
    again, fast = " ".join(["--data 'my scans'", *data[2:]]), ["--device", "cpu"]

    def run(*tokens: object) -> str:
        code, said, err = cli(*tokens)
        assert code == 0, err
        assert "left out 5 bad clouds of the train split:\n" in err
        assert sum(name in err for name in bad) == 3
        assert "and others: `pointstill data info` lists all" in err
        assert again in said
        return said

    said = run("train", "--model", "stillnet-n", *data, *SHORT, "--out", "a teacher")
    assert f"next: pointstill evaluate 'a teacher' {again}\n" in said
    assert "pointstill export 'a teacher' --out" in said
    said = run("record", "--teacher", "a teacher", *data, "--views", "1", "--out", "my r", *fast)
    assert f"--student stillnet-n {again} --records 'my r' --out runs/student" in said
    tokens = ["--student", "stillnet-n", *data, "--records", "my r", "--epochs", "1", *fast]
    said = run("distill", *tokens, "--out", "b")
    step = re.search("next: pointstill (.*)", said)
    assert step
    code, said, err = cli(*shlex.split(step[1]), "--limit", "3")
    assert code == 0, err
    code, _, err = cli("evaluate", "b", "--data", "my scans", "--skip-bad")
    assert code == 2
    assert "b was trained on fold 2 of my scans" in err
    assert "give --fold 2" in err


def test_pictures_of_runs_of_one_name(cli, solids, teacher_run, student_run, tmp_path):
    """Two run folders called `run`: two pictures."""
    options = ["--data", solids, "--limit", "3", "--pictures", tmp_path]
    assert cli("evaluate", teacher_run, student_run, *options)[0] == 0
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_export(cli, student_run, student_onnx, tmp_path, monkeypatch):
    made = SimpleNamespace(model_proto=onnx.load(student_onnx))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: made)
    code, said, err = cli("export", student_run, "--out", tmp_path / "s.onnx")
    assert code == 0, err
    assert said.startswith(f"wrote {tmp_path / 's.onnx'} (")
    assert "it agrees with torch" in said
    code, said, _ = cli("predict", tmp_path / "s.onnx", tmp_path / "s.onnx")
    assert code == 1


def test_the_shell_completes(cli, tmp_path, monkeypatch):
    """Bash itself is asked, with the script that is installed."""
    monkeypatch.setenv("HOME", str(tmp_path))  # whose .bashrc gets a line
    script = tmp_path / "pointstill.sh"
    code, _, err = cli("--install-completion", "--shell", "bash", "--output", script)
    assert code == 0, err
    ask = f"""source {script}; for words in "rec" "distill --tem"; do
        COMP_WORDS=(pointstill $words); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
        $(complete -p pointstill | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${{COMPREPLY[@]}}
    done"""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    found = [sorted(line.split()) for line in done.stdout.splitlines()]
    assert found == [["record", "records"], ["--temperature"]]
