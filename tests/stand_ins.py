"""What many tests of records share: a teacher that is none, ten scans, and what is made of them.

The fixtures are those of `recording`; other rooms take them by name: `made = stand_ins.made`.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pointstill.data import Dataset, Split, open_dataset
from pointstill.errors import RecordsError
from pointstill.recipe import RecordRecipe
from pointstill.recording.job import record
from pointstill.records import Store, layout
from pointstill.records.store import SIDECAR

CLASSES = ("bench", "lamp", "tree")
VIEWS, POINTS = 2, 16


class Toy:
    """A teacher in duck's clothing; its logits tell the size of its batch, so that none goes by."""

    spec, fingerprint, device = "toy", "f00d", torch.device("cpu")
    points: int | None = None

    def __init__(self, before: Callable[[], None] = lambda: None, batch: float = 0.0):
        self.before, self.batch = before, batch

    def logits(self, points: Tensor) -> Tensor:
        self.before()
        far = points.norm(dim=2)
        parts = far.mean(dim=1), points[:, :, 2].amax(dim=1), points[:, 0, 0]
        return torch.stack(parts, dim=1) + self.batch * len(points)


def scans(root: Path, seed: int = 0) -> Path:
    """Ten training clouds of 9 to 22 points in three classes; test files that are none."""
    draw = np.random.default_rng(seed)
    for label, (name, count) in enumerate(zip(CLASSES, (4, 3, 3), strict=True)):
        for part in ("train", "test"):
            (root / part / name).mkdir(parents=True)
        for i in range(count):
            cloud = draw.normal(size=(9 + 5 * label + i, 3)).astype(np.float32)
            np.save(root / "train" / name / f"{i}.npy", cloud)
        (root / "test" / name / "0.npy").write_bytes(b"never to be opened")
    return root


def run(
    out: Path | str,
    data: Dataset,
    teacher: Toy | None = None,
    part: str | None = None,
    **options,
) -> Store:
    """Record two views of 16 points, or what `options` say."""
    recipe = RecordRecipe(**{"views": VIEWS, "augment": "scale,shift", "points": POINTS} | options)
    return record(teacher or Toy(), data, out=out, recipe=recipe, part=part, quiet=True)  # type: ignore[arg-type]


def files(path: Path) -> dict[str, bytes]:
    """All files of a store but the sidecar."""
    found = {str(f.relative_to(path)): f for f in path.rglob("*") if f.is_file()}
    return {name: f.read_bytes() for name, f in sorted(found.items()) if name != SIDECAR}


def relabelled(
    data: Dataset,
    labels: np.ndarray | None = None,
    groups: list[str] | None = None,
    split: str = "train",
    group: str | None = None,
) -> Dataset:
    """The same data with other labels (-1: none), or with groups, in a split.

    `group` is what `--group` names: then they are kept together in training.
    """
    entry = data.split(split).entry
    kept = entry.labels if labels is None else np.asarray(labels, np.int64)
    other = replace(data)
    other._opened[split] = Split(replace(entry, labels=kept, groups=groups), group=group)
    return other


# Refused, and killed


def refused(error: BaseException, *named: str) -> str:
    """What was said: one line that has all of `named`."""
    message = str(error)
    assert "\n" not in message
    for text in named:
        assert text in message
    return message


def said(store: Path, data: Dataset, teacher: Toy | None = None, **options) -> str:
    """How a recording is refused: one line, exit code 1, and no byte changed."""
    before = files(store)
    with pytest.raises(RecordsError) as caught:
        run(store, data, teacher, **options)
    assert files(store) == before
    assert caught.value.exit_code == 1
    return refused(caught.value, str(store))


class Killed(BaseException):
    """No `except Exception` sees it, as none sees a SIGKILL."""


def countdown(steps: int) -> Callable[[], None]:
    """Pass `steps` times, then kill."""
    left = steps

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    return step


# Fixtures


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 shapes, and a cache that is not at home."""
    monkeypatch.setattr(layout, "TILE", 4)
    monkeypatch.setattr(
        "pointstill.storage.files._sync", lambda path: None
    )  # a thousand waits for a real disk
    monkeypatch.setenv("POINTSTILL_CACHE", str(tmp_path / "cache"))


def _made(folder: Path, stores: dict[str, dict]) -> Path:
    """`scans` in a folder, and beside them a store for each name, of these options."""
    data = open_dataset(scans(folder / "scans"), cache=folder / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "TILE", 4)
        patch.setattr("pointstill.storage.files._sync", lambda path: None)
        for name, options in stores.items():
            run(folder / name, data, **options)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans`, and two finished stores of them, `plain` and `batched`.

    The teacher of the second sees the size of its batch, which was 3.
    """
    batched = {"teacher": Toy(batch=1.0), "batch_size": 3}
    return _made(tmp_path_factory.mktemp("made"), {"plain": {}, "batched": batched})


@pytest.fixture(scope="module")
def made_in_codecs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be named `made` instead: a folder with `scans`, and a store of 3 views in every codec."""
    stores = {
        "float16": {"views": 3},
        "int8": {"views": 3, "codec": "int8"},
        "topk": {"views": 3, "codec": "topk:2"},
        "keyed": {"views": 3, "keyed": True, "augment": "scale,shift,jitter"},
    }
    return _made(tmp_path_factory.mktemp("made"), stores)


@pytest.fixture(scope="module")
def data(made: Path) -> Dataset:
    """The `scans` of `made`."""
    return open_dataset(made / "scans", cache=made / "cache")


@pytest.fixture
def recorded(tmp_path: Path, made: Path) -> Store:
    """A copy of the store `plain` of `made`."""
    return Store.open(shutil.copytree(made / "plain", tmp_path / "recorded.zarr"))


@pytest.fixture(params=["float16", "int8", "topk", "keyed"])
def store(request: pytest.FixtureRequest, tmp_path: Path, made: Path) -> Store:
    """A copy of each store of `made_in_codecs`."""
    return Store.open(shutil.copytree(made / request.param, tmp_path / "r.zarr"))


@pytest.fixture
def plain(tmp_path: Path, made: Path) -> Store:
    """A copy of the store of `made_in_codecs` that is in float16."""
    return Store.open(shutil.copytree(made / "float16", tmp_path / "r.zarr"))
