"""`import pointstill` costs nothing, and its names are what they say, in any order of imports."""

import inspect
import pkgutil
import subprocess
import sys
import time

import pytest

import pointstill

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
    """`--help` of the program and of each command; the time is told, not tested."""
    program = """
import sys, time
from pointstill.__main__ import run
commands = [[], ["data"], ["data", "info"], ["train"], ["record"], ["records", "info"],
            ["distill"], ["evaluate"], ["export"], ["models"],
            ["predict"], ["demo"]]
for command in commands:
    assert run([*command, "--help"]) == 0, command
heavy = [name for name in ("torch", "zarr", "onnxruntime", "trimesh") if name in sys.modules]
assert not heavy, heavy
print(f"cpu {time.process_time():.2f} s", file=sys.stderr)
"""
    assert "Examples" in python(program)


def test_help_alone_is_quick():
    started = time.perf_counter()
    python("import sys; from pointstill.__main__ import run; run(['--help'])")
    print(f"pointstill --help took {time.perf_counter() - started:.2f} s of this busy machine")


@pytest.mark.parametrize("name", pointstill.__all__)
def test_public_names_resolve(name):
    found = getattr(pointstill, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__name__ == name
    assert found.__doc__


def test_names_are_functions_whatever_was_imported_first():
    """An imported submodule becomes a name of the package: none may be called as a function is."""
    modules = {module.name for module in pkgutil.iter_modules(pointstill.__path__)}
    assert {"recording", "distillation", "training", "evaluation", "exporting"} <= modules
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
