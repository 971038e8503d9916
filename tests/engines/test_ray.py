"""Recording on Ray: the same store, whoever dies. Most of it on a pretence of Ray, some on Ray."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from pointstill.cli_options import EngineOptions
from pointstill.data import Dataset, open_dataset
from pointstill.engines import ray as module
from pointstill.engines.ray import TRIES, RayEngine
from pointstill.errors import RecordsError, TeacherError
from pointstill.progress import Track
from pointstill.recording import record
from pointstill.records import Store, disk, layout
from pointstill.records.store import SIDECAR
from pointstill.upkeep import extend


class Toy:
    """Its logits tell the batch and the number of threads, so that neither goes by."""

    spec, fingerprint, points, device = "toy", "f00d", 16, torch.device("cpu")

    def __init__(self, before: Callable[[], None] = lambda: None):
        self.before = before

    def logits(self, points: Tensor) -> Tensor:
        self.before()
        far = points.norm(dim=2)
        parts = far.mean(dim=1), points[:, :, 2].amax(dim=1), points[:, 0, 0]
        return torch.stack(parts, dim=1) + len(points) + torch.get_num_threads()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of 8 shapes, and three threads, which are not what a worker of Ray would take."""
    monkeypatch.setattr(layout, "TILE", 8)
    monkeypatch.setattr(disk, "_sync", lambda path: None)  # a thousand waits for a real disk
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def run(out: Path, solids: Path, engine: RayEngine | None = None, **options: Any) -> Store:
    chosen: dict[str, Any] = {"engine": engine} if engine else {}
    options = {"views": 2, "batch_size": 3, "quiet": True} | options
    return record(Toy(), open_dataset(solids), out=out, **options, **chosen)  # type: ignore[arg-type]


def files(path: Path) -> dict[str, bytes]:
    """All files of a store but the sidecar."""
    found = {str(f.relative_to(path)): f for f in path.rglob("*") if f.is_file()}
    return {name: f.read_bytes() for name, f in sorted(found.items()) if name != SIDECAR}


@pytest.fixture
def whole(solids: Path, tmp_path: Path) -> Store:
    """What one process records: 2 views of 6 tiles."""
    return run(tmp_path / "whole.zarr", solids)


# On a pretence of Ray, which runs everything in this process, one call at a time.


class Died(Exception):
    """What Ray raises when a process is gone."""


class Failed(Died):
    """What Ray raises when the code in it did."""

    def __init__(self, cause: BaseException):
        super().__init__(str(cause))
        self.cause = cause


class Pretence:
    """The part of Ray that is used; `fate` is called before each call of a worker."""

    exceptions = SimpleNamespace(RayError=Died, RayTaskError=Failed)

    def __init__(self, fate: Callable[[int, str], None] = lambda worker, method: None):
        self.fate = fate
        self.resources = [{"CPU": 7.0, "GPU": 2.0}, {"CPU": 2.0}, {"CPU": 99.0}]  # one is gone
        self.options: dict[str, Any] = {}
        self.asked: dict[str, Any] = {}
        self.crew: list[Any] = []
        self.killed: list[Any] = []
        self.up = self.ended = False
        self.calls: list[tuple[int, str]] = []

    def init(self, **options: Any) -> None:
        self.options, self.up = options, True

    def is_initialized(self) -> bool:
        return self.up

    def shutdown(self) -> None:
        self.up, self.ended = False, True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": each["CPU"] < 99, "Resources": each} for each in self.resources]

    def remote(self, kind: type) -> Any:
        def options(**asked: Any) -> Any:
            self.asked = asked

            def start(*arguments: Any) -> Any:
                number = len(self.crew)
                self.crew.append(kind(*arguments))
                names = ("ready", "record")
                return SimpleNamespace(**{name: self._method(number, name) for name in names})

            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def _method(self, number: int, name: str) -> Any:
        def start(*arguments: Any) -> Callable[[], None]:
            def call() -> None:
                self.calls.append((number, name))
                self.fate(number, name)
                getattr(self.crew[number], name)(*arguments)

            return call

        return SimpleNamespace(remote=start)

    def wait(self, calls: list[Any], num_returns: int, timeout: float | None) -> Any:
        return calls[:1], calls[1:]

    def get(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (Died, KeyboardInterrupt):
            raise
        except Exception as error:
            raise Failed(error) from error

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pretence]:
    def make(*arguments: Any) -> Pretence:
        ray = Pretence(*arguments)
        monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
        return ray

    return make


def loading(solids: Path, teacher: Toy | None = None) -> Callable[[str], tuple[Toy, Dataset]]:
    return lambda device: (teacher or Toy(), open_dataset(solids))


def engine(solids: Path, teacher: Toy | None = None, **options: Any) -> RayEngine:
    return RayEngine(loading(solids, teacher), **options)  # type: ignore[arg-type]


