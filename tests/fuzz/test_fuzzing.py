"""The short campaign of CI, and that the harness finds what it is there to find."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import campaign
from .campaign import COLUMNS, draw_input
from .mutations import mutated
from .page import BEGIN, FIGURES, PAGE, filled, text
from .second_readers import disagreement
from .seeds import Seed, clouds
from .targets import TARGETS

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own: what is forked must not have the threads of other tests."""
    command = [sys.executable, "-m", *map(str, arguments)]
    where = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=where, capture_output=True, text=True, check=False, timeout=500
    )


def test_500_inputs(student_onnx, tmp_path):
    """No abort, no hang, no foreign exception, nothing else opened, no change unseen."""
    figures = tmp_path / "figures.json"
    options = ["--count", 500, "--student", student_onnx, "--json", figures]
    done = run("tests.fuzz", *options, "--found", tmp_path / "found")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_text())["rows"]
    total = {name: sum(row.get(name, 0) for row in rows.values()) for name in COLUMNS}
    assert (total["inputs"], total["faults"]) == (500, 0)
    assert total["read"] + total["refused"] == 500
    assert total["read"] > 50
    assert total["agreed"] > 50


def test_faults_are_found():
    done = run("tests.fuzz.faulty")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "read": "read",
        "refused": "refused",
        "several lines": "message",
        "exception": "exception",
        "end": "exception",
        "abort": "abort",
        "memory": "memory",
        "time": "time",
        "time of a child": "time",
        "noise": "words",
        "warning": "words",
        "opening": "opened",
        "opening in C": "opened",
        "elsewhere": "opened",
        "running": "opened",
        "importing": "opened",
    }


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return [
        Seed(name, "reader", {f"input.{suffix}": content}, f"input.{suffix}", (f"input.{suffix}",))
        for name, content in clouds().items()
        for suffix in [name.partition("/")[0]]
    ]


def test_the_same_numbers_are_the_same_input(seeds, monkeypatch):
    monkeypatch.setattr(campaign, "TARGETS", {"reader": TARGETS["reader"]})
    drawn = [draw_input(seeds, 7, number) for number in range(200)]
    again = [draw_input(seeds, 7, number) for number in range(200)]
    assert drawn == again
    assert len({each.files[each.seed.main] for each in drawn if each.seed.main in each.files}) > 150
    assert drawn != [draw_input(seeds, 8, number) for number in range(200)]


def test_damage_is_small_or_large(seeds):
    """Every way changes something, and none makes megabytes of kilobytes."""
    draw = np.random.default_rng(0)
    pool = [next(iter(seed.files.values())) for seed in seeds]
    ways = set()
    for number in range(3000):
        seed = seeds[number % len(seeds)]
        content, way = mutated(draw, pool[number % len(seeds)], Path(seed.main).suffix[1:], pool)
        ways.add(way)
        assert len(content) < 1 << 20
    assert {"flip", "cut", "splice", "number", "nest", "header", "phrase", "leaf"} <= ways


def test_second_readers_agree_on_the_sound(seeds, tmp_path):
    from pointstill.data.readers import read_cloud

    agreed = set()
    for seed in seeds:
        if seed.name in ("npy/pickle", "glb/external", "obj/full"):
            continue
        path = tmp_path / seed.main
        path.write_bytes(seed.files[seed.main])
        if not seed.name.startswith("npy/is_npz"):
            said = disagreement(path, read_cloud(path))
            assert not said, seed.name
            agreed |= {seed.name.partition("/")[0]} if said == "" else set()
    assert agreed >= {"npy", "las", "pcd", "txt", "csv", "pts", "xyz", "off", "obj", "glb"}


@pytest.mark.parametrize("suffix", ["xyz", "npy", "obj", "glb"])
def test_second_readers_disagree_with_the_wrong(seeds, suffix, tmp_path):
    from pointstill.data.readers import read_cloud

    seed = next(each for each in seeds if each.name.startswith(f"{suffix}/"))
    path = tmp_path / seed.main
    path.write_bytes(seed.files[seed.main])
    points = np.array(read_cloud(path), np.float64)
    assert disagreement(path, points) == ""
    assert disagreement(path, points[:, ::-1])
    if suffix in ("xyz", "npy"):
        assert disagreement(path, points[1:])
    assert disagreement(path, points * (1.5, 1, 1))


def test_the_page_is_made_from_its_figures():
    page = PAGE.read_text()
    assert BEGIN in page
    if FIGURES.exists():
        figures = json.loads(FIGURES.read_text())
        assert filled(page, figures) == page


def test_figures_become_a_table():
    rows = {"ply": {"inputs": 1200, "read": 800, "refused": 399, "faults": 1, "abort": 1}}
    about = {"seed": 0, "inputs": 1200, "seconds": 90, "date": "a day", "machine": "one"}
    said = text(about | {"pointstill": "1", "rows": rows, "faults": {"ply: abort: SIGABRT": 1}})
    assert "| ply | 1,200 | 800 | 399 | 1 | 0 | 0 |" in said
    assert said.endswith("Faults: 1 abort.")
