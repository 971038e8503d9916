"""The page of benchmarks says what its file of results says, and nothing else."""

import importlib.util
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
STEP = {
    "ce_ms": 1.5,
    "again_over_ce": 0.99,
    "replay_over_ready": 1.01,
    "replay_and_kd_over_ce": 1.0304,
    "forward_over_ce": 0.3,
}
RESULTS: dict[str, Any] = {
    "date": "2001-02-03",
    "processor": "abacus",
    "threads": 2,
    "torch": "2.9",
    "commit": "abc1234",
    "step": {"stillnet-n, primitives": STEP, "stillnet-s, primitives": STEP},
    "epoch": {
        "kd over ce": 1.031,
        "nwsd table over ce": 1.05,
        "nwsd records over ce": 1.04,
        "nwsd snapshot over ce": 1.36,
    },
    "record": {"pointnet": {"forward_ms": 10.0, "record_over_forward": 1.2, "record_ms": 12.0}},
    "online": {
        "student": "stillnet-s",
        "batch": 64,
        "from_records": {"step_ms": [1.5, 2.5], "peak_mib": [500, 520]},
        "in_the_loop": {
            "stub-1": {"step_ms": 3.0, "teacher_ms": 1.0, "peak_mib": 500},
            "pointnet": {"step_ms": 12.0, "teacher_ms": 10.0, "peak_mib": 1500},
        },
    },
}


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_ratio_stands_beside_its_goal(page):
    lines = page.markdown(RESULTS).splitlines()
    for line in (
        # As printed: 1.0304 is 1.030.
        "| step, primitives: replay and KD over CE on ready points | 1.030 | 1.030 | met |",
        "| epoch from records: KD over CE | 1.031 | 1.030 | missed by 0.001 |",
        "| epoch from records: NWSD table over CE | 1.050 | 1.050 | met |",
        "| epoch from records: NWSD snapshot over CE | 1.360 | 1.350 | missed by 0.010 |",
        "| recording `pointnet` (10.00 ms a view) over its bare forward "
        "| 1.200 | 1.050 | missed by 0.150 |",
        "| from records | 2.00 |  | 510 |  |",
        "| `stub-1` in the loop | 3.00 | 1.50 x | 500 | -10 |",
        "| `pointnet` in the loop | 12.00 | 6.00 x | 1,500 | +990 |",
    ):
        assert line in lines
    assert not any("stillnet-n" in line for line in lines if line.startswith("|"))


def test_the_page_says_what_was_measured_where_and_when(page):
    head = " ".join(page.markdown(RESULTS).split("## Ratios")[0].split())
    assert "on 2001-02-03: abacus, 2 threads, torch 2.9, commit `abc1234`" in head


def test_the_break_even(page):
    # 20 views of 12 ms, and 10 ms less an epoch: 240 / 10.
    assert page.break_even(RESULTS, "pointnet") == pytest.approx(24)
    assert "| `pointnet` | 12.00 | 10.00 | 24.0 |" in page.markdown(RESULTS)
    dearer = json.loads(json.dumps(RESULTS))
    dearer["online"]["in_the_loop"]["pointnet"]["step_ms"] = 1.9
    assert page.break_even(dearer, "pointnet") == float("inf")


def test_the_picture_is_drawn_and_the_same_again(page, tmp_path):
    for name in ("one.svg", "two.svg"):
        page.draw(RESULTS, tmp_path / name)
    content = (tmp_path / "one.svg").read_bytes()
    assert ET.fromstring(content).tag.endswith("svg")
    assert content == (tmp_path / "two.svg").read_bytes()


def test_the_page_in_the_docs_is_that_of_the_newest_results(page):
    files = sorted(page.RESULTS.glob("[0-9]*.json"))
    if not files:
        pytest.skip("no results of benchmarks here: run `make bench`")
    newest = json.loads(files[-1].read_text("utf-8"))
    assert page.PAGE.read_text("utf-8") == page.markdown(newest)
