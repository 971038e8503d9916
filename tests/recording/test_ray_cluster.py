"""Recording on Ray itself, on the loopback: whoever dies, the store is the same."""

import contextlib
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
import ray_stand_ins
import torch
from ray_stand_ins import Toy
from torch import Tensor

import stand_ins
from pointstill.data import Dataset, open_dataset
from pointstill.errors import RecordsError
from pointstill.recipe import RecordRecipe
from pointstill.recording import ray_engine as module
from pointstill.recording.job import record
from pointstill.recording.ray_engine import RayEngine
from pointstill.records import Store, layout
from pointstill.records.store import SIDECAR
from stand_ins import files

pytestmark = pytest.mark.slow  # a cluster ends when its last agent does, a minute later and more

NETWORK = """
import time
from pathlib import Path
import torch


class Slow(torch.nn.Module):
    def forward(self, points):
        time.sleep(0.01)
        if len(points) > 2 and Path("broken").exists():  # not on the dry run of 2 clouds
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
    # Agents of a Ray whose coordinator was killed end by themselves, some after more than a minute.
    deadline = time.monotonic() + 120
    while (left := started_with(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left


@pytest.fixture
def ray() -> Any:
    """Ray itself, which learns of the loopback when it is imported, so by the engine."""
    return module._ray(None)


@pytest.fixture
def by_value(ray: Any) -> Iterator[None]:
    """Let workers know what is defined here and in what tests share."""
    modules = sys.modules[__name__], ray_stand_ins, stand_ins
    for each in modules:
        ray.cloudpickle.register_pickle_by_value(each)
    yield
    for each in modules:
        ray.cloudpickle.unregister_pickle_by_value(each)


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


class Mortal(Toy):
    """A teacher that may kill its process, and takes its time."""

    def __init__(self, bomb: Path | None = None):
        super().__init__()
        self.bomb, self.calls = bomb, 0

    def logits(self, points: Tensor) -> Tensor:
        self.calls += 1
        if self.bomb and self.calls == 5:  # within the second tile
            with contextlib.suppress(FileExistsError), self.bomb.open("x") as file:  # one alone
                file.write(str(os.getpid()))
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return super().logits(points)


def test_two_workers_of_which_one_is_killed(ray, sessions, by_value, solids, tmp_path, monkeypatch):
    nodes: list[dict[str, Any]] = []
    hand_out = module._hand_out

    def watched(ray: Any, *arguments: Any) -> None:
        nodes.extend(ray.nodes())
        hand_out(ray, *arguments)

    monkeypatch.setattr(module, "_hand_out", watched)
    monkeypatch.setattr(layout, "TILE", 8)
    before, bomb = torch.get_num_threads(), tmp_path / "bomb"

    def load(device: str) -> tuple[Mortal, Dataset]:
        assert device == "cpu"
        return Mortal(bomb), open_dataset(solids)

    torch.set_num_threads(3)
    try:
        data = open_dataset(solids)
        options = {"recipe": RecordRecipe(views=2, batch_size=3), "quiet": True}
        whole = record(Mortal(), data, out=tmp_path / "whole.zarr", **options)  # type: ignore[arg-type]
        engine = RayEngine(load, workers=2)  # type: ignore[arg-type]
        store = record(Mortal(), data, out=tmp_path / "ray.zarr", engine=engine, **options)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert files(store.path) == files(whole.path)
    told = who(store.path)
    assert len(told) == 12
    assert told[0] == os.getpid()  # the first tile, around which the store is made
    assert len(set(told[1:])) in (2, 3)  # the dead one's successor may come too late for a tile
    assert int(bomb.read_text()) in told
    assert [node["NodeManagerAddress"] for node in nodes] == ["127.0.0.1"]
    assert not ray.is_initialized()


# By the command line, with the teacher's code in the folder where it is run.


class Location:
    """A folder in which `pointstill record` is started, and what one process made there."""

    def __init__(self, folder: Path, data: Path):
        self.folder, self.data = folder, data
        (folder / "nets.py").write_text(NETWORK)
        code, _, err = ended(self.start("whole.zarr"))
        assert code == 0, err
        self.whole = files(folder / "whole.zarr")

    def start(self, out: str, *more: object) -> subprocess.Popen[str]:
        """Record 24 tiles, each about 0.05 s."""
        line = f"-m pointstill record --teacher nets:build --layout bn3 --data {self.data} "
        line += f"--points 32 --views 24 --threads 1 --out {out} "
        command = [sys.executable, *line.split(), *map(str, more)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command, text=True, cwd=self.folder, start_new_session=True, **pipes
        )


@pytest.fixture(scope="module")
def place(solids: Path, tmp_path_factory: pytest.TempPathFactory) -> Location:
    return Location(tmp_path_factory.mktemp("place"), solids)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def who(store: Path) -> list[int]:
    """The processes that noted a tile, in order."""
    if not (store / SIDECAR).exists():
        return []
    return [json.loads(line)["process"] for line in (store / SIDECAR).read_text().splitlines()]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_worker_is_killed_from_outside(sessions, place):
    store, draw = place.folder / "killed.zarr", random.Random(0)
    process = place.start("killed.zarr", "--engine", "ray", "--workers", 2)
    for tiles in (4, 9, 14):
        wait_for(lambda tiles=tiles: len(who(store)) > tiles, process)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(who(store)[-1], signal.SIGKILL)
    code, out, err = ended(process)
    assert (code, out.splitlines()[0]) == (0, "recorded 1,152 records in killed.zarr"), err
    assert files(store) == place.whole
    assert err.count("a worker died in view") == 3


def test_resumed_five_times(sessions, place):
    """Coordinators are killed, or interrupted with all of their processes; engines take turns."""
    store = place.folder / "resumed.zarr"
    on_ray = ("--engine", "ray", "--workers", 2)
    for engine, signed in (
        (on_ray, signal.SIGKILL),
        ((), signal.SIGKILL),
        (on_ray, signal.SIGINT),
        ((), signal.SIGINT),
        (on_ray, signal.SIGKILL),
    ):
        before = len(who(store))
        process = place.start("resumed.zarr", *engine)
        wait_for(lambda before=before: len(who(store)) > before + 2, process)
        if signed == signal.SIGKILL:
            process.kill()
            process.communicate()
        else:
            os.killpg(process.pid, signed)  # as Ctrl-C does
            code, _, err = ended(process)
            assert code == 130, err
            assert err.endswith("stopped; the same command goes on from here\n")
        assert Store.open(store).missing()
    assert ended(place.start("resumed.zarr"))[0] == 0
    assert files(store) == place.whole


def test_four_workers_and_four_processes(sessions, place):
    code, _, err = ended(place.start("four.zarr", "--engine", "ray", "--workers", 4))
    assert code == 0, err
    assert files(place.folder / "four.zarr") == place.whole
    assert len(set(who(place.folder / "four.zarr"))) == 5  # with the coordinator, for one tile
    parts = [place.start(f"{part}.zarr", "--part", f"{part}/4") for part in (1, 2, 3, 4)]
    assert [ended(part)[0] for part in parts] == [0] * 4
    line = "-m pointstill records merge 1.zarr 2.zarr 3.zarr 4.zarr --out joined.zarr"
    subprocess.run([sys.executable, *line.split()], cwd=place.folder, check=True)
    assert files(place.folder / "joined.zarr") == place.whole


def test_a_running_cluster_by_its_address(ray, sessions, by_value, place, make_solids, tmp_path):
    """Its workers start elsewhere, and refuse what is not the same; it stays up."""
    own = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "logging_level": "ERROR"}
    with contextlib.chdir("/"):
        about = ray.init(address="local", num_cpus=2, log_to_driver=False, **own)
    try:
        address = ("--engine", "ray", "--ray-address", about.address_info["address"])
        code, _, err = ended(place.start("there.zarr", *address))
        assert code == 0, err
        store = place.folder / "there.zarr"
        assert files(store) == place.whole
        assert len(set(who(store))) == 3  # a worker for each CPU, and the coordinator

        # What the teacher raises there.
        (store / "probe/c.5.0.0").unlink()
        (place.folder / "broken").touch()
        code, _, err = ended(place.start("there.zarr", *address))
        assert (code, len(Store.open(store).missing())) == (1, 1)
        assert err.splitlines()[-1].startswith(f"error: worker on {os.uname().nodename}: teacher")
        assert "the network is broken" in err.splitlines()[-1]

        # Other data there than here.
        other = make_solids(tmp_path / "other", first_seed=7)
        engine = RayEngine(lambda device: (Mortal(), open_dataset(other)))  # type: ignore[arg-type]
        options = {"recipe": RecordRecipe(views=2), "engine": engine, "quiet": True}
        with pytest.raises(RecordsError, match=r"worker on .* something else \(data\.fingerp"):
            record(Mortal(), open_dataset(place.data), out=tmp_path / "r.zarr", **options)  # type: ignore[arg-type]
    finally:
        ray.shutdown()
