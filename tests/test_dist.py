"""Wheel and sdist, built as `make dist` does, and installed where nothing else is."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pointstill import __version__

ROOT = Path(__file__).parents[1]
STUDENT = ROOT / "tests/stored/nwsd.onnx"
NAME = f"pointstill-{__version__}"
pytestmark = pytest.mark.slow


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    """A command in an environment that shows nothing of this one."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=clean, **{"cwd": "/"} | options
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `make dist`, but for the wheel of the pages."""
    out = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "pointstill"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs"))
    run(sys.executable, "-m", "build", "--outdir", out, source)
    return out


@pytest.fixture(scope="module")
def bare(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    wheel, limits = dist / f"{NAME}-py3-none-any.whl", ROOT / "constraints.txt"
    run(folder / "bin/pip", "install", "--quiet", "--constraint", limits, wheel)
    return folder / "bin"


def test_what_is_in_them(dist):
    assert {path.name for path in dist.iterdir()} == {f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"}
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
        assert wheel.testzip() is None
    made = {path for path in names if path.startswith("pointstill/")}
    package = ROOT / "src"
    there = {
        str(path.relative_to(package))
        for path in (package / "pointstill").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert made == there
    assert {path.split("/")[0] for path in names} == {"pointstill", f"{NAME}.dist-info"}
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        kept = {member.name.removeprefix(f"{NAME}/") for member in archive}
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "PKG-INFO"} <= kept
    assert {f"src/{path}" for path in there} <= kept


def test_a_bare_environment_classifies(bare, tmp_path):
    assert run(bare / "pointstill", "--version").stdout == f"{__version__}\n"
    cloud = np.random.default_rng(0).normal(size=(100, 3))
    np.save(tmp_path / "cloud.npy", cloud)
    words = ("predict", STUDENT, tmp_path / "cloud.npy", "--format", "json")
    (shown,) = json.loads(run(bare / "pointstill", *words).stdout)
    assert shown["path"] == str(tmp_path / "cloud.npy")
    program = (
        "import sys; from pointstill import Classifier; import numpy as np;"
        "print(*Classifier(sys.argv[1]).predict(np.load(sys.argv[2]))[0]);"
        "assert 'torch' not in sys.modules"
    )
    asked = run(bare / "python", "-c", program, STUDENT, tmp_path / "cloud.npy")
    name, probability = asked.stdout.split()
    assert name == shown["class"]
    assert float(probability) == pytest.approx(shown["probability"], abs=1e-6)
    named = run(bare / "pointstill", "predict", "primitives-n", tmp_path / "cloud.npy").stdout
    assert "cloud.npy" in named
    assert "torch" not in run(bare / "pip", "list").stdout


def test_an_extra_is_added_to_what_is_installed(bare):
    """`pip install 'pointstill[serve]'`, as messages say, looks for pointstill nowhere else."""
    limits = ROOT / "constraints.txt"
    done = run(bare / "pip", "install", "--constraint", limits, "pointstill[serve]")
    assert "Requirement already satisfied: pointstill[serve]" in done.stdout
    assert "Collecting pointstill" not in done.stdout
    assert "--port" in run(bare / "pointstill", "serve", "--help").stdout


def test_the_sdist_installs(dist, bare):
    run(
        bare / "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--force-reinstall",
        dist / f"{NAME}.tar.gz",
    )
    assert run(bare / "pointstill", "--version").stdout == f"{__version__}\n"
