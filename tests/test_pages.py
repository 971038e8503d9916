"""What the documents name is there: files, modules and functions."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = (ROOT, ROOT / "docs", ROOT / "src" / "pointstill")
MADE = ("demo/", "out/", "runs/", "results/")
"""Where the documents' own examples write."""


def named(page: Path, pattern: str) -> list[str]:
    return sorted(set(re.findall(pattern, page.read_text())))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files(page):
    ours = named(page, r"\b((?:src|tests|benchmarks|examples|recipes|docs)/[\w./-]*\w)")
    ours += named(page, r"`([a-z_]+(?:/[a-z_]+)*\.py)`")
    rooms = "|".join(each.name for each in (ROOT / "src" / "pointstill").iterdir() if each.is_dir())
    ours += named(page, rf"`((?:{rooms})/[a-z_]+)`")
    missing = [
        name
        for name in ours
        if not name.startswith(MADE)
        and not any((folder / f"{name}{end}").exists() for folder in FOLDERS for end in ("", ".py"))
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_python(page):
    for name in named(page, r"\bpointstill(?:\.[A-Za-z_]+)+\b(?!\d)"):
        module, _, leaf = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), leaf), name
