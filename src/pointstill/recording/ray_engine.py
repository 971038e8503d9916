"""A Ray cluster: actors load teacher and data once, then record the tiles they are handed.

Placing actors and noticing that one died are Ray's work. The store is the only result: a worker
writes its tiles there, and what travels between processes is their numbers.
"""

import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from .._version import __version__
from ..augment import Clouds
from ..data import Dataset
from ..errors import PointstillError, RecordsError, UsageError, one_line
from ..progress import Track, console
from ..records import Store, Tile
from ..records.matching import check_made
from ..teachers import Teacher
from ..teachers.compatibility import check_data_features
from .tiles import Recorder

TRIES = 4
"""Workers that a tile may cost, and workers that may die as they start, with none that does not."""
PATIENCE = 60.0
"""Seconds without a first worker after which that is said."""
WAITING = f"""no worker has started in {PATIENCE:.0f} s: waiting; `ray status` tells whether the \
cluster has free CPUs or GPUs"""
OBJECTS = 80 * 2**20
"""Bytes of /dev/shm in a cluster of our own: Ray wants 75 MiB, and next to nothing goes there."""

Load = Callable[[str], tuple[Teacher, Dataset]]


@dataclass(frozen=True)
class RayEngine:
    """Tiles as tasks of actors on a Ray cluster; an `Engine`."""

    load: Load
    """Makes teacher and data anew, in each worker, on a kind of device such as `cpu` or `cuda`."""
    address: str | None = None
    """Of a running cluster: auto, host:port or ray://host:port. None: the one that this process is
    connected to, or else one of its own, on the loopback of this machine."""
    workers: int | None = None
    """How many; by default as many as the CPUs, or for a teacher on a GPU the GPUs, suffice for."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers is {self.workers}", fix="choose 1 or more")
        _ray(self.address)  # refused before anything is read

    def __call__(self, recorder: Recorder, tiles: Sequence[Tile], track: Track) -> None:
        """Record the tiles; see `Engine`.

        A worker has as many threads as torch has here, as float results may depend on it.
        """
        if not tiles:
            return
        ray, kind = _ray(self.address), recorder.teacher.device.type
        threads, gpus = torch.get_num_threads(), int(kind == "cuda")
        task = Task(self.load, kind, str(recorder.store.path), threads)
        # Ray tells of deaths on standard output, which is kept for results.
        with redirect_stdout(sys.stderr), self._cluster(ray, threads):
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            # Where no machine has so many CPUs, threads share them, as they would in one process.
            cpus = min(threads, max(node.get("CPU", 0) for node in nodes) or threads)
            room = sum(node.get("GPU", 0) if gpus else node.get("CPU", 0) // cpus for node in nodes)
            actor = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus)
            count = min(self.workers or max(int(room), 1), len(tiles))
            _hand_out(ray, partial(actor.remote, task), count, tiles, track)
        recorder.store.location.sweep()  # what a worker that died left half written

    @contextmanager
    def _cluster(self, ray: Any, threads: int) -> Iterator[None]:
        """Be connected to the cluster."""
        if ray.is_initialized():
            yield
            return
        options: dict[str, Any] = {"address": self.address}
        if self.address is None:
            options = {
                "address": "local",  # whatever $RAY_ADDRESS says
                "num_cpus": self.workers and self.workers * threads,
                "include_dashboard": False,
                "object_store_memory": OBJECTS,
            }
        try:
            _knock(self.address or "")
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of many kinds
            at, fix = "on this machine", "see the logs of Ray"
            if self.address:
                at = f"at {self.address}"
                fix = "see `ray status`, or leave out --ray-address for one of this machine alone"
            raise RecordsError(
                f"no Ray cluster {at} ({one_line(error)})", fix=f"{fix}; what is recorded stays"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(frozen=True)
class Task:
    """What a worker is told."""

    load: Load
    device: str
    store: str
    """As the user typed it."""
    threads: int
    """CPU threads of torch."""
    folder: str = field(default_factory=os.getcwd)
    """Where names of files are meant from."""
    cache: str | None = field(default_factory=lambda: os.environ.get("POINTSTILL_CACHE"))
    """Folder of parsed splits, if one is named."""
    versions: tuple[str, str] = (__version__, str(torch.__version__))
    """Of pointstill and torch."""


class Worker:
    """A process of the cluster. An error is one of `pointstill`, and names the host."""

    def __init__(self, task: Task):
        self.task = task  # loaded by `ready`, as an error in here would reach nobody as it is

    def ready(self) -> None:
        """Load teacher and data, once."""
        with _named():
            self.recorder = self._load()

    def record(self, tile: Tile) -> None:
        """Record a tile."""
        with _named():
            self.recorder(tile)

    def _load(self) -> Recorder:
        """Teacher, data and store, which must be those of the coordinator."""
        task, here = self.task, (__version__, str(torch.__version__))
        if here != task.versions:
            raise RecordsError(
                f"pointstill {here[0]} and torch {here[1]} are installed, and {task.versions[0]} "
                f"and {task.versions[1]} where the recording was started",
                fix="install the same",
            )
        with suppress(OSError):
            os.chdir(task.folder)
        if task.cache:
            os.environ["POINTSTILL_CACHE"] = task.cache
        torch.set_num_threads(task.threads)
        teacher, data = task.load(task.device)
        check_data_features(teacher, data.features)
        store, split = Store.open(task.store), data.train
        pipeline = check_made(store, split, teacher.fingerprint)
        clouds = Clouds.of(split, teacher.device, pipeline.normalization)
        return Recorder(store, teacher, clouds, pipeline)


def _hand_out(
    ray: Any, hire: Callable[[], Any], count: int, tiles: Sequence[Tile], track: Track
) -> None:
    """Give each worker that is ready a tile, and the next when it is done.

    A worker that dies is replaced, and its tile goes to whoever is ready first: on a cluster that
    shrinks, the replacement may never come.
    """
    waiting, idle = deque(tiles), list[Any]()
    running: dict[Any, tuple[Any, Tile | None]] = {}  # a tile, or None: getting ready
    deaths = Counter[Tile | None]()
    patience: float | None = PATIENCE

    def start() -> None:
        worker = hire()
        running[worker.ready.remote()] = worker, None

    try:
        for _ in range(count):
            start()
        while waiting or any(tile for _, tile in running.values()):
            while waiting and idle:
                worker, tile = idle.pop(), waiting.popleft()
                running[worker.record.remote(tile)] = worker, tile
            ended, _ = ray.wait(list(running), num_returns=1, timeout=patience)
            patience = None
            if not ended:
                if not track.quiet:
                    console.print(WAITING)
                continue
            worker, done = running[ended[0]]
            try:
                ray.get(ended[0])
            except ray.exceptions.RayTaskError as error:
                raise _of(error.cause, done) from error
            except ray.exceptions.RayError as error:
                deaths[done] += 1
                if deaths[done] == TRIES:
                    raise _given_up(done, error) from error
                if not track.quiet:
                    console.print(
                        f"a worker died in {done or 'its start'}: another takes its place"
                    )
                start()
                if done:
                    waiting.appendleft(done)
            else:
                deaths[None] = 0
                idle.append(worker)
                if done:
                    track.advance(done.stop - done.start)
            del running[ended[0]]
    finally:
        for worker in [*idle, *(worker for worker, _ in running.values())]:
            with suppress(ray.exceptions.RayError):
                ray.kill(worker)


def _ray(address: str | None) -> Any:
    """Ray: nothing is sent to its makers, and a cluster of our own is on the loopback alone.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as Ray warns without
    if address is None:  # Ray binds to 127.0.0.1 only where it thinks that it cannot do more
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("the engine needs Ray", fix="pip install 'pointstill[ray]'") from error
    return ray


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _named() -> Iterator[None]:
    """Say on which host something failed."""
    try:
        yield
    except PointstillError as error:
        worker = f"worker on {os.uname().nodename}:"
        raise error.but(where=f"{worker} {error.where}" if error.where else worker) from error


def _of(cause: BaseException, tile: Tile | None) -> PointstillError:
    """What a worker's exception is to the user."""
    if isinstance(cause, PointstillError):
        return cause
    what = f"recording {tile}" if tile else "loading teacher and data"
    return RecordsError(
        f"a worker failed in {what} ({type(cause).__name__}: {one_line(cause)})",
        fix="mend that, and run the same command again; what is recorded stays",
    )


def _given_up(tile: Tile | None, error: BaseException) -> RecordsError:
    """What to say when one worker after another dies."""
    what = (
        f"{TRIES} workers died of {tile}" if tile else "workers die as they load teacher and data"
    )
    return RecordsError(
        f"{what} ({one_line(error)})",
        fix="look for too little memory, or a node without pointstill, and run the same command "
        "again; what is recorded stays",
    )
