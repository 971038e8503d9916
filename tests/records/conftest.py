"""Small stores, and disks that fail."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pointstill.records import Store, Tile, folder
from pointstill.records import layout as module
from pointstill.records.probe import moment_sums
from small_stores import CLASSES, COLUMNS, LABELS, ROWS, VIEWS, Content, about


@pytest.fixture(autouse=True)
def tile_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """New stores have tiles of 4, 4 and 2 of their ten shapes."""
    monkeypatch.setattr(module, "TILE", 4)


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is for the tests of the disk."""
    monkeypatch.setattr("pointstill.storage.files._sync", lambda path: None)


@pytest.fixture(scope="session")
def content() -> Callable[..., Content]:
    """Make what `Store.write` takes, drawn from the tile's own seed."""

    def make(tile: Tile, columns: int = len(COLUMNS)) -> Content:
        draw = np.random.default_rng([tile.view, tile.number])
        rows = tile.stop - tile.start
        return (
            (8 * draw.normal(size=(rows, CLASSES))).astype(np.float32),
            draw.uniform(size=(rows, columns)).astype(np.float32),
            moment_sums(draw.uniform(size=(rows, 4)).astype(np.float32)),
            draw.bytes(32),
        )

    return make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, content) -> Path:
    """A folder with a new store, `empty`, and one with all tiles written, `full`."""
    folder, shapes = tmp_path_factory.mktemp("made"), np.arange(0, 3 * ROWS, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", 4)
        Store.create(folder / "empty", about(), VIEWS, shapes, LABELS)
        full = Store.create(folder / "full", about(), VIEWS, shapes, LABELS)
    for tile in full.tiles():
        full.write(tile, *content(tile))
    return folder


@pytest.fixture
def empty(tmp_path: Path, made: Path) -> Store:
    """A new store: two views of ten shapes, three classes, two parameters."""
    return Store.open(shutil.copytree(made / "empty", tmp_path / "empty.zarr"))


@pytest.fixture
def full(tmp_path: Path, made: Path) -> Store:
    """The same, with all tiles written."""
    return Store.open(shutil.copytree(made / "full", tmp_path / "full.zarr"))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], None]:
    """Let some files be opened for writing, and fail from then on."""

    def fail(after: int, error: BaseException) -> None:
        done = 0

        def open_(self: Path, mode: str = "r", *arguments, **options):
            nonlocal done
            if mode[0] in "wax":
                done += 1
                if done > after:
                    raise error
            return real(self, mode, *arguments, **options)

        def opener(path: str, flags: int) -> int:
            nonlocal done
            done += 1
            if done > after:
                raise error
            return add(path, flags)

        real, add = Path.open, folder._not_elsewhere
        monkeypatch.setattr(Path, "open", open_)
        monkeypatch.setattr(folder, "_not_elsewhere", opener)

    return fail
