"""A signal ends a training between two steps with its state saved; the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pointstill.errors import Stopped
from pointstill.run import STATE, WEIGHTS, Run
from pointstill.training.stopping import OnSignal, Stop
from rank_launcher import TORCHRUN, quiet

COMMAND = "-m pointstill train --model stillnet-n --batch-size 4 --device cpu --val 0 --limit 24"


def begun(out: Path, solids: Path, *more: str, epochs: int = 10_000) -> subprocess.Popen:
    """A training that has made its first steps, as a process group of its own."""
    tokens = [*COMMAND.split(), "--data", solids, "--out", out, "--epochs", str(epochs)]
    process = subprocess.Popen(
        [*more, *map(str, tokens)] if more else [sys.executable, *map(str, tokens)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not (out / STATE).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(each, marks=pytest.mark.slow) for each in ("SIGINT", "SIGHUP"))],
)
def test_a_training_ends_with_its_state_saved(name, solids, tmp_path):
    process = begun(tmp_path / "run", solids)
    number = signal.Signals[name]
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 128 + number
    assert "the same command goes on from here" in err.splitlines()[-1]
    state = Run(tmp_path / "run").load_state()
    assert (
        f"stopped at epoch {state['epoch'] + 1}, step {state['step']} of 6, with all of it saved"
        in err.splitlines()[-1]
    )
    assert not [each.name for each in (tmp_path / "run").glob(".*")]  # neither lock nor draft


@pytest.mark.slow
def test_nohup_stays(solids, tmp_path):
    process = begun(tmp_path / "run", solids, "nohup", sys.executable)
    process.send_signal(signal.SIGHUP)
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("to", ["torchrun", "a rank"])
def test_ranks_end_together(name, to, solids, tmp_path):
    """Whether torchrun is told, which tells them all, or one of them alone."""
    out = tmp_path / "run"
    process = begun(out, solids, sys.executable, *TORCHRUN.split())
    if to == "torchrun":
        process.send_signal(signal.Signals[name])
    else:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.Signals[name])
    _, err = process.communicate(timeout=100)
    assert process.returncode
    assert err.count("the same command goes on from here") == 1
    assert "terminate called" not in err
    state = Run(out).load_state()
    assert len(state["ranks"]) == 2
    at = f"epoch {state['epoch'] + 1}, step {state['step']} of 6"
    assert f"stopped at {at}, with all of it saved" in err
    assert not (out / WEIGHTS).exists()


def test_a_second_signal_ends_at_once():
    before = signal.getsignal(signal.SIGTERM)
    started = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        with OnSignal() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM
            with pytest.raises(Stopped) as caught:
                os.kill(os.getpid(), signal.SIGINT)
            assert caught.value.number == signal.SIGINT
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, started)


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with OnSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_library_leaves_signals_alone():
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Stop() as stop:
        after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        assert (after, stop.number) == (before, 0)