def test_the_store_is_that_of_one_process(pretend, whole, solids, tmp_path):
    ray = pretend()
    store = run(tmp_path / "ray.zarr", solids, engine(solids, workers=3))
    assert files(store.path) == files(whole.path)
    assert len(store.notes()) == 12
    assert len(ray.killed) == 3
    assert ray.ended
    # On the loopback, quiet, small; whatever $RAY_ADDRESS says.
    assert ray.options["address"] == "local"
    assert (ray.options["num_cpus"], ray.options["include_dashboard"]) == (9, False)
    assert 75 * 2**20 < ray.options["object_store_memory"] <= 80 * 2**20
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_teacher_and_data_are_loaded_once_by_each_worker(pretend, solids, tmp_path):
    pretend()
    loaded: list[str] = []

    def load(device: str) -> tuple[Toy, Dataset]:
        loaded.append(device)
        return Toy(), open_dataset(solids)

    run(tmp_path / "ray.zarr", solids, RayEngine(load, workers=2))  # type: ignore[arg-type]
    assert loaded == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("threads", "workers", "expected", "cpus"),
    [(1, None, 9, 1), (3, None, 2, 3), (9, None, 1, 7), (1, 99, 11, 1), (2, 1, 1, 2)],
)
def test_as_many_workers_as_the_cluster_has_room_for(
    pretend, solids, tmp_path, threads, workers, expected, cpus
):
    torch.set_num_threads(threads)
    ray = pretend()
    run(tmp_path / "ray.zarr", solids, engine(solids, workers=workers))
    assert len(ray.crew) == expected  # never more than tiles
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (cpus, 0)


def test_a_teacher_on_a_gpu_has_a_worker_for_each(pretend, whole, solids, monkeypatch):
    ray, hired = pretend(), []
    monkeypatch.setattr(module, "_hand_out", lambda ray, hire, count, *_: hired.append(count))
    teacher = SimpleNamespace(device=torch.device("cuda:1"))
    recorder: Any = SimpleNamespace(teacher=teacher, store=whole)
    task = module.Task
    monkeypatch.setattr(module, "Task", lambda *told: kinds.append(told[1]) or task(*told))
    kinds: list[str] = []
    engine(solids)(recorder, list(whole.tiles()), Track("", 1, "", quiet=True))
    assert (hired, kinds) == ([2], ["cuda"])  # which of them, Ray says
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (3, 1)


def test_the_tile_of_a_dead_worker_goes_to_another(pretend, whole, solids, tmp_path):
    deaths = iter([False, True, False, False, True])
    dead: list[int] = []

    def fate(worker: int, method: str) -> None:
        if method == "record" and next(deaths, False):
            dead.append(worker)
            raise Died

    pretend(fate)
    out = tmp_path / "ray.zarr"
    store = run(out, solids, engine(solids, workers=2))
    assert len(dead) == 2
    assert files(store.path) == files(whole.path)


