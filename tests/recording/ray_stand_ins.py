"""What the tests of the engine on Ray share: its teacher, and a pretence of Ray.

The pretence runs everything in this process, one call at a time.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import stand_ins
from pointstill.data import Dataset, open_dataset
from pointstill.recipe import RecordRecipe
from pointstill.recording.job import record
from pointstill.recording.ray_engine import RayEngine
from pointstill.records import Store, layout


class Toy(stand_ins.Toy):
    """Its logits tell the batch and the number of threads, so that neither goes by."""

    points = 16

    def __init__(self, before: Callable[[], None] = lambda: None):
        super().__init__(before, batch=1.0)

    def logits(self, points: Tensor) -> Tensor:
        return super().logits(points) + torch.get_num_threads()


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of 8 shapes, and three threads, which are not what a worker of Ray would take."""
    monkeypatch.setattr(layout, "TILE", 8)
    monkeypatch.setattr(
        "pointstill.storage.files._sync", lambda path: None
    )  # a thousand waits for a real disk
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def run(
    out: Path, solids: Path, engine: RayEngine | None = None, quiet: bool = True, **options: Any
) -> Store:
    chosen: dict[str, Any] = {"engine": engine} if engine else {}
    recipe = RecordRecipe(**{"views": 2, "batch_size": 3} | options)
    return record(Toy(), open_dataset(solids), out=out, recipe=recipe, quiet=quiet, **chosen)  # type: ignore[arg-type]


@pytest.fixture
def whole(many_threads: None, solids: Path, tmp_path: Path) -> Store:
    """What one process records: 2 views of 6 tiles."""
    return run(tmp_path / "whole.zarr", solids)


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
