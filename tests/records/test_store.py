"""The store: what goes in comes out, exactly or not at all, whatever happens to its files."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from pointstill import __version__
from pointstill.records import Store, Tile, layout
from pointstill.records import store as module
from pointstill.records.folder import Folder
from small_stores import LABELS, about


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
            found = store.probe(tile)
            assert found[0] == proof
            np.testing.assert_array_equal(found[1], measured)


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
    made = {"format": "pointstill-records/3", "pointstill": __version__, "tile": 4, **about()}
    assert store.attributes == made | {"digest": store.attributes["digest"]}
    text = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
    numbers = store.shapes.astype("<i4").tobytes() + LABELS.astype("<i4").tobytes()
    assert store.attributes["digest"] == hashlib.sha256(text + numbers).hexdigest()


def test_float16_is_kept_to_its_ends(empty):
    logits = np.array(
        [[65504, -65504, 0], [2.0**-24, -(2.0**-14), 1 / 3], [2049, 1e-9, -0.1], [1, 2, 3]]
    )
    tile = Tile.first(10)
    empty.write(tile, logits, np.ones((4, 2)), np.ones((9, 4)), bytes(range(32)))
    for tile in empty.missing():
        rows = tile.stop - tile.start
        rest = np.zeros((rows, 3)), np.ones((rows, 2)), np.ones((9, 4)), b"\x01" * 32
        empty.write(tile, *rest)
    there = empty.logits(0)[:4]
    np.testing.assert_array_equal(there, logits.astype(np.float16).astype(np.float32))
    assert there[0].tolist() == [65504, -65504, 0]
    assert there[1, 0] == 2.0**-24


def test_values_that_look_empty_are_written_all_the_same(empty, content):
    for tile in empty.tiles():
        rows = tile.stop - tile.start
        zeros = np.zeros((rows, 3)), np.zeros((rows, 2)), np.zeros((9, 4))
        empty.write(tile, *zeros, b"\0" * 32)
    store = Store.open(empty.path)
    assert not store.missing()
    assert not store.logits(1).any()
    assert not store.parameters(1).any()
    for name in ("logits", "augment", "probe"):
        assert len(list((store.path / name).glob("c.*"))) == 6


def test_without_shape_level_operations_there_are_no_parameters(tmp_path, content):
    store = Store.create(tmp_path / "plain.zarr", about([]), 2, np.arange(10), LABELS)
    for tile in store.tiles():
        store.write(tile, *content(tile, columns=0))
    store = Store.open(store.path)
    assert not (store.path / "augment").exists()
    assert store.columns == []
    assert store.parameters(1).shape == (10, 0)
    check_content(store, content)


@pytest.mark.parametrize(("rows", "last"), [(1, 1), (3, 3), (4, 4), (5, 2), (8, 4), (10, 2)])
def test_tiles_cover_every_row_once(tmp_path, rows, last, content):
    store = Store.create(tmp_path / "r.zarr", about("ab"), 2, np.arange(rows), np.arange(rows) % 3)
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
    monkeypatch.setattr(layout, "TILE", 256)
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
    other = Store.create(tmp_path / "other.zarr", about(), 2, full.shapes, LABELS)
    for tile in reversed(list(other.tiles())):
        other.write(tile, *content(tile))
    assert files(other.path) == files(full.path)


def test_the_probe_is_the_commit_mark(full, content):
    tile = list(full.tiles())[4]
    (full.path / "probe/c.1.1.0").unlink()
    assert Store.open(full.path).missing() == [tile]
    before = files(full.path)
    full.write(tile, *content(tile))
    assert not full.missing()
    assert {name for name in files(full.path) if name not in before} == {"probe/c.1.1.0"}
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
        *("logits/c.1.0.0", "augment/c.1.0.0", "probe/c.1.0.0")
    ]


def test_garbage_in_an_uncommitted_tile_is_written_over(full, content):
    expected = files(full.path)
    (full.path / "probe/c.1.2.0").unlink()
    for name in ("logits", "augment"):
        (full.path / name / "c.1.2.0").write_bytes(b"garbage")
    store = Store.open(full.path)
    (tile,) = store.missing()
    store.write(tile, *content(tile))
    assert files(full.path) == expected


def test_sweep_removes_what_a_killed_writer_left(full):
    expected = files(full.path)
    left = [full.path / "logits/c.0.0.0.3f2a.partial", full.path / "zarr.77.partial"]
    for file in left:
        file.write_bytes(b"half")
    Folder(full.path).sweep()
    assert files(full.path) == expected
