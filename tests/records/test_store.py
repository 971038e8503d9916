"""The store: what goes in comes out, exactly or not at all, whatever happens to its files."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pointstill import __version__
from pointstill.errors import RecordsError
from pointstill.records import Store, Tile
from pointstill.records import store as module


def refused(error: RecordsError, path: Path) -> str:
    """What the user reads: one line that names the store, and exit code 1."""
    message = str(error)
    assert str(path) in message
    assert "\n" not in message
    assert error.exit_code == 1
    return message


def files(path: Path) -> dict[str, bytes]:
    found = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    return {str(name): file.read_bytes() for name, file in found.items()}


def check_content(store: Store, content) -> None:
    """Everything reads back as it was written: logits rounded to float16, the rest exactly."""
    for view in range(store.views):
        tiles = [tile for tile in store.tiles() if tile.view == view]
        columns = len(store.columns)
        written = [content(tile, columns) for tile in tiles]
        logits, parameters, moments, proofs = zip(*written, strict=True)
        there, wanted = store.logits(view), np.concatenate(logits)
        assert there.dtype == np.float32
        bound = np.maximum(np.abs(wanted) * 2.0**-11, 2.0**-25)  # half a step of float16
        assert (np.abs(there - wanted) <= bound).all()
        np.testing.assert_array_equal(store.parameters(view), np.concatenate(parameters))
        for tile, measured, proof in zip(tiles, moments, proofs, strict=True):
            np.testing.assert_array_equal(store.moments(tile), measured)
            assert store.proof(tile) == proof


# What is in a store.


def test_what_is_written_is_read(full, content):
    check_content(full, content)
    check_content(Store.open(full.path), content)
    check_content(Store.open(str(full.path)), content)


def test_a_store_knows_itself(empty):
    store = Store.open(empty.path)
    assert (store.views, store.rows) == (2, 10)
    assert store.columns == ["scale_x", "scale_y"]
    assert store.shapes.tolist() == list(range(0, 30, 3))
    assert store.shapes.dtype == np.int64
    assert store.attributes == {
        "format": "pointstill-records/1",
        "pointstill": __version__,
        "tile": 4,
        "columns": ["scale_x", "scale_y"],
        "batch": 2,
    }


def test_float16_is_kept_to_its_ends(empty):
    logits = np.array(
        [[65504, -65504, 0], [2.0**-24, -(2.0**-14), 1 / 3], [2049, 1e-9, -0.1], [1, 2, 3]]
    )
    tile = Tile.first(10)
    empty.write(tile, logits, np.ones((4, 2)), np.ones((4, 4)), bytes(range(32)))
    for tile in empty.missing():
        rows = tile.stop - tile.start
        rest = np.zeros((rows, 3)), np.ones((rows, 2)), np.ones((rows, 4)), b"\x01" * 32
        empty.write(tile, *rest)
    there = empty.logits(0)[:4]
    np.testing.assert_array_equal(there, logits.astype(np.float16).astype(np.float32))
    assert there[0].tolist() == [65504, -65504, 0]
    assert there[1, 0] == 2.0**-24


def test_values_that_look_empty_are_written_all_the_same(empty, content):
    for tile in empty.tiles():
        rows = tile.stop - tile.start
        zeros = np.zeros((rows, 3)), np.zeros((rows, 2)), np.zeros((rows, 4))
        empty.write(tile, *zeros, b"\0" * 31 + b"\1")
    store = Store.open(empty.path)
    assert not store.missing()
    assert not store.logits(1).any()
    assert not store.parameters(1).any()
    for name in ("logits", "augment", "moments", "probe"):
        assert len([f for f in (store.path / name / "c").rglob("*") if f.is_file()]) == 6


def test_without_shape_level_operations_there_are_no_parameters(tmp_path, content):
    store = Store.create(tmp_path / "plain.zarr", {"columns": []}, 2, np.arange(10), 3)
    for tile in store.tiles():
        store.write(tile, *content(tile, columns=0))
    store = Store.open(store.path)
    assert not (store.path / "augment").exists()
    assert store.columns == []
    assert store.parameters(1).shape == (10, 0)
    check_content(store, content)


@pytest.mark.parametrize(("rows", "last"), [(1, 1), (3, 3), (4, 4), (5, 1), (8, 4), (10, 2)])
def test_tiles_cover_every_row_once(tmp_path, rows, last, content):
    store = Store.create(tmp_path / "r.zarr", {"columns": ["a", "b"]}, 2, np.arange(rows), 3)
    tiles = list(store.tiles())
    covered = [(tile.view, row) for tile in tiles for row in range(tile.start, tile.stop)]
    assert covered == [(view, row) for view in range(2) for row in range(rows)]
    assert tiles[0] == Tile.first(rows)
    assert tiles[-1].stop - tiles[-1].start == last
    assert [tile.number for tile in tiles if tile.view == 1] == list(range(-(-rows // 4)))
    for tile in tiles:
        store.write(tile, *content(tile))
    check_content(store, content)


def test_a_store_keeps_the_tiles_it_was_made_with(empty, content, monkeypatch):
    monkeypatch.setattr(module, "TILE", 256)
    store = Store.open(empty.path)
    assert len(store.missing()) == 6
    for tile in store.missing():
        store.write(tile, *content(tile))
    check_content(store, content)


def test_the_size_is_that_of_all_files(full):
    assert full.bytes_on_disk() == sum(map(len, files(full.path).values()))


def test_notes_are_lines_of_json(empty):
    empty.note(Tile(1, 2, 8, 10), 1.25)
    empty.note(Tile(0, 0, 0, 4), 0.5)
    lines = [json.loads(line) for line in (empty.path / module.SIDECAR).read_text().splitlines()]
    assert [(line["view"], line["tile"], line["records"]) for line in lines] == [
        (1, 2, 2),
        (0, 0, 4),
    ]
    assert [line["seconds"] for line in lines] == [1.25, 0.5]
    assert lines[0]["process"] == os.getpid()


# What is recorded, and what is missing.


def test_missing_tiles_come_in_order(empty, content):
    tiles = list(empty.tiles())
    assert empty.missing() == tiles
    for written in (4, 1, 5):
        empty.write(tiles[written], *content(tiles[written]))
    store = Store.open(empty.path)
    assert store.committed().tolist() == [[False, True, False], [False, True, True]]
    assert store.missing() == [tiles[0], tiles[2], tiles[3]]


def test_tiles_may_be_written_in_any_order(empty, full, content, tmp_path):
    other = Store.create(
        tmp_path / "other.zarr", {"columns": ["scale_x", "scale_y"], "batch": 2},
        2, full.shapes, 3,
    )  # fmt: skip
    for tile in reversed(list(other.tiles())):
        other.write(tile, *content(tile))
    assert files(other.path) == files(full.path)


def test_the_probe_is_the_commit_mark(full, content):
    tile = list(full.tiles())[4]
    (full.path / "probe/c/1/1/0").unlink()
    assert Store.open(full.path).missing() == [tile]
    before = files(full.path)
    full.write(tile, *content(tile))
    assert not full.missing()
    assert {name for name in files(full.path) if name not in before} == {"probe/c/1/1/0"}
    check_content(full, content)


def test_the_probe_is_written_last(empty, content, monkeypatch):
    written = []
    real = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (written.append(Path(to)), real(self, to))[1]
    )
    tile = list(empty.tiles())[3]
    empty.write(tile, *content(tile))
    assert [str(path.relative_to(empty.path)) for path in written] == [
        *("logits/c/1/0/0", "augment/c/1/0/0", "moments/c/1/0/0", "probe/c/1/0/0")
    ]


def test_garbage_in_an_uncommitted_tile_is_written_over(full, content):
    expected = files(full.path)
    (full.path / "probe/c/1/2/0").unlink()
    for name in ("logits", "augment", "moments"):
        (full.path / name / "c/1/2/0").write_bytes(b"garbage")
    store = Store.open(full.path)
    (tile,) = store.missing()
    store.write(tile, *content(tile))
    assert files(full.path) == expected


def test_sweep_removes_what_a_killed_writer_left(full):
    expected = files(full.path)
    left = [full.path / "logits/c/0/0/0.3f2a.partial", full.path / "zarr.77.partial"]
    for file in left:
        file.write_bytes(b"half")
    full.sweep()
    assert files(full.path) == expected


# What is refused.


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "NaN or infinite logits in view 0, shapes 0 to 3"),
        (np.inf, "NaN or infinite"),
        (65505.0, "over float16"),
        (-1e6, "logit of 1e+06 in view 0, shapes 0 to 3: over float16"),
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
        Store.create(path, {"columns": []}, 1, np.arange(3), 3)
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
    assert sorted(tmp_path.rglob("*")) == before


def test_another_format_is_refused(full):
    head = json.loads((full.path / "zarr.json").read_text())
    head["attributes"]["format"] = "pointstill-records/9"
    (full.path / "zarr.json").write_text(json.dumps(head))
    with pytest.raises(RecordsError, match=r"has format pointstill-records/9, .*/1: ") as caught:
        Store.open(full.path)
    refused(caught.value, full.path)


def test_some_other_zarr_group_is_refused(tmp_path):
    import zarr

    zarr.create_group(tmp_path / "other.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="f4")
    for name in ("other.zarr", "array.zarr"):
        with pytest.raises(RecordsError) as caught:
            Store.open(tmp_path / name)
        refused(caught.value, tmp_path / name)


@pytest.mark.parametrize("name", ["", "logits", "augment", "moments", "probe", "shapes"])
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


@pytest.mark.parametrize("name", ["logits", "augment", "moments", "probe", "shapes"])
def test_a_missing_array_is_refused(full, name):
    shutil.rmtree(full.path / name)
    with pytest.raises(RecordsError, match="damaged") as caught:
        Store.open(full.path)
    refused(caught.value, full.path)


def read_all(path: Path) -> bytes:
    store = Store.open(path)
    views = [each(view) for view in range(store.views) for each in (store.logits, store.parameters)]
    arrays = [store.shapes, store.committed(), *views, *map(store.moments, store.tiles())]
    return b"".join([array.tobytes() for array in arrays] + [*map(store.proof, store.tiles())])


CHUNKS = ["logits/c/1/2/0", "augment/c/0/0/0", "moments/c/1/1/0", "probe/c/0/1/0", "shapes/c/0"]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_flipped_bit_is_noticed(full, chunk):
    file = full.path / chunk
    whole, content = file.read_bytes(), read_all(full.path)
    for place in range(0, len(whole), 4 if len(whole) < 50 else 9):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 7
        file.write_bytes(flipped)
        if (
            flipped[4] != whole[4]
        ):  # bit 4 of byte 4 of a zstd frame means nothing (RFC 8878, 3.1.1.1.1.3)
            assert read_all(full.path) == content
            continue
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


@pytest.mark.parametrize("chunk", ["logits/c/1/2/0", "augment/c/1/2/0", "shapes/c/0"])
def test_a_deleted_chunk_is_an_error_and_not_zeros(full, chunk):
    (full.path / chunk).unlink()
    with pytest.raises(RecordsError) as caught:
        read_all(full.path)
    refused(caught.value, full.path)
    if "shapes" not in chunk:
        assert "view 1, row 8" in str(caught.value)
        assert np.isfinite(full.logits(0)).all()
        assert np.isfinite(full.parameters(0)).all()


def test_an_unfinished_view_is_an_error_and_not_nan(empty, content):
    for tile in list(empty.tiles())[:5]:
        empty.write(tile, *content(tile))
    assert np.isfinite(empty.logits(0)).all()
    for read in (empty.logits, empty.parameters):
        with pytest.raises(RecordsError, match=r"view 1, row 8.* record` again") as caught:
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
        caught = attempt(Store.create, path, {"columns": ["a"]}, 2, np.arange(10), 3)
        monkeypatch.undo()
        if caught is None:
            break
        assert f"cannot be made ({error.strerror}): free or allow space" in refused(caught, path)
        assert not list((tmp_path / "deep").iterdir())
    assert after >= 7  # six headers and the shapes
    assert Store.open(path).rows == 10


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "records.zarr"
    caught = attempt(Store.create, path, {"columns": []}, 1, np.arange(3), 3)
    assert caught
    refused(caught, path)


@pytest.mark.parametrize("error", [FULL, READ_ONLY], ids=lambda e: errno.errorcode[e.errno])
@pytest.mark.parametrize("after", range(4))
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
    (full.path / "0.77.partial").touch()

    def unlink(self, missing_ok=False):
        raise READ_ONLY

    monkeypatch.setattr(Path, "unlink", unlink)
    caught = attempt(full.sweep)
    assert caught
    refused(caught, full.path)


SMALL_DISK = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from pointstill.errors import RecordsError
from pointstill.records import Store

disk = Path(sys.argv[1])
draw = np.random.default_rng(0)
logits, parameters = draw.normal(size=(8, 500, 40)), draw.normal(size=(8, 500, 6))
ballast = disk / "ballast"
ballast.write_bytes(bytes(200_000))

def fill(store):
    for tile in store.missing():
        rows = slice(tile.start, tile.stop)
        moments = np.ones((tile.stop - tile.start, 4))
        store.write(tile, logits[tile.view, rows], parameters[tile.view, rows], moments, b"1" * 32)

def refused(call, *arguments):
    try:
        call(*arguments)
    except RecordsError as error:
        print(error)
    else:
        sys.exit("not refused")

store = Store.create(disk / "r.zarr", {"columns": list("abcdef")}, 8, np.arange(500), 40)
refused(fill, store)
store = Store.open(disk / "r.zarr")
print(len(store.missing()))
refused(Store.create, disk / "s.zarr", {"columns": list("abcdef")}, 8, np.arange(500), 40)
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
    command = [*enter, sys.executable, "-c", SMALL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    full, missing, new, listing, read_only = done.stdout.splitlines()
    path = tmp_path / "r.zarr"
    assert full.startswith(f"records at {path} cannot be written (No space left on device): free")
    assert 0 < int(missing) < 16
    assert new.startswith(f"records at {tmp_path / 's.zarr'} cannot be made (No space left")
    assert listing == "['ballast', 'r.zarr']"
    assert read_only.startswith(f"records at {path} cannot be written (Read-only file system)")
