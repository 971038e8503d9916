"""Two ranks, started by torchrun, of a command of pointstill or of `rank.py`; and what they said.

The ranks are real: processes which compute together by gloo.
"""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node 2"
DISTILL = "-m pointstill distill --student stillnet-n"
TRAIN = "-m pointstill train --model stillnet-n"
WORKER = Path(__file__).with_name("rank.py")
COMMON = {"epochs": 5, "batch_size": 9, "learning_rate": 1e-4, "device": "cpu"}
"""43 shapes in batches of 9 and 8, so that shards differ in size; five epochs of three views. At
the usual rate of 2e-3 a change of the first weights by 1e-7 grows to 0.1 in three epochs."""
CASES = {
    "table": {"loss": "nwsd", "past": "table", "ema": 0.9},
    "ce": {"loss": "ce", "smoothing": 0.1},
    "kd": {"loss": "kd", "val": 0.0},
    "snapshot": {"loss": "nwsd", "past": "snapshot", "snapshot_age": 1},
    "ema": {"loss": "nwsd", "past": "ema", "past_decay": 0.9},
    "records": {"loss": "nwsd", "past": "records", "form": "guard"},
}


def launched(
    *arguments: object, by: str = TORCHRUN, cwd: Path | None = None, **environment: object
) -> subprocess.CompletedProcess:
    """Run a program in two ranks to its end."""
    command = [sys.executable, *by.split(), *map(str, arguments)]
    # A session of its own: whatever happens, no rank outlives the test.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=cwd,
        env=quiet() | {name: str(value) for name, value in environment.items()},
    )
    try:
        out, err = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def quiet() -> dict[str, str]:
    """The environment, without torch's warnings about the names of this machine."""
    return os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_NUM_THREADS": "1"}


def flags(options: dict[str, object]) -> list[str]:
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
    return [token for pair in pairs for token in pair]


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """What pointstill, not torchrun, said of a failure."""
    assert done.returncode == 1
    assert "terminate called" not in done.stderr  # each exits, and none aborts
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


def machines(folder: Path, *commands: list[object]) -> list[subprocess.CompletedProcess]:
    """A rank for each command, each by a torchrun of its own as on machines that share nothing."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = f"-m torch.distributed.run --nnodes {len(commands)} --rdzv-backend c10d --rdzv-id 1 "
    meeting += f"--rdzv-endpoint localhost:{port} --local-addr localhost"
    with ThreadPoolExecutor() as pool:
        places = [folder / str(number) for number in range(len(commands))]
        for place in places:
            place.mkdir()
        runs = [
            pool.submit(launched, *command, by=meeting, cwd=place, POINTSTILL_CACHE=place / "cache")
            for command, place in zip(commands, places, strict=True)
        ]
        return [run.result() for run in runs]
