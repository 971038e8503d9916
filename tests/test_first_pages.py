"""The pages that a newcomer reads first: their commands and Python run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FEW = {"--epochs": "1", "--views": "2", "--points": "64"}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return found


def run(page: str, folder: Path, *more: str) -> list[str]:
    """What the commands of a page print, with few epochs, views and points."""
    shown = []
    for line in "".join(blocks(page, "console")).splitlines():
        words = shlex.split(line.removeprefix("$ "))
        words = [FEW.get(before, word) for before, word in zip(["", *words], words, strict=False)]
        start = {"pointstill": ["-m", "pointstill"], "python": []}[words[0]]
        extra = more if words[1] in ("train", "record", "distill") else ()
        done = subprocess.run(
            [sys.executable, *start, *words[1:], *extra],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        shown.append(done.stdout)
    return shown


def test_the_first_cloud(tmp_path, monkeypatch, capsys):
    _, answer = run("first_cloud.md", tmp_path)
    assert "chair.xyz" in answer
    (program,) = blocks("first_cloud.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "first_cloud.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"\S+ +\d+\.\d%", line) for line in lines)


def test_what_install_ends_with(tmp_path):
    version, told = run("install.md", tmp_path)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version)
    assert "Examples" in told


def test_on_the_robot(monkeypatch):
    (program,) = blocks("on_the_robot.md", "python")
    monkeypatch.chdir(ROOT / "tests/stored")
    program = program.replace("student.onnx", "nwsd.onnx").replace("reject=True", "reject=False")
    names: dict = {"points": np.random.default_rng(0).normal(size=(99, 3))}
    exec(compile(program, "on_the_robot.md", "exec"), names)
    assert names["name"] in names["classifier"].classes


@pytest.mark.slow
def test_own_scans(tmp_path, solids):
    """The page's classes are chair and table; those of the test take their places."""
    names = {"ball": "chair", "box": "table", "rod": "lamp"}
    for old, new in names.items():
        shutil.copytree(solids / old, tmp_path / "scans" / new)
    text = (ROOT / "docs/own_scans.md").read_text()
    assert "scans/chair/0001.ply" in text
    points = np.load(next((tmp_path / "scans/chair").iterdir()))
    (tmp_path / "scans/chair/0001.ply").write_text(
        f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n"
        + "".join(f"property float {axis}\n" for axis in "xyz")
        + "end_header\n"
        + "\n".join(" ".join(map(str, point)) for point in points.tolist())
        + "\n"
    )
    shown = run("own_scans.md", tmp_path, "--batch-size", "16")
    assert len(shown) == 8
    assert "lamp" in shown[0]
    assert "exact McNemar" in shown[5]
    assert "scans/chair/0001.ply" in shown[7]