def test_what_a_dead_worker_left_half_written_goes(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if method == "record" and not half.exists():
            half.write_bytes(b"half")
            raise Died

    half = tmp_path / "ray.zarr/logits/c.0.1.0.1234.partial"
    pretend(fate)
    store = run(tmp_path / "ray.zarr", solids, engine(solids, workers=2))
    assert files(store.path) == files(whole.path)


def test_a_tile_that_kills_its_workers_is_given_up(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if method == "record" and len(ray.calls) > 8:
            raise Died("out of memory")

    ray = pretend(fate)
    with pytest.raises(RecordsError, match=rf"{TRIES} workers died of it \(out of memory\)"):
        run(tmp_path / "ray.zarr", solids, engine(solids, workers=1))
    assert len(Store.open(tmp_path / "ray.zarr").missing()) == 4
    assert ray.ended
    pretend()
    store = run(tmp_path / "ray.zarr", solids, engine(solids, workers=1))
    assert files(store.path) == files(whole.path)


def test_workers_that_cannot_start(pretend, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        raise Died("killed\nas it was too big")

    pretend(fate)
    with pytest.raises(RecordsError, match=r"workers die as they load .*killed as it was") as told:
        run(tmp_path / "ray.zarr", solids, engine(solids))
    assert "\n" not in str(told.value)


def test_what_a_teacher_raises_ends_the_recording(pretend, solids, tmp_path):
    kept = []
    for error in (ZeroDivisionError("by\n0"), TeacherError("teacher toy: no")):
        ray = pretend()

        def fail(error: Exception = error, ray: Pretence = ray) -> None:
            if len(ray.calls) > 5:
                raise error

        out = tmp_path / f"{type(error).__name__}.zarr"
        with pytest.raises((RecordsError, TeacherError)) as told:
            run(out, solids, engine(solids, Toy(fail), workers=1))
        kept.append((str(told.value), told.value.exit_code))
        assert len(Store.open(out).missing()) == 7
        assert len(ray.killed) == 1
    assert kept[0] == (
        "a worker failed in recording view 0, shapes 40 to 47 (ZeroDivisionError: by 0): what is "
        "recorded stays, and the same command goes on",
        1,
    )
    assert kept[1] == (f"worker on {os.uname().nodename}: teacher toy: no", 1)


def test_a_worker_refuses_other_data_another_teacher_and_other_versions(
    pretend, solids, make_solids, tmp_path, monkeypatch
):
    pretend()
    host = f"worker on {os.uname().nodename}: "
    other = make_solids(tmp_path / "other", first_seed=5)
    with pytest.raises(RecordsError, match=r"data\.fingerprint: .* give the t") as told:
        run(tmp_path / "data.zarr", solids, engine(other))
    assert str(told.value).startswith(host)
    teacher = Toy()
    teacher.fingerprint = "beef"
    with pytest.raises(RecordsError, match=r"teacher\.fingerprint: f00d in .*, now beef"):
        run(tmp_path / "teacher.zarr", solids, engine(solids, teacher))
    monkeypatch.setattr(module, "__version__", "0.0.9")  # after the task was made, as elsewhere
    with pytest.raises(RecordsError, match=r"pointstill 0\.0\.9 and torch .* install the same"):
        run(tmp_path / "version.zarr", solids, engine(solids))


def test_an_interrupt_leaves_a_store_to_go_on_with(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if len(ray.calls) == 9:
            raise KeyboardInterrupt

    ray = pretend(fate)
    out = tmp_path / "ray.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(out, solids, engine(solids, workers=2))
    assert len(ray.killed) == 2
    assert ray.ended
    assert 0 < len(Store.open(out).missing()) < 11
    assert files(run(out, solids).path) == files(whole.path)


def test_nothing_is_started_for_nothing(pretend, whole, solids):
    ray = pretend()
    extend(whole.path, Toy(), open_dataset(solids), views=2, engine=engine(solids), quiet=True)  # type: ignore[arg-type]
    assert not ray.options


def test_a_cluster_of_the_caller_stays_up(pretend, solids, tmp_path):
    ray = pretend()
    ray.init()
    run(tmp_path / "ray.zarr", solids, engine(solids))
    assert ray.up


def test_a_running_cluster(pretend, solids, tmp_path):
    ray = pretend()
    run(tmp_path / "ray.zarr", solids, engine(solids, address="auto"))
    assert ray.options.pop("address") == "auto"
    assert set(ray.options) == {"log_to_driver", "logging_level"}  # the rest is not ours to say

    def refuse(**options: Any) -> None:
        raise ConnectionError("nobody\nis there")

    ray.init = refuse
    for address, why in (("auto", "nobody is there"), ("127.0.0.1:1", r".*refused")):
        with pytest.raises(RecordsError, match=rf"no Ray cluster at {address} \({why}\): see"):
            run(tmp_path / "other.zarr", solids, engine(solids, address=address))


def test_waiting_for_a_worker_is_said(pretend, solids, tmp_path, capsys):
    ray, waits = pretend(), []
    at_once = ray.wait

    def wait(calls: list[Any], num_returns: int, timeout: float | None) -> Any:
        waits.append(timeout)
        return ([], calls) if len(waits) == 1 else at_once(calls, num_returns, timeout)

    ray.wait = wait
    run(tmp_path / "ray.zarr", solids, engine(solids), quiet=False)
    assert "no worker has started in 60 s: waiting" in capsys.readouterr().err
    assert waits[:2] == [60, None]


def test_ray_may_be_missing(cli, monkeypatch, solids, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    line = ("record", "--teacher", "run", "--data", "nowhere", "--out", tmp_path / "r.zarr")
    code, _, err = cli(*line, "--engine", "ray")
    assert (code, err) == (2, "error: the engine needs Ray: pip install 'pointstill[ray]'\n")


def test_the_command_line_tells_workers_all_that_it_was_told(
    cli, pretend, solids, teacher_run, tmp_path
):
    ray, names = pretend(), tmp_path / "names.txt"
    names.write_text("rod\nball\nbox\n")
    line = ("--teacher", teacher_run, "--data", solids, "--votes", 2, "--class-names", names)
    for out, more in (("one", ()), ("ray", ("--engine", "ray", "--workers", 2))):
        store = tmp_path / f"{out}.zarr"
        code, _, err = cli("record", *line, "--views", 2, "--threads", 2, "--out", store, *more)
        assert code == 0, err
        code, _, err = cli("records", "extend", store, "--views", 3, *line, *more)
        assert code == 0, err
    assert files(tmp_path / "ray.zarr") == files(tmp_path / "one.zarr")
    assert len(ray.killed) == 4
    assert EngineOptions(engine="ray").threads(0) == 1
    assert [EngineOptions(engine="ray").threads(5), EngineOptions().threads(0)] == [5, 0]


def test_options_of_the_engine(cli, pretend, solids, tmp_path):
    pretend()
    line = ("record", "--teacher", "run", "--data", solids, "--out", tmp_path / "r.zarr")
    code, _, err = cli(*line, "--workers", 2)
    assert (code, "--engine ray" in err) == (2, True)
    code, _, err = cli(*line, "--engine", "ray", "--workers", 0)
    assert (code, "choose 1 or more" in err) == (2, True)
    assert cli(*line, "--engine", "slurm")[0] == 2
