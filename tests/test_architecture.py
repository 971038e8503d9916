"""The plan of the house is kept by the linter: an import that breaks a contract is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(checkout: Path) -> str:
    """What is broken; empty where all is well."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    where = os.environ | {"PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        command, cwd=checkout, env=where, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == ("0 broken" in done.stdout), done.stderr
    return done.stdout.partition("Broken contracts")[2]


def test_the_house_as_it_is(checkout):
    assert lint(checkout) == ""


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("training/loop.py", "from ..teachers import load_teacher", "training.loop"),
        ("data/dataset.py", "from ..augment import Clouds", "data.dataset"),
        ("records/store.py", "def f(): from ..recording.job import record", "records.store"),
        ("deployment/runtime.py", "import torch", "deployment.runtime -> torch"),
        ("recipe.py", "from .points import zorder", "points.zorder -> torch"),
        ("data/cache.py", "def f(): import scipy", "data.cache -> scipy"),
    ],
)
def test_an_import_that_breaks_a_contract(checkout, module, line, said):
    file = checkout / "src" / "pointstill" / module
    before = file.read_text()
    file.write_text(f"{before}\n{line}\n")
    try:
        assert f"pointstill.{said}" in lint(checkout)
    finally:
        file.write_text(before)


def test_few_modules_at_the_top():
    assert len([*(ROOT / "src" / "pointstill").glob("*.py")]) <= 8
