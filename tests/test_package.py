"""`import pointstill` costs nothing, and its names are what they say, in any order of imports."""

import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pointstill
from pointstill.cli.shared_options import TRAIN

HEAVY = ("numpy", "torch", "onnxruntime", "h5py", "trimesh", "zarr", "scipy", "rich.progress")


def python(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light():
    found = python(f"import pointstill, sys; print([m for m in {HEAVY} if m in sys.modules])")
    assert found == "[]\n"


def test_help_is_light():
    """`--help` of the program and of each command: it loads none of what takes long to load."""
    program = """
import sys
from pointstill.__main__ import run
commands = [[], ["data"], ["data", "info"], ["train"], ["record"], ["records", "info"],
            ["distill"], ["evaluate"], ["export"], ["models"],
            ["predict"], ["demo"], ["runs"]]
for command in commands:
    assert run([*command, "--help"]) == 0, command
heavy = {"torch", "zarr", "onnxruntime", "trimesh", "h5py", "scipy", "matplotlib"} & {*sys.modules}
assert not heavy, heavy
"""
    assert "Examples" in python(program)


@pytest.mark.parametrize("name", pointstill.__all__)
def test_public_names_resolve(name):
    found = getattr(pointstill, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__name__ == name
    assert found.__doc__


def test_names_are_functions_whatever_was_imported_first():
    """An imported submodule becomes a name of the package: none may be called as a function is."""
    modules = {module.name for module in pkgutil.iter_modules(pointstill.__path__)}
    assert {"recording", "training", "evaluation", "deployment", "records"} <= modules
    assert not modules & set(pointstill.__all__)


def test_all_and_homes_agree():
    assert sorted(pointstill._HOMES) == sorted(pointstill.__all__)


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        _ = pointstill.recrod
    with pytest.raises(ImportError):
        from pointstill import nothing_of_the_kind  # noqa: F401


def test_python_dash_m():
    command = [sys.executable, "-m", "pointstill", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{pointstill.__version__}\n"


HIDDEN = """
import os, sys, torch
from pointstill.__main__ import run

def hide(package):
    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    sys.meta_path.insert(0, Hidden())

for case in sys.argv[1:]:
    package, *tokens = case.split()
    if not (child := os.fork()):  # each alone, but torch is imported once
        hide(package)
        sys.stderr = sys.stdout
        code = run(tokens)
        sys.stdout.flush()
        os._exit(code)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_package_of_an_extra_that_is_missing_is_named(solids, student_run, tmp_path):
    """With torch there and another package not; a run is classified with without ONNX's."""
    (tmp_path / "mine.py").write_text("import scipy\n")
    data, out = f"--data {solids}", f"--out {tmp_path / 'out'}"
    needing = {
        "fpsample": "models",
        "zarr": "records info r.zarr",
        "scipy": f"evaluate run {data}",
        "torchmetrics": f"evaluate run {data}",
        "onnx": f"export {student_run} {out}",
        "onnxscript": f"export {student_run} {out}",
        "safetensors": f"train --model stillnet-n {data} {out}",
        "lightning_fabric": f"train --model stillnet-n {data} {out}",
    }
    cases = [f"{package} {line}" for package, line in needing.items()]
    cases.append(f"scipy record --teacher mine:net {data} {out}")
    cases.append(f"onnx predict {student_run} {solids / 'rod' / '00.npy'}")
    command = [sys.executable, "-c", HIDDEN, *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    for package in needing:
        name = package.replace("_", "-")
        assert lines[:2] == [f"error: this needs {name}: pip install 'pointstill[train]'", "exit 2"]
        lines = lines[2:]
    assert lines[0].startswith(
        "error: teacher mine:net cannot be imported from mine (ModuleNotFound"
    )
    assert lines[1] == "exit 1"
    assert str(solids / "rod" / "00.npy") in "".join(lines[2:-1])
    assert lines[-1] == "exit 0"
    assert not (tmp_path / "out").exists()


def test_the_packages_of_the_extra_are_those_that_are_declared():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["train"]
    assert [re.match(r"[\w-]+", each)[0] for each in extra] == list(TRAIN)
