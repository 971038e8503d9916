"""Recording on Ray itself, on the loopback: whoever dies, the store is the same."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pointstill.data import Dataset, open_dataset
from pointstill.engines import ray as module
from pointstill.engines.ray import RayEngine
from pointstill.recording import record
from pointstill.records import Store, layout
from pointstill.records.store import SIDECAR

ray = module._ray(None)  # before anyone else imports it: that is when it learns of the loopback

NETWORK = """
import time
from pathlib import Path
import torch


class Slow(torch.nn.Module):
    def forward(self, points):
        time.sleep(0.01)
        if Path("broken").exists():
            raise ValueError("the network is broken")
        far = points.norm(dim=2)
        return torch.stack([far.mean(1), points[:, :, 2].amax(1), points[:, 0, 0]], 1)


build = Slow
"""


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for Ray's files, of a short name as sockets want it; nothing may be left running."""
    folder = Path(tempfile.mkdtemp(prefix="ps-"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield folder
    deadline = time.monotonic() + 20
    while (left := started_with(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left


def started_with(folder: Path) -> list[str]:
    """The processes that were started with a folder for Ray's files, zombies aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"RAY_TMPDIR={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def files(path: Path) -> dict[str, bytes]:
    """All files of a store but the sidecar."""
    found = {str(f.relative_to(path)): f for f in path.rglob("*") if f.is_file()}
    return {name: f.read_bytes() for name, f in sorted(found.items()) if name != SIDECAR}


class Toy:
    """Its logits tell the batch and the number of threads; it may kill its process."""

    spec, fingerprint, points, device = "toy", "f00d", 16, torch.device("cpu")

    def __init__(self, bomb: Path | None = None):
        self.bomb, self.calls = bomb, 0

    def logits(self, points: Tensor) -> Tensor:
        self.calls += 1
        if self.bomb and self.calls == 5 and not self.bomb.exists():  # within the second tile
            self.bomb.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        far = points.norm(dim=2)
        parts = far.mean(dim=1), points[:, :, 2].amax(dim=1), points[:, 0, 0]
        return torch.stack(parts, dim=1) + len(points) + torch.get_num_threads()


def test_two_workers_of_which_one_is_killed(sessions, solids, session_cache, tmp_path, monkeypatch):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    nodes: list[dict[str, Any]] = []
    hand_out = module._hand_out

    def watched(ray: Any, *arguments: Any) -> None:
        nodes.extend(ray.nodes())
        hand_out(ray, *arguments)

    monkeypatch.setattr(module, "_hand_out", watched)
    monkeypatch.setattr(layout, "TILE", 8)
    before, bomb = torch.get_num_threads(), tmp_path / "bomb"

    def load(device: str) -> tuple[Toy, Dataset]:
        assert device == "cpu"
        return Toy(bomb), open_dataset(solids)

    torch.set_num_threads(3)
    try:
        data, options = open_dataset(solids), {"views": 2, "batch_size": 3, "quiet": True}
        whole = record(Toy(), data, out=tmp_path / "whole.zarr", **options)  # type: ignore[arg-type]
        engine = RayEngine(load, workers=2)  # type: ignore[arg-type]
        store = record(Toy(), data, out=tmp_path / "ray.zarr", engine=engine, **options)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert files(store.path) == files(whole.path)
    who = [note["process"] for note in store.notes()]
    assert len(who) == 12
    assert who[0] == os.getpid()  # the first tile, around which the store is made
    assert len(set(who[1:])) in (2, 3)  # the dead one's successor may come too late for a tile
    assert int(bomb.read_text()) in who
    assert [node["NodeManagerAddress"] for node in nodes] == ["127.0.0.1"]
    assert not ray.is_initialized()


# By the command line, with the teacher's code in the folder where it is run.


@pytest.fixture
def start(solids: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `pointstill record` of 24 tiles, each about 0.05 s."""
    (tmp_path / "nets.py").write_text(NETWORK)

    def start(out: str, *more: object, data: Path = solids) -> subprocess.Popen[str]:
        line = f"-m pointstill record --teacher nets:build --data {data} --points 32 --views 24"
        command = [sys.executable, *line.split(), "--threads", "1", "--out", out, *map(str, more)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, cwd=tmp_path, start_new_session=True, **pipes)

    return start


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def tiles_of(store: Path, but: int = 0) -> list[int]:
    """The processes that noted a tile, in order; all but one."""
    if not (store / SIDECAR).exists():
        return []
    lines = (store / SIDECAR).read_text().splitlines()
    return [who for who in (json.loads(line)["process"] for line in lines) if who != but]


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def whole(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> dict[str, bytes]:
    assert ended(start("whole.zarr"))[0] == 0
    return files(tmp_path / "whole.zarr")


@pytest.mark.slow
def test_a_worker_is_killed_from_outside(sessions, start, whole, tmp_path):
    store, draw = tmp_path / "ray.zarr", random.Random(0)
    process = start("ray.zarr", "--engine", "ray", "--workers", 2)
    for tiles in (4, 9, 14):
        wait_for(lambda tiles=tiles: len(tiles_of(store, process.pid)) >= tiles, process)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(tiles_of(store, process.pid)[-1], signal.SIGKILL)
    code, out, err = ended(process)
    assert (code, out.splitlines()[0]) == (0, "recorded 1,152 records in ray.zarr"), err
    assert files(store) == whole
    assert "a worker died in view" in err


@pytest.mark.slow
def test_resumed_five_times(sessions, start, whole, tmp_path):
    """Four coordinators are killed, one is interrupted with all its processes; workers differ."""
    store = tmp_path / "ray.zarr"
    for life in range(5):
        before = len(tiles_of(store))
        process = start("ray.zarr", "--engine", "ray", "--workers", 1 + life % 2)
        wait_for(lambda: len(tiles_of(store)) > before + 2, process)  # noqa: B023
        if life == 2:
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
            code, _, err = ended(process)
            assert code == 130, err
            assert err.endswith("stopped; the same command goes on from here\n")
        else:
            process.kill()
            process.communicate()
        assert Store.open(store).missing()
    assert ended(start("ray.zarr", "--engine", "ray", "--workers", 2))[0] == 0
    assert files(store) == whole


@pytest.mark.slow
def test_four_workers_and_four_processes(sessions, start, whole, tmp_path):
    assert ended(start("ray.zarr", "--engine", "ray", "--workers", 4))[0] == 0
    assert files(tmp_path / "ray.zarr") == whole
    assert len(set(tiles_of(tmp_path / "ray.zarr"))) == 5
    parts = [start(f"{part}.zarr", "--part", f"{part}/4") for part in (1, 2, 3, 4)]
    assert [ended(part)[0] for part in parts] == [0] * 4
    line = "-m pointstill records merge 1.zarr 2.zarr 3.zarr 4.zarr --out joined.zarr"
    subprocess.run([sys.executable, *line.split()], cwd=tmp_path, check=True)
    assert files(tmp_path / "joined.zarr") == whole


@pytest.mark.slow
def test_a_running_cluster_by_its_address(sessions, start, whole, solids, tmp_path, make_solids):
    """Its workers live elsewhere, and refuse what is not the same; it stays up."""
    own = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "logging_level": "ERROR"}
    place = Path.cwd()
    os.chdir("/")
    try:
        about = ray.init(address="local", num_cpus=2, **own)
    finally:
        os.chdir(place)
    try:
        address = ("--engine", "ray", "--ray-address", about["address"], "--threads", 1)
        code, _, err = ended(start("ray.zarr", *address))
        assert code == 0, err
        assert files(tmp_path / "ray.zarr") == whole
        assert len(set(tiles_of(tmp_path / "ray.zarr"))) == 3  # a worker for each CPU

        (tmp_path / "broken").touch()
        (tmp_path / "ray.zarr/probe/c.5.0.0").unlink()
        code, _, err = ended(start("ray.zarr", *address))
        assert code == 1
        assert "teacher nets:build" in err.splitlines()[-1]
    finally:
        ray.shutdown()
