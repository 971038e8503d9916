"""What pages show of benchmarks is what the newest results say."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("sections")


def test_pages_are_filled_from_the_newest_results(made):
    for name in made.PAGES:
        page = (ROOT / "docs" / name).read_text()
        assert made.PART.search(page), name
        assert made.filled(page) == page, name


def test_a_process_pays_once_it_saves_its_start(monkeypatch):
    """By hand: 1 s a process, 10 ms a cloud alone, 12 ms in one of two."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    predict_files = importlib.import_module("predict_files")
    seconds = {
        "two files": {"predict_1": 2.0, "predict_2": 4.0},
        "npy": {"predict_1": 12.0, "predict_2": 16.0},
    }
    found = {"files": 1002, "seconds": seconds}
    cost = predict_files.costs(found, "npy")
    assert cost == pytest.approx({"start": 2, "process": 1, "cloud": 0.01, "shared": 0.012})
    # n clouds: 2 + 0.01 n alone; 2 + 1 + 0.012 n / 2 by two.
    assert predict_files.worth(found, "npy", 2) == pytest.approx(1 / (0.01 - 0.006))
