"""A new kind of teacher's file is one file (`moments_file`) and one line in a dict."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from moments_file import MOMENTS

from pointstill.augment import Clouds
from pointstill.data import open_dataset
from pointstill.errors import NoTeacherError
from pointstill.records import Store
from pointstill.teachers import load_teacher
from pointstill.teachers.resolve import FILE_KINDS

CLASSES = ["rod", "box", "ball"]  # its own order
WEIGHT = [[-9.0, -9.0, 9.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0]]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(FILE_KINDS, "moments", MOMENTS)  # the one line
    path = tmp_path / "linear.moments"
    path.write_text(json.dumps({"classes": CLASSES, "weight": WEIGHT}))
    return path


@pytest.mark.filterwarnings("ignore:teacher .* is right on:UserWarning")
def test_the_command_line_takes_it(teacher: Path, solids: Path, tmp_path: Path, cli: Command):
    out = tmp_path / "r.zarr"
    options = ["--data", solids, "--device", "cpu", "--limit", 9]
    code, _, err = cli(
        "record", "--teacher", teacher, *options, "--out", out, "--views", 1, "--points", 32,
        "--augment", "none",
    )  # fmt: skip
    assert code == 0, err
    loaded = load_teacher(teacher, classes=open_dataset(solids).classes)
    assert Store.open(out).attributes["teacher"]["fingerprint"] == loaded.fingerprint
    code, _, err = cli("evaluate", teacher, *options, "--json", tmp_path / "scores.json")
    assert code == 0, err
    assert teacher.name in (tmp_path / "scores.json").read_text()


def test_it_says_what_its_file_says(teacher: Path, solids: Path):
    data = open_dataset(solids)
    found = load_teacher(teacher, classes=data.classes)
    clouds = Clouds.of(data.train).plain(torch.arange(4), 50)
    moments = clouds.double().square().mean(1).numpy()
    own = moments @ np.array(WEIGHT).T
    expected = own[:, [CLASSES.index(name) for name in data.classes]]
    np.testing.assert_allclose(found.logits(clouds), expected, atol=1e-5)
    assert (found.parameters, found.counted) == (9, False)


def test_its_name_is_that_of_a_file(teacher: Path):
    with pytest.raises(NoTeacherError, match=r"none\.moments is not there"):
        load_teacher("none.moments", classes=CLASSES)
