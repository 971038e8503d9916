"""Recording on a pretence of Ray: the store of one process, by the workers there is room for."""

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray_stand_ins import Toy, engine, run

from pointstill.cli.shared_options import EngineOptions
from pointstill.data import Dataset, open_dataset
from pointstill.errors import RecordsError
from pointstill.progress import Track
from pointstill.recording import ray_engine as module
from pointstill.recording.maintenance import extend
from pointstill.recording.ray_engine import RayEngine
from stand_ins import files

pytestmark = pytest.mark.usefixtures("many_threads")


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


def test_nothing_is_started_for_nothing(pretend, whole, solids):
    ray = pretend()
    extend(whole.path, Toy(), open_dataset(solids), views=2, engine=engine(solids), quiet=True)  # type: ignore[arg-type]
    assert not ray.options


# Workers


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


# Clusters


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


# The command line


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
    assert [EngineOptions(engine="ray").many, EngineOptions().many] == [True, False]


def test_options_of_the_engine(cli, pretend, solids, tmp_path):
    pretend()
    line = ("record", "--teacher", "run", "--data", solids, "--out", tmp_path / "r.zarr")
    code, _, err = cli(*line, "--workers", 2)
    assert (code, "--engine ray" in err) == (2, True)
    code, _, err = cli(*line, "--engine", "ray", "--workers", 0)
    assert (code, "choose 1 or more" in err) == (2, True)
    assert cli(*line, "--engine", "slurm")[0] == 2
