"""Stores that are damaged, or something else, and disks that refuse: one line, and no zeros."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_store import check_content, files

from pointstill.errors import NoRecordsError, RecordsError
from pointstill.records import Store, Tile, headers
from pointstill.records.folder import Folder
from pointstill.records.folder_or_bucket import locate
from small_stores import LABELS, about


def refused(error: RecordsError, path: Path) -> str:
    """What the user reads: one line that names the store, and exit code 1 (2: nothing there)."""
    message = str(error)
    assert str(path) in message
    assert "\n" not in message
    assert error.exit_code == 1 + isinstance(error, NoRecordsError)
    return message


# What is refused.


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "NaN or infinite logits in view 0, shapes 0 to 3"),
        (np.inf, "NaN or infinite"),
        (65505.0, "float16 cannot hold"),
        (-1e6, "logit of 1e+06 in view 0, shapes 0 to 3, which float16 cannot hold"),
    ],
)
def test_logits_that_float16_cannot_hold_are_refused(empty, content, value, said):
    tile = Tile.first(10)
    logits, *rest = content(tile)
    logits[2, 1] = value
    before = files(empty.path)
    with pytest.raises(RecordsError) as caught:
        empty.write(tile, logits, *rest)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(empty.path) == before


@pytest.mark.parametrize("there", ["a file", "a folder", "a store"])
def test_nothing_is_made_over_what_exists(empty, tmp_path, there):
    path = tmp_path / "there"
    if there == "a file":
        path.write_text("mine")
    elif there == "a folder":
        path.mkdir()
        (path / "mine").touch()
    else:
        path = empty.path
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordsError, match="choose another --out") as caught:
        Store.create(path, about([]), 1, np.arange(3), np.arange(3))
    refused(caught.value, path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("there", ["nothing", "a file", "an empty folder", "a folder of scans"])
def test_what_is_no_store_is_not_opened(tmp_path, there):
    path = tmp_path / "there"
    if there == "a file":
        path.write_text("mine")
    elif there != "nothing":
        path.mkdir()
    if there == "a folder of scans":
        (path / "scan.xyz").write_text("1 2 3")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordsError, match="pointstill record") as caught:
        Store.open(path)
    refused(caught.value, path)
    assert isinstance(caught.value, NoRecordsError) == (there == "nothing")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("found", "fix"),
    [
        ("pointstill-records/1", "record again, or install the pointstill that made it (0.0.7)"),
        ("pointstill-records/9", "install the pointstill that made it (0.0.7), or a later one"),
        ("something-else/9", "record again, or install the pointstill that made it (0.0.7)"),
    ],
)
@pytest.mark.parametrize("spare", [True, False])
def test_older_and_newer_formats_are_refused(full, found, fix, spare):
    head = json.loads((full.path / "zarr.json").read_text())
    head["attributes"] |= {"format": found, "pointstill": "0.0.7"}
    (full.path / "zarr.json").write_text(json.dumps(head))
    (full.path / headers.BACKUP).unlink()  # format 1 had none
    if spare:
        headers.restore(locate(full.path))
    with pytest.raises(RecordsError) as caught:
        Store.open(full.path)
    message = refused(caught.value, full.path)
    assert f"has format {found}, and this pointstill (" in message
    assert message.endswith(f"reads pointstill-records/2 and pointstill-records/3: {fix}")


def test_some_other_zarr_group_is_refused(tmp_path):
    import zarr

    zarr.create_group(tmp_path / "other.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="f4")
    for name in ("other.zarr", "array.zarr"):
        with pytest.raises(RecordsError) as caught:
            Store.open(tmp_path / name)
        refused(caught.value, tmp_path / name)


@pytest.mark.parametrize("name", ["", "logits", "augment", "probe", "shapes", "labels"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "null", "list", "braces"])
def test_a_damaged_header_is_refused(full, name, damage):
    file = full.path / name / "zarr.json"
    whole = file.read_bytes()
    file.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "noise": bytes(range(256)),
            "null": b"null",
            "list": b"[]",
            "braces": b"{}",
        }[damage]
    )
    with pytest.raises(RecordsError) as caught:
        Store.open(full.path)
    refused(caught.value, full.path)


@pytest.mark.parametrize("name", ["logits", "augment", "probe", "shapes", "labels"])
def test_a_missing_array_is_refused(full, name):
    shutil.rmtree(full.path / name)
    with pytest.raises(RecordsError, match=r"cannot be read .*records repair") as caught:
        Store.open(full.path)
    assert f"/{name}/" in refused(caught.value, full.path)


def read_all(path: Path) -> bytes:
    store = Store.open(path)
    views = [each(view) for view in range(store.views) for each in (store.logits, store.parameters)]
    arrays = [store.shapes, store.labels, store.committed(), *views]
    arrays += [sums for _, sums in map(store.probe, store.tiles())]
    return b"".join(array.tobytes() for array in arrays)


CHUNKS = ["logits/c.1.2.0", "augment/c.0.0.0", "probe/c.0.1.0", "shapes/c.0", "labels/c.0"]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_flipped_bit_is_noticed(full, chunk):
    file = full.path / chunk
    whole, content = file.read_bytes(), read_all(full.path)
    for place in range(0, len(whole), 4 if len(whole) < 50 else 9):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 7
        file.write_bytes(flipped)
        with pytest.raises(RecordsError) as caught:
            read_all(full.path)
        refused(caught.value, full.path)
    file.write_bytes(whole)
    assert read_all(full.path) == content


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_cut_file_is_noticed(full, chunk):
    file = full.path / chunk
    whole = file.read_bytes()
    for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(RecordsError) as caught:
            read_all(full.path)
        refused(caught.value, full.path)


@pytest.mark.parametrize("chunk", ["logits/c.1.2.0", "augment/c.1.2.0", "shapes/c.0"])
def test_a_deleted_chunk_is_an_error_and_not_zeros(full, chunk):
    (full.path / chunk).unlink()
    with pytest.raises(RecordsError) as caught:
        read_all(full.path)
    refused(caught.value, full.path)
    if "shapes" not in chunk:
        assert "view 1, shapes 8 to 9" in str(caught.value)
        assert np.isfinite(full.logits(0)).all()
        assert np.isfinite(full.parameters(0)).all()


def test_an_unfinished_view_is_an_error_and_not_nan(empty, content):
    for tile in list(empty.tiles())[:5]:
        empty.write(tile, *content(tile))
    assert np.isfinite(empty.logits(0)).all()
    for read in (empty.logits, empty.parameters):
        with pytest.raises(RecordsError, match=r"view 1, shapes 8 to 9.* record` again") as caught:
            read(1)
        refused(caught.value, empty.path)


# Disks that are full, or may not be written.

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
FORBIDDEN = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def attempt(make, *arguments) -> RecordsError | None:
    try:
        make(*arguments)
    except RecordsError as error:
        return error
    return None


@pytest.mark.parametrize("error", [FULL, FORBIDDEN], ids=lambda e: errno.errorcode[e.errno])
def test_a_disk_that_refuses_a_new_store_leaves_nothing(tmp_path, failing, monkeypatch, error):
    path = tmp_path / "deep" / "records.zarr"
    for after in range(100):
        failing(after, error)
        caught = attempt(Store.create, path, about("a"), 2, np.arange(10), LABELS)
        monkeypatch.undo()
        if caught is None:
            break
        assert f"cannot be made ({error.strerror}): free or allow space" in refused(caught, path)
        assert not list((tmp_path / "deep").iterdir())
    assert after >= 7  # six headers and the shapes
    assert Store.open(path).rows == 10


@pytest.mark.parametrize(
    "closed", ["zarr.json", "spare.zip", "logits/zarr.json", "shapes/c.0", "logits", "."]
)
def test_a_store_that_may_not_be_read_is_not_called_damaged(
    empty, public_path, unprivileged, closed
):
    path = shutil.copytree(empty.path, public_path / "records.zarr")
    mode = (path / closed).stat().st_mode
    (path / closed).chmod(0)
    with unprivileged():
        caught = attempt(Store.open, path)
    (path / closed).chmod(mode)
    message = refused(caught, path)
    assert "cannot be read (Permission denied): mend its permissions" in message
    assert "repair" not in message


def test_a_tile_that_may_not_be_read_is_not_called_damaged(
    empty, content, public_path, unprivileged
):
    for tile in empty.tiles():
        empty.write(tile, *content(tile))
    path = shutil.copytree(empty.path, public_path / "records.zarr")
    (closed,) = (file for file in path.glob("logits/c*") if file.name.startswith("c.1.1"))
    closed.chmod(0)
    path.chmod(0o777)
    for file in (path, *path.rglob("*")):
        if file != closed:
            file.chmod(0o777)
    with unprivileged():
        caught = attempt(Store.open(path).logits, 1)
    message = refused(caught, path)
    assert f"{closed} cannot be read (Permission denied): mend its permissions" in message
    assert "repair" not in message


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "records.zarr"
    caught = attempt(Store.create, path, about([]), 1, np.arange(3), np.arange(3))
    assert caught
    refused(caught, path)


@pytest.mark.parametrize("error", [FULL, READ_ONLY], ids=lambda e: errno.errorcode[e.errno])
@pytest.mark.parametrize("after", range(3))
def test_a_disk_that_refuses_a_tile_leaves_it_missing(
    empty, content, failing, monkeypatch, error, after
):
    tiles = list(empty.tiles())
    empty.write(tiles[0], *content(tiles[0]))
    failing(after, error)
    caught = attempt(empty.write, tiles[1], *content(tiles[1]))
    assert caught
    message = refused(caught, empty.path)
    assert f"cannot be written ({error.strerror}): free or allow space, then run" in message
    caught = attempt(empty.note, tiles[0], 1.0)
    assert caught
    refused(caught, empty.path)
    monkeypatch.undo()

    store = Store.open(empty.path)
    assert store.missing() == tiles[1:]
    assert not list(store.path.rglob("*.partial"))
    for tile in store.missing():
        store.write(tile, *content(tile))
    check_content(store, content)


def test_a_leftover_that_cannot_be_swept_is_an_error(full, monkeypatch):
    (full.path / "zarr.77.partial").touch()

    def unlink(self, missing_ok=False):
        raise READ_ONLY

    monkeypatch.setattr(Path, "unlink", unlink)
    caught = attempt(Folder(full.path).sweep)
    assert caught
    refused(caught, full.path)


SMALL_DISK = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from pointstill.errors import RecordsError
from pointstill.records import Store

disk = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from small_stores import about
draw = np.random.default_rng(0)
logits, parameters = draw.normal(size=(8, 500, 40)), draw.normal(size=(8, 500, 6))
about = about("abcdef", classes=list(map(str, range(40))))
labels = np.arange(500) % 40
ballast = disk / "ballast"
ballast.write_bytes(bytes(200_000))

def fill(store):
    for tile in store.missing():
        rows = slice(tile.start, tile.stop)
        sums = np.ones((9, 4))
        store.write(tile, logits[tile.view, rows], parameters[tile.view, rows], sums, b"1" * 32)

def refused(call, *arguments):
    try:
        call(*arguments)
    except RecordsError as error:
        print(error)
    else:
        sys.exit("not refused")

store = Store.create(disk / "r.zarr", about, 8, np.arange(500), labels)
refused(fill, store)
store = Store.open(disk / "r.zarr")
print(len(store.missing()))
refused(Store.create, disk / "s.zarr", about, 8, np.arange(500), labels)
print(sorted(os.listdir(disk)))
ballast.unlink()
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
store = Store.open(disk / "r.zarr")
refused(fill, store)
assert np.isfinite(store.logits(0)).all()
subprocess.run(["mount", "-o", "remount,rw,size=2m", disk], check=True)
fill(store)
store = Store.open(disk / "r.zarr")
assert not store.missing() and not list(store.path.rglob("*.partial"))
for view in range(8):
    assert np.allclose(store.logits(view), logits[view], rtol=2**-11, atol=1e-7)
    assert np.array_equal(store.parameters(view), parameters[view].astype("f4"))
"""


def test_a_disk_that_is_really_full_or_read_only(tmp_path):
    """A tmpfs of 400 kB in a mount namespace of its own, which ends with the process."""
    script = f"mount -t tmpfs -o size=400k tmpfs '{tmp_path}' && exec \"$@\""
    enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    try:
        subprocess.run([*enter, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs can be mounted here to fill ({error})")
    tests = str(Path(__file__).parents[1])
    command = [*enter, sys.executable, "-c", SMALL_DISK, str(tmp_path), tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    full, missing, new, listing, read_only = done.stdout.splitlines()
    path = tmp_path / "r.zarr"
    assert full.startswith(f"{path} cannot be written (No space left on device): free")
    assert 0 < int(missing) < 16
    assert new.startswith(f"{tmp_path / 's.zarr'} cannot be made (No space left")
    assert listing == "['ballast', 'r.zarr']"
    assert read_only.startswith(f"{path} cannot be written (Read-only file system)")
