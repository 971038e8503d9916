"""The table of costs on the page is that of the newest results."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_has_the_table_of_the_newest_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made = importlib.import_module("runtime_alone")
    *_, newest = sorted((ROOT / "benchmarks/results").glob("runtime_alone-*.json"))
    found = json.loads(newest.read_text())
    page = (ROOT / "docs/on_the_robot.md").read_text()
    assert made.table(found) in page
    assert f"Measured {found['date']}" in page
    assert f"medians of {found['processes']}" in page
    for run in found["runs"]:
        assert run["python_mib"] < run["imported_mib"] <= run["answered_mib"] <= run["at_last_mib"]


def test_medians_are_of_figures_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made = importlib.import_module("runtime_alone")
    runs = [{"open_s": each, "model": "stillnet-n", "points": 64} for each in (3.0, 1.0, 2.0)]
    assert made.middle(runs) == {"open_s": 2.0, "model": "stillnet-n", "points": 64}
