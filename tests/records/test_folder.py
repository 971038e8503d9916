"""The lock, and what a power cut leaves: only what was waited for is certain to be there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_store import files

from pointstill.errors import RecordsError
from pointstill.records import Store
from pointstill.records.folder import Folder
from pointstill.storage import files as storage_files
from small_stores import LABELS, about


@pytest.fixture
def fast_disk() -> None:
    """Here the disk is waited for."""


HOLDER = """
import sys, time
from pathlib import Path
from pointstill.records.folder import Folder
with Folder(Path(sys.argv[1])).lock():
    print("mine", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "r.zarr"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(RecordsError) as caught, Folder(path).lock():
            pass
        holder.kill()
    who = f"process {holder.pid} on {os.uname().nodename}"
    assert f"{path} is being written by {who}: wait until it ends" in str(caught.value)
    with Folder(path).lock():
        assert json.loads((tmp_path / ".r.zarr.lock").read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_made(public_path, unprivileged):
    public_path.chmod(0o555)
    path = public_path / "r.zarr"
    with (
        unprivileged(),
        pytest.raises(RecordsError, match="cannot be written"),
        Folder(path).lock(),
    ):
        pass


class PowerCut:
    """Follows renames and waits, and can say what the disk may hold at any moment.

    A name is certain once its folder was waited for, a content once its file was; until then a
    renamed file may be absent, or there and empty, or whole.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.contents = root, set()
        self.certain, self.states = self.now(), []
        replace, sync = Path.replace, storage_files._sync

        def replaced(file: Path, to: Path) -> Path:
            done = replace(file, to)
            self.contents.discard(Path(to))
            self.snap()
            return done

        def synced(path: Path) -> None:
            sync(path)
            if path.is_file():
                self.contents.add(path)
            else:
                for file in path.iterdir():
                    if file in self.contents:
                        self.certain[str(file.relative_to(self.root))] = file.read_bytes()
            self.snap()

        monkeypatch.setattr(Path, "replace", replaced)
        monkeypatch.setattr("pointstill.storage.files._sync", synced)

    def now(self) -> dict[str, bytes]:
        return files(self.root)

    def snap(self) -> None:
        there = self.now()
        open_ = [name for name in there if there[name] != self.certain.get(name)]
        for absent in open_:  # one lost, the others whole: the worst for an order that is wrong
            self.states.append({n: c for n, c in there.items() if n != absent})
            self.states.append({n: b"" if n == absent else c for n, c in there.items()})
        self.states.append(dict(self.certain))


def test_no_power_cut_leaves_a_mark_without_its_tile(tmp_path, empty, content, monkeypatch):
    tiles = list(empty.tiles())
    power = PowerCut(empty.path, monkeypatch)
    for tile in tiles[:3]:
        empty.write(tile, *content(tile))
    monkeypatch.undo()
    found = set()
    for number, state in enumerate(power.states):
        path = tmp_path / f"cut-{number}"
        for name, data in state.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        for name in ("logits", "augment", "probe"):
            (path / name).mkdir(exist_ok=True)
        store = Store.open(path)
        for tile in store.recorded_tiles():
            # A mark that is there but empty is a damaged tile by name, never a wrong one.
            if state.get(f"probe/{tile.chunk}") == b"":
                with pytest.raises(RecordsError, match="records repair"):
                    store.check(tile)
                continue
            store.check(tile)
            logits = content(tile)[0].astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(store.tile_logits(tile), logits)
            found.add(tile)
        shutil.rmtree(path)
    assert found == set(tiles[:3])
    assert len(power.states) > 30


def test_a_writer_that_does_not_wait_is_found_out(tmp_path, empty, content, monkeypatch):
    """The test above can fail: without the waits, a mark outlives its tile."""
    power = PowerCut(empty.path, monkeypatch)
    monkeypatch.setattr("pointstill.storage.files.sync", lambda files: list(files))
    tile = next(empty.tiles())
    empty.write(tile, *content(tile))
    assert any("probe/c.0.0.0" in s and "logits/c.0.0.0" not in s for s in power.states)


def test_a_new_store_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    waited: set[str] = set()
    sync, rename = storage_files._sync, Path.rename

    def synced(path: Path) -> None:
        sync(path)
        waited.add(path.name)

    def renamed(self: Path, to: Path) -> Path:
        assert {"zarr.json", "c.0", "spare.zip", self.name} <= waited
        waited.clear()
        return rename(self, to)

    monkeypatch.setattr("pointstill.storage.files._sync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    Store.create(tmp_path / "r.zarr", about(), 1, np.arange(10), LABELS)
    assert waited == {"r.zarr", tmp_path.name}


@pytest.mark.parametrize("name", ["zarr.json", "spare.zip", "logits/zarr.json"])
def test_a_pipe_in_a_store_does_not_block(tmp_path, name):
    path = tmp_path / "r.zarr"
    Store.create(path, about(), 1, np.arange(len(LABELS)), LABELS)
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(RecordsError):
        Store.open(path)


def test_a_note_is_added_to_no_file_elsewhere(tmp_path):
    path, mine = tmp_path / "r.zarr", tmp_path / "mine.txt"
    Store.create(path, about(), 1, np.arange(len(LABELS)), LABELS)
    mine.write_text("precious")
    (path / "provenance.jsonl").symlink_to(mine)
    with pytest.raises(RecordsError, match="cannot be written"):
        Folder(path).note("{}")
    assert mine.read_text() == "precious"
