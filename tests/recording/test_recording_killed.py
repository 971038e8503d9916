"""Recording that is killed and gone on with: no way of stopping it changes a byte."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pointstill.records.store import SIDECAR
from stand_ins import Killed, Toy, countdown, files, run, scans

pytestmark = pytest.mark.usefixtures("surroundings")


@pytest.fixture
def batched(tmp_path: Path, made: Path) -> Path:
    """A finished store of the teacher that sees its batch."""
    return Path(shutil.copytree(made / "batched", tmp_path / "batched.zarr"))


@pytest.fixture
def expected(made: Path) -> dict[str, bytes]:
    """The files of a store that was recorded in one go by the teacher that sees its batch."""
    return files(made / "batched")


ASKED = 22 + 4 + 3
"""Batches until the store is there: to try the teacher, for two tiles, for their shapes plain."""


@pytest.mark.parametrize("steps", [0, 1, 22, 24, ASKED, ASKED + 5])
def test_killed_in_the_teacher(tmp_path, data, expected, steps):
    out = tmp_path / "r.zarr"
    with pytest.raises(Killed):
        run(out, data, Toy(countdown(steps), batch=1.0), batch_size=3)
    with suppress(Killed):
        run(out, data, Toy(countdown(ASKED), batch=1.0), batch_size=3)
    # It exists by now, and keeps its batch size.
    assert files(run(out, data, Toy(batch=1.0), batch_size=7).path) == expected


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_of_any_write(tmp_path, data, expected, monkeypatch, every):
    """Whenever a file is made or moved, or a folder made; what is half written stays behind."""

    def killing(real, step):
        def method(self, *arguments, **options):
            if real.__name__ != "open" or (arguments and arguments[0] != "rb"):
                step()
            return real(self, *arguments, **options)

        return method

    for count in range(0, 999, every):
        out, step = tmp_path / f"{count}.zarr", countdown(count)
        with monkeypatch.context() as patch:
            for name in ("open", "replace", "rename", "mkdir"):
                patch.setattr(Path, name, killing(getattr(Path, name), step))
            try:
                run(out, data, Toy(batch=1.0), batch_size=3)
            except Killed:
                pass
            else:
                break
        assert files(run(out, data, Toy(batch=1.0), batch_size=3).path) == expected, count
    assert count > 60


def test_a_finished_store_is_left_alone(batched, data):
    stamps = {file: file.stat().st_mtime_ns for file in batched.rglob("*")}

    def never() -> None:
        pytest.fail("the teacher was asked again")

    assert not run(batched, data, Toy(never), batch_size=5).missing()
    assert {file: file.stat().st_mtime_ns for file in batched.rglob("*")} == stamps


def test_a_tile_without_its_mark_is_recorded_again(batched, data, expected):
    for chunk in ("probe/c.1.0.0", "logits/c.1.0.0", "probe/c.0.2.0"):
        (batched / chunk).unlink()
    (batched / "augment/c.0.2.0").write_bytes(b"garbage")
    (batched / "logits/c.0.0.0.1234.partial").write_bytes(b"half")
    assert files(run(batched, data, Toy(batch=1.0), batch_size=3).path) == expected


SIGKILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import stand_ins
from pointstill.data import open_dataset
from pointstill.records import layout as module
from pointstill.records.store import SIDECAR

folder, rounds = Path(sys.argv[2]), int(sys.argv[3])
module.TILE = 4
data = open_dataset(folder / "scans")
data.train
teacher = stand_ins.Toy(lambda: time.sleep(0.002), batch=1.0)
options = {"batch_size": 3, "views": 8}
random.seed(rounds)
kills = 0
while kills < rounds:
    out = folder / f"killed-{kills % 2}.zarr"
    child = os.fork()
    if not child:
        try:
            stand_ins.run(out, data, teacher, **options)
        finally:
            os._exit(0)
    time.sleep(random.uniform(0.01, 0.25))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kills += 1
    else:  # it had ended: begin anew
        shutil.rmtree(out)
for name in ("killed-0", "killed-1", "whole"):
    stand_ins.run(folder / f"{name}.zarr", data, teacher, **options)
"""


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_by_a_signal_at_random_moments(tmp_path, kills):
    """SIGKILL, with the disk waited for; two stores by turns, then compared file by file."""
    scans(tmp_path / "scans")
    arguments = [str(Path(__file__).parents[1]), str(tmp_path), str(kills)]
    command = [sys.executable, "-c", SIGKILLED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".partial", ".draft")]
    for name in ("killed-0", "killed-1"):
        difference = subprocess.run(
            [
                "diff",
                "-r",
                "-x",
                SIDECAR,
                tmp_path / f"{name}.zarr",
                tmp_path / "whole.zarr",
            ],
            capture_output=True,
            text=True,
        )
        assert (difference.returncode, difference.stdout, difference.stderr) == (0, "", "")
