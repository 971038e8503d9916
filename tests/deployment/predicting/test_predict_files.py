"""`pointstill predict` for scripts: rows, formats, files and exit codes."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pointstill.data.columns import Columns
from pointstill.deployment.predicting import job
from pointstill.deployment.predicting.answers import Answer, FileClassifier
from pointstill.deployment.predicting.formats import as_csv, as_json_lines, as_tables
from pointstill.deployment.predicting.named_clouds import NamedCloud
from pointstill.deployment.runtime import Classifier, CloudClassifier
from pointstill.errors import Stopped
from pointstill.storage import packaged_students

COMMAND = [sys.executable, "-m", "pointstill", "predict"]


def test_rows_are_what_the_classifier_says(cli, stored_student, clouds):
    code, out, err = cli("predict", stored_student, clouds, "--format", "jsonl")
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12
    classifier = Classifier(stored_student)
    for row in rows:
        cloud = np.load(row["path"])
        found = classifier.predict(cloud)
        assert [each["name"] for each in row["classes"]] == [name for name, _ in found]
        shares = [each["probability"] for each in row["classes"]]
        np.testing.assert_allclose(shares, [share for _, share in found], atol=1e-6)
        assert (row["class"], row["probability"]) == (row["classes"][0]["name"], shares[0])
        logits = classifier.logits(cloud).astype(np.float64)
        assert row["score"] == pytest.approx(np.log(np.exp(logits).sum()), abs=1e-6)
        assert (row["known"], row["error"], row["warnings"]) == (None, None, [])


def test_all_formats_say_the_same(cli, stored_student, clouds, tmp_path):
    np.save("few.npy", np.zeros((3, 3)))
    np.save("sparse.npy", np.random.default_rng(0).normal(size=(12, 3)))
    names = ["gone.ply", "few.npy", "sparse.npy", "solids/rod", "--top", 2]
    for suffix in ("json", "jsonl", "csv", "txt"):
        code, out, err = cli("predict", stored_student, *names, "--out", f"rows.{suffix}")
        assert (code, out) == (1, f"wrote 7 rows to rows.{suffix}\n")
        last = err.splitlines()[-1]
        assert last == "error: 2 of 7 clouds were not classified: the reasons are in their rows"
    rows = json.loads(Path("rows.json").read_text())
    assert rows == [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [row["error"] for row in rows[:2]] == [
        "does not exist: check the path",
        "has 3 points, but a cloud needs 8",
    ]
    assert rows[0]["class"] is rows[0]["score"] is None
    assert rows[0]["classes"] == []
    assert rows[2]["warnings"][0].startswith("the cloud has 12 points, fewer than half")
    with Path("rows.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        *("path", "class", "probability", "class_2", "probability_2"),
        *("score", "known", "error", "warnings"),
    ]
    for row, line in zip(rows, lines, strict=True):
        assert (line["path"], line["error"] or None) == (row["path"], row["error"])
        assert line["warnings"] == "; ".join(row["warnings"])
        if row["error"]:
            assert {line["class"], line["probability_2"], line["score"]} == {""}
            continue
        for mark, each in zip(("", "_2"), row["classes"], strict=True):
            assert line[f"class{mark}"] == each["name"]
            assert float(line[f"probability{mark}"]) == each["probability"]
    table = Path("rows.txt").read_text()
    assert table.count("not classified") == 3  # two rows, and a title
    assert "│ few.npy  │ has 3 points, but a cloud needs 8 │" in table


def test_a_table_for_people(cli, stored_student, clouds):
    code, out, err = cli("predict", stored_student, clouds / "rod", "gone.ply", "--top", 1)
    assert code == 1
    assert [word for word in out.split() if word.endswith(".npy")] == [
        f"solids/rod/0{i}.npy" for i in range(4)
    ]
    assert "not classified" in out
    assert err == "error: 1 of 5 clouds were not classified: the reasons are in their rows\n"


def test_exit_codes(cli, stored_student, clouds):
    alone = cli("predict", stored_student, "gone.ply")
    assert alone == (2, "", "error: gone.ply does not exist: check the path\n")
    assert cli("predict", stored_student, "gone.ply", "*.las", "--format", "csv")[0] == 2
    Path("empty").mkdir()
    assert cli("predict", stored_student, "gone.ply", "empty", "--format", "csv")[0] == 1
    for wrong in (["--fromat", "csv"], ["--format", "xml"], ["--workers", 0], ["--top", 0]):
        code, out, _ = cli("predict", stored_student, clouds, *wrong)
        assert (code, out) == (2, "")


def test_unknown_clouds(clouds):
    """Known or not is a column of its own; a table says `unknown` in place of a class."""

    class Fixed(CloudClassifier):
        def __init__(self, threshold: float):
            calibration = {"temperature": 2.0, "threshold": threshold}
            about = {"classes": ["a", "b"], "points": 64, "up": "z", "calibration": calibration}
            super().__init__(about, drop_missing=False)

        def _run(self, cloud: np.ndarray) -> np.ndarray:
            return np.array([0.0, 2 * np.log(3)], np.float32)

    nothing: Columns = {}
    cloud = NamedCloud("rod", Path("solids/rod/00.npy"))
    known, strange = (FileClassifier(Fixed(at), 2, nothing)(cloud) for at in (2.0, 3.0))
    assert known.score == strange.score == pytest.approx(np.log(10))
    assert (known.known, strange.known) == (True, False)
    assert known.classes == strange.classes
    assert [name for name, _ in known.classes] == ["b", "a"]
    np.testing.assert_allclose([share for _, share in known.classes], [0.75, 0.25])
    rows = list(csv.DictReader(io.StringIO("".join(as_csv([known, strange], 2)))))
    assert [row["known"] for row in rows] == ["true", "false"]
    assert [row["class"] for row in rows] == ["b", "b"]
    (table,) = as_tables([known, strange])
    assert [list(column.cells) for column in table.columns][1:] == [
        ["b", "unknown"],
        ["75.0%", ""],
        ["a 25.0%", "b 75.0%, a 25.0%"],
    ]


def test_a_fault_of_ours_is_a_row_too(clouds, stored_student):
    classifier = Classifier(stored_student)
    cloud = NamedCloud("rod", Path("solids/rod/00.npy"))
    classifier.logits = None  # type: ignore[assignment]
    answer = FileClassifier(classifier, 1, {})(cloud)
    assert str(answer.error).startswith("TypeError: 'NoneType' object is not callable")
    assert str(answer.error).endswith("(a fault of pointstill: report it)")


def test_names_are_what_they_are_to_the_byte(stored_student, clouds):
    name = os.fsdecode(b'caf\xe9 "a", \x1b[31m\nb.npy')
    Path("solids/rod/00.npy").rename(name)
    done = subprocess.run(
        [*COMMAND, stored_student, name, "--format", "csv"], capture_output=True, check=True
    )
    read = csv.reader(io.StringIO(done.stdout.decode("utf-8", "surrogateescape"), newline=""))
    assert list(read)[1][0] == name
    (line,) = as_json_lines([Answer(name, [("a", 1.0)])], 1)
    assert json.loads(line)["path"] == name
    assert line.isascii()


def test_workers_change_nothing(cli, stored_student, clouds):
    np.save("few.npy", np.zeros((3, 3)))
    names = [clouds, "few.npy", clouds, "gone.ply", "--format", "csv"]
    one, two = (cli("predict", stored_student, *names, "--workers", many) for many in (1, 2))
    assert one == two
    assert one[1].count("\n") == 27


def test_a_file_is_written_whole_or_not_at_all(cli, stored_student, clouds, monkeypatch):
    Path("rows.csv").write_text("before\n")

    def stopped(ask, named, workers):
        yield ask(named[0])
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(job, "spread", stopped)
    code, out, err = cli("predict", stored_student, clouds, "--out", "rows.csv")
    assert (code, out, err) == (143, "", "stopped\n")
    assert Path("rows.csv").read_text() == "before\n"
    assert not list(Path().glob(".*"))
    monkeypatch.setattr(job, "spread", None)  # nothing is classified before this is known
    code, _, err = cli("predict", stored_student, clouds, "--out", "solids")
    assert (code, "solids cannot be written" in err) == (1, True)


def test_progress_of_many_goes_to_standard_error(cli, stored_student, clouds, monkeypatch):
    monkeypatch.setattr(job, "MANY", 12)
    monkeypatch.setattr(job, "cores", lambda: 1)
    code, out, err = cli("predict", stored_student, clouds, "--format", "csv")
    assert (code, out.count("\n")) == (0, 13)
    assert err.startswith("classifying: 12 of 12 clouds, ")


def test_a_cloud_on_standard_input(cli, stored_student, clouds, standard_input):
    standard_input(Path("solids/rod/00.npy").read_bytes())
    code, out, _ = cli("predict", stored_student, "-", "--format-in", "npy", "--format", "jsonl")
    assert (code, json.loads(out)["path"]) == (0, "-")
    standard_input(b"no cloud")
    code, out, err = cli("predict", stored_student, "-", "--format-in", "npy")
    assert (code, out) == (1, "")
    assert err == "error: - is damaged, or not a .npy file: restore it\n"


def test_a_student_of_the_package_by_its_name(cli, stored_student, clouds, tmp_path, monkeypatch):
    folder = tmp_path / "packaged"
    folder.mkdir()
    (folder / "solids-n.onnx").write_bytes(stored_student.read_bytes())
    (folder / "solids-n.md").write_text("# solids-n\n\nTells balls from rods.\n")
    monkeypatch.setattr(packaged_students, "FOLDER", folder)
    named = cli("predict", "solids-n", clouds, "--format", "csv")
    assert named == cli("predict", stored_student, clouds, "--format", "csv")
    assert Classifier("solids-n").classes == ["ball", "box", "rod"]
    code, _, err = cli("predict", "solid-n", clouds)
    assert code == 2
    assert err == (
        "error: solid-n is no student: make one with `pointstill export`, or choose one of "
        "solids-n\n"
    )
    Path("solids-n").write_text("a file of this name")
    code, _, err = cli("predict", "solids-n", clouds)
    assert (code, "solids-n is no student of pointstill" in err) == (1, True)


def test_a_reader_that_goes_away_is_no_fault(stored_student, clouds):
    many = "\n".join(["solids/rod/00.npy"] * 3000)
    program = subprocess.Popen(
        [*COMMAND, stored_student, "-", "--format", "csv", "--workers", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdin
    assert program.stdout
    assert program.stderr
    program.stdin.write(many)
    program.stdin.close()
    assert program.stdout.readline().startswith("path,class")
    program.stdout.close()
    assert program.wait(600) == 0
    assert program.stderr.read() == ""


@pytest.mark.slow
def test_stopping_leaves_nothing_behind(stored_student, clouds):
    """Ctrl-C, which every process of the terminal gets."""
    many = "\n".join(["solids/rod/00.npy"] * 100_000)
    program = subprocess.Popen(
        [*COMMAND, stored_student, "-", "--out", "rows.csv", "--workers", "2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert program.stdin
    program.stdin.write(many)
    program.stdin.close()
    end = time.monotonic() + 120
    while not any(draft.stat().st_size > 1000 for draft in Path().glob(".rows.csv.*")):
        assert time.monotonic() < end
        time.sleep(0.1)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(60) == 130
    assert program.stderr
    assert program.stderr.read().splitlines()[-1] == "stopped"
    assert not list(Path().glob("*rows.csv*"))
    end = time.monotonic() + 30  # the dead are in the group until process 1 has asked after them
    while _alive(program.pid):
        assert time.monotonic() < end
        time.sleep(0.1)


def _alive(group: int) -> bool:
    """Whether a process is left in a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
