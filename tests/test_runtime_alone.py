"""What is said of processes that classify is plausible, and the middle of what they said."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_memory_grows():
    *_, newest = sorted((ROOT / "benchmarks/results").glob("runtime_alone-*.json"))
    for run in json.loads(newest.read_text())["runs"]:
        assert run["python_mib"] < run["imported_mib"] <= run["answered_mib"] <= run["at_last_mib"]


def test_medians_are_of_figures_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made = importlib.import_module("runtime_alone")
    runs = [{"open_s": each, "model": "stillnet-n", "points": 64} for each in (3.0, 1.0, 2.0)]
    assert made.middle(runs) == {"open_s": 2.0, "model": "stillnet-n", "points": 64}
