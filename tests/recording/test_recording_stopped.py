"""A recording that is told to end keeps what is done, says so, and goes on by the same command."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pointstill.records import Store
from rank_launcher import quiet

KINDS = [("SIGTERM", ()), *(("SIGHUP", ()), ("SIGINT", ()), ("SIGTERM", ("--engine", "ray")))]


@pytest.mark.parametrize(
    ("name", "engine"),
    [KINDS[0], *(pytest.param(*kind, marks=pytest.mark.slow) for kind in KINDS[1:])],
)
def test_what_is_recorded_stays(name, engine, solids, teacher_run, tmp_path):
    out, number = tmp_path / "r.zarr", signal.Signals[name]
    command = [sys.executable, "-m", "pointstill", "record", "--teacher", teacher_run]
    command += ["--data", solids, "--out", out, "--views", "1000", *engine]
    process = subprocess.Popen(
        [os.fspath(each) for each in command],
        stderr=subprocess.PIPE,
        text=True,
        env=quiet(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not (out.exists() and Store.open(out).committed().any()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 128 + number, err
    assert err.splitlines()[-1] == "stopped; the same command goes on from here"
    assert Store.open(out).committed().any()
    assert not list(tmp_path.glob(".*"))  # neither lock nor draft
