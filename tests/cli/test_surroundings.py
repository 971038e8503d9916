"""What the command line does where something around it is unusual: as users start it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pointstill.errors import PointstillError, printable
from pointstill.evaluation import profiling
from pointstill.reporting.tables import draw_table, print_tables

ESCAPE = "\x1b[31m"


def pointstill(*tokens: object, before: str = "pass", **options) -> subprocess.CompletedProcess:
    start = f"{before}; from pointstill.__main__ import main; main()"
    command = [sys.executable, "-c", start, *map(os.fspath, tokens)]
    return subprocess.run(
        command, capture_output=True, timeout=200, env=os.environ | {"LC_ALL": "C.UTF-8"}, **options
    )


@pytest.fixture
def steering(solids: Path, tmp_path: Path) -> Path:
    """A data set of which a class would colour the terminal."""
    folder = shutil.copytree(solids, tmp_path / f"d{ESCAPE}ata")
    next(each for each in sorted(folder.iterdir()) if each.is_dir()).rename(
        folder / f"cl{ESCAPE}ass"
    )
    return folder


def test_nothing_steers_the_terminal(steering, tmp_path):
    done = pointstill("data", "info", steering)
    assert done.returncode == 0, done.stderr
    assert rb"cl\x1b[31mass" in done.stdout
    for tokens, said in [
        (["predict", tmp_path / f"{ESCAPE}.onnx", "x.npy"], rb"\x1b[31m.onnx"),
        (["data", "info", steering, f"--x{ESCAPE}"], rb"\x1b[31m"),
        (["data", "info", tmp_path / f"no{ESCAPE}"], rb"no\x1b[31m"),
    ]:
        more = pointstill(*tokens)
        assert more.returncode == 2
        assert said in more.stderr
        assert b"\x1b" not in more.stdout + more.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def test_tables_and_errors_are_printable(capsys):
    print_tables(draw_table([f"a{ESCAPE}"], [[f"b{ESCAPE}"]], title=ESCAPE, caption=ESCAPE))
    assert "\x1b" not in capsys.readouterr().out
    error = PointstillError(f"is {ESCAPE}", where=f"x{ESCAPE}\r", fix="y\u202e")
    assert str(error) == r"x\x1b[31m\r is \x1b[31m: y\u202e"
    assert printable("été\n\tتجربة \U0001f600") == "été\n\tتجربة \U0001f600"


def test_a_folder_that_is_gone(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    done = pointstill("models", before=f"import os; os.rmdir({str(folder)!r})", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == b"error: the current folder is gone: change to one that is there\n"


def test_an_empty_home(tmp_path, solids):
    """The cache is not at the root of the disk, which `HOME=""` would otherwise stand for."""
    before = "import os; os.environ['HOME'] = ''; os.environ.pop('POINTSTILL_CACHE', 0)"
    show = "from pointstill.data.cache import default_root; print(default_root())"
    done = subprocess.run(
        [sys.executable, "-c", f"{before}; {show}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("/.cache/pointstill\n")
    assert done.stdout != "/.cache/pointstill\n"


def test_clouds_are_classified_without_flock(stored_student, solids):
    """As on Windows, which has no `fcntl`."""
    cloud = next(solids.rglob("*.npy"), None) or next(each for each in solids.rglob("*.off"))
    done = pointstill(
        "predict", stored_student, cloud, before="import sys; sys.modules['fcntl'] = None"
    )
    assert done.returncode == 0, done.stderr
    assert cloud.name.encode() in done.stdout


@pytest.fixture
def stored_student() -> Path:
    return Path(__file__).parents[1] / "stored" / "nwsd.onnx"


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("model name\t: Xeon\nmodel name\t: Xeon\n", "Xeon ("),
        ("processor\t: 0\nCPU part\t: 0xd0c\nHardware\t: BCM\nModel\t\t: Pi 4\n", "Pi 4 ("),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "aarch64 ("),
    ],
)
def test_the_name_of_the_processor(monkeypatch, lines, name):
    monkeypatch.setattr(Path, "read_text", lambda *_: lines)
    monkeypatch.setattr(profiling.platform, "processor", lambda: "")
    monkeypatch.setattr(profiling.platform, "machine", lambda: "aarch64")
    assert profiling.processor().startswith(name)
