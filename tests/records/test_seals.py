"""Chunks are bound to their places: whole chunks in wrong places are found, and named."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from test_store import check_content, files

from pointstill.errors import RecordsError
from pointstill.records import Store, headers
from pointstill.records.folder import Folder
from pointstill.records.layout import UNSEALED
from pointstill.records.location import SIDECAR
from pointstill.records.merge_and_subset import merge, subset
from pointstill.records.seals import seal
from small_stores import LABELS, VIEWS, about


@pytest.fixture
def unsealed(tmp_path, content) -> Store:
    """A full store of the format before."""
    made = about(format=UNSEALED)
    store = Store.create(tmp_path / "old.zarr", made, VIEWS, np.arange(0, 30, 3), LABELS)
    for tile in store.tiles():
        store.write(tile, *content(tile))
    return store


def swap(store: Store, one: str, other: str) -> None:
    """Let two chunks change places."""
    aside = store.path / "aside"
    (store.path / one).rename(aside)
    (store.path / other).rename(store.path / one)
    aside.rename(store.path / other)


def readings(store: Store) -> dict[str, object]:
    """All ways to read view 1, and what each says is wrong."""
    tile = store.tile(1, 0)
    ways = {
        "logits": lambda: store.logits(1),
        "some logits": lambda: store.logits(1, np.array([1, 2, 9])),
        "parameters": lambda: store.parameters(1),
        "some parameters": lambda: store.parameters(1, np.array([0, 5])),
        "tile logits": lambda: store.tile_logits(tile),
        "tile parameters": lambda: store.tile_parameters(tile),
        "check": lambda: store.check(tile),
        "stored": lambda: store.stored(tile),
        "probe": lambda: store.probe(tile),
        "committed": store.committed,
    }
    found = {}
    for name, way in ways.items():
        try:
            way()
        except RecordsError as error:
            found[name] = str(error)
    return found


def test_a_seal_is_a_hash_of_store_place_and_numbers(full):
    import hashlib

    raw = (full.path / "probe/c.1.2.0").read_bytes()[:-4]
    digest = bytes.fromhex(full.attributes["digest"])
    logits = (full.path / "logits/c.1.2.0").read_bytes()[: 2 * 3 * 2]  # two rows of three float16
    wanted = hashlib.sha256(digest + b"logits/c.1.2.0\0" + logits).digest()
    assert raw[176:208] == wanted
    assert raw[240:] == hashlib.sha256(digest + b"probe/c.1.2.0\0" + raw[:240]).digest()
    assert seal("00", "a", np.zeros(1, np.uint8)) == hashlib.sha256(b"\0a\0\0").digest()


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("logits/c.1.0.0", "logits/c.0.0.0", {"logits", "some logits", "tile logits"}),
        ("logits/c.1.0.0", "logits/c.1.1.0", {"logits", "some logits", "tile logits"}),
        ("augment/c.1.0.0", "augment/c.1.1.0", {"parameters", "some parameters"}),
        ("probe/c.1.0.0", "probe/c.0.1.0", {"probe", "committed", "logits", "parameters"}),
    ],
)
def test_chunks_that_changed_places_are_found(full, one, other, named):
    assert readings(full) == {}
    swap(full, one, other)
    found = readings(Store.open(full.path))
    assert named | {"check", "stored"} <= found.keys()
    array = one.partition("/")[0]
    for name in named - {"some logits", "some parameters"}:
        assert "is not what was recorded there (array" in found[name]
        assert "records repair" in found[name]
    assert f"array {array}, file c.1.0.0, by its seal" in found["check"]
    assert full.damaged()


def test_whole_tiles_that_changed_places_are_found(full):
    for array in ("logits", "augment", "probe"):
        swap(full, f"{array}/c.0.0.0", f"{array}/c.1.0.0")
    assert [tile.view for tile in Store.open(full.path).damaged()] == [0, 1]


def test_tiles_of_another_store_are_found(full, tmp_path, content):
    """With the same numbers: only the teacher is another."""
    made = about(teacher={"fingerprint": "beef"})
    other = Store.create(tmp_path / "other.zarr", made, VIEWS, full.shapes, LABELS)
    for tile in other.tiles():
        other.write(tile, *content(tile))
    for array in ("logits", "augment", "probe"):
        shutil.copy(other.path / array / "c.1.0.0", full.path / array / "c.1.0.0")
    assert full.damaged() == [full.tile(1, 0)]
    shutil.copy(full.path / "probe/c.1.1.0", other.path / "probe/c.1.1.0")
    with pytest.raises(RecordsError, match="by its seal"):
        other.committed()


def test_the_format_before_is_read_written_and_kept(unsealed, content, tmp_path, full):
    store = Store.open(unsealed.path)
    check_content(store, content)
    assert "digest" not in store.attributes
    assert zarr.open_array(store.path / "probe").shape[2] == 176
    assert f"has format {UNSEALED}" in store.caveat
    assert full.caveat == ""
    part = subset(store.path, tmp_path / "part.zarr", views=1)
    assert part.attributes["format"] == UNSEALED
    joined = merge([store.path, part.path], tmp_path / "joined.zarr")
    assert files(joined.path) == files(store.path)
    with pytest.raises(RecordsError, match=f"format: {UNSEALED[:-1]}3 in the records, now"):
        merge([store.path, full.path], tmp_path / "mixed.zarr")
    longer = store.lengthen(3)
    assert (longer.attributes["format"], len(longer.missing())) == (UNSEALED, 3)
    swap(store, "logits/c.1.0.0", "logits/c.0.0.0")
    assert store.damaged() == []  # which is what its caveat says


# What a store says of itself.


def rewrite(store: Store, name: str, change) -> None:
    """Edit a header and its copy in the backup alike."""
    content = json.loads((store.path / name).read_text())
    change(content)
    (store.path / name).write_text(json.dumps(content, indent=2))
    copies = headers.read(Folder(store.path))
    (store.path / headers.BACKUP).write_bytes(headers.pack(copies))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["class 1", "class 0", "class 2"]},
        {"teacher": {"fingerprint": "beef"}},
        {"data": {"fingerprint": "beef", "split": "train", "shapes": 30}},
        {"digest": "00" * 32},
        {"teacher_source": {"teacher": ["os:abort"]}},
        {"pointstill": "9"},
    ],
)
def test_other_attributes_are_found_though_the_backup_says_the_same(full, change):
    rewrite(full, "zarr.json", lambda head: head["attributes"].update(change))
    with pytest.raises(RecordsError, match="other attributes, shapes or labels than it was made"):
        Store.open(full.path)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": []},
        {"classes": "abc"},
        {"tile": 0},
        {"tile": "4"},
        {"tile": 10**30},
        {"codec": {"name": "int9", "records": 1, "kl_t1": 0, "kl_t4": 0, "argmax_flips": 0}},
        {"codec": "float16"},
        {"points": -1},
        {"keyed": 1},
        {"augment": {"operations": 3}},
        {"data": None},
        {"columns": ["a", "b", "c"]},
        {"features": {"names": ["xyz", "nothing"], "fingerprint": ""}},
        {"teacher_source": {"teacher": "os:abort"}},
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_attributes_of_another_kind_are_refused(full, unsealed, change, sealed):
    store = full if sealed else unsealed
    rewrite(store, "zarr.json", lambda head: head["attributes"].update(change))
    with pytest.raises(RecordsError) as caught:
        Store.open(store.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["logits", "augment", "probe", "shapes", "labels"])
@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**12, 10, 3]},
        {"shape": [2, 10**12, 3]},
        {"shape": [10**12]},
        {"shape": []},
        {"shape": [2.5, 10, 3]},
        {"data_type": "float64"},
        {"fill_value": 0},
        {"codecs": [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}]},
        {"codecs": [{"name": "bytes"}]},
        {"storage_transformers": [{"name": "x"}]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}}},
        {"node_type": "group"},
    ],
)
def test_headers_that_announce_something_else_are_refused(unsealed, name, change):
    rewrite(unsealed, f"{name}/zarr.json", lambda head: head.update(change))
    with pytest.raises(RecordsError, match="is damaged") as caught:
        Store.open(unsealed.path)
    assert "\n" not in str(caught.value)


def test_fewer_views_in_the_headers_leave_chunks_of_no_tile(full):
    for name in ("logits", "augment", "probe"):
        rewrite(full, f"{name}/zarr.json", lambda head: head.update(shape=[1, *head["shape"][1:]]))
    store = Store.open(full.path)
    assert store.views == 1
    with pytest.raises(RecordsError, match=r"9 faulty chunks \(logits/c\.1\.0\.0 of no tile"):
        store.check_chunks()


def test_shapes_out_of_order_and_labels_of_no_class_are_refused(unsealed):
    for name, at, value in (("shapes", 3, 99), ("labels", 3, 3), ("labels", 0, -2)):
        array = zarr.open_array(unsealed.path / name, mode="r+")
        before, array[at] = array[at], value
        rewrite(unsealed, "zarr.json", lambda head: None)
        with pytest.raises(RecordsError, match=f"is damaged .its {name} are not"):
            Store.open(unsealed.path)
        array[at] = before


def test_a_backup_writes_nothing_but_what_is_the_stores(full, tmp_path):
    whole = files(full.path)
    for name in ("../outside", "/tmp/outside", "logits/c.0.0.0", "provenance.jsonl"):
        copies = headers.read(Folder(full.path))
        (full.path / headers.BACKUP).write_bytes(headers.pack(copies | {name: b"evil"}))
        with pytest.raises(RecordsError, match=r"spare\.zip is missing or damaged"):
            Store.open(full.path)
        assert headers.restore(Folder(full.path)) == [headers.BACKUP]
        assert files(full.path) == whole
    assert not (tmp_path / "outside").exists()
    with zipfile.ZipFile(full.path / headers.BACKUP, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in headers.read(Folder(full.path)).items():
            archive.writestr(name, content)
        archive.writestr("labels/bomb", bytes(10**8))
    assert headers.backup(Folder(full.path)) is None


# Chunks that are missing are seen by a listing, before anything is read.


def test_missing_and_cut_chunks_are_listed(full):
    assert full.faulty_chunks() == []
    full.check_chunks()
    (full.path / "logits/c.1.0.0").unlink()
    (full.path / "augment/c.0.2.0").write_bytes(b"half")
    (full.path / "probe/c.0.1.0").write_bytes(b"")
    (full.path / "logits/c.7.0.0").write_bytes(b"")
    (full.path / "logits/c.1.9.0").write_bytes(b"")
    found = full.faulty_chunks()
    assert found == [
        "logits/c.1.0.0 missing",
        "logits/c.1.9.0 of no tile",
        "logits/c.7.0.0 of no tile",
        "augment/c.0.2.0 of 4 bytes in place of 36",
        "probe/c.0.1.0 of 0 bytes in place of 276",
    ]
    with pytest.raises(RecordsError, match=r"has 5 faulty chunks \(logits/c\.1\.0\.0 missing; "):
        full.check_chunks()


def test_tiles_without_a_mark_lack_nothing(full):
    (full.path / "probe/c.1.0.0").unlink()
    (full.path / "logits/c.1.0.0").write_bytes(b"killed")
    (full.path / "augment/c.1.0.0").unlink()
    (full.path / "logits/c.0.0.d3adb33f.partial").write_bytes(b"left")
    assert full.faulty_chunks() == []
    assert full.missing() == [full.tile(1, 0)]


# The sidecar.


def test_a_note_that_was_changed_is_passed_over(full, content):
    for tile in full.tiles():
        full.note(tile, 0.5, name="float16")
    sidecar = full.path / SIDECAR
    lines = sidecar.read_text().splitlines()
    assert (len(full.notes()), full.read_notes()[1]) == (6, 0)
    other = lines[1].replace('"seconds": 0.5', '"seconds": 0.6')
    deep = '{"view": ' + "[" * 5000 + "]" * 5000 + "}"
    sidecar.write_text("\n".join([lines[0], other, deep, lines[2][:-5], *lines[3:]]) + "\n")
    notes, bad = full.read_notes()
    assert (len(notes), bad) == (4, 3)


def test_half_a_note_takes_no_other_along(full):
    full.note(full.tile(0, 0), 0.5)
    sidecar = full.path / SIDECAR
    sidecar.write_text(sidecar.read_text() + '{"view": 1, "ti')
    full.note(full.tile(1, 0), 0.5)
    notes, bad = full.read_notes()
    assert ([note["view"] for note in notes], bad) == ([0, 1], 1)


def test_notes_of_another_store_are_none(full, tmp_path):
    made = about(teacher={"fingerprint": "beef"})
    other = Store.create(tmp_path / "other.zarr", made, VIEWS, full.shapes, LABELS)
    other.note(other.tile(0, 0), 0.5)
    shutil.copy(other.path / SIDECAR, full.path / SIDECAR)
    assert full.read_notes() == ([], 1)


# Sweeping takes what is its own, and dead.


def test_a_sweep_leaves_what_is_of_others(tmp_path):
    path = tmp_path / "records"
    dead = tmp_path / ".records.4711-22.draft"
    others = [
        ".records.zarr.4711-22.draft",
        ".records.backup.draft",
        ".records.draft",
        ".records..draft",
        "records.4711-22.draft",
        ".my.records.4711-22.draft",
    ]
    for name in [dead.name, *others]:
        (tmp_path / name / "logits").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (tmp_path / ".records.1-1.draft").symlink_to(elsewhere)
    (tmp_path / ".records.2-2.draft").write_text("mine")
    Folder(path).sweep()
    assert not dead.exists()
    assert all((tmp_path / name / "logits").is_dir() for name in others)
    assert (elsewhere / "mine").exists()
    assert (tmp_path / ".records.2-2.draft").read_text() == "mine"


def test_a_sweep_leaves_the_draft_of_a_maker_that_lives(tmp_path):
    """Also of one that holds no lock, as from Python."""
    path = tmp_path / "r.zarr"
    with Folder(path).new() as draft:
        child = os.fork()  # another process, as a lock of one's own is no obstacle
        if not child:
            Folder(path).sweep()
            os._exit(int(not draft.exists()))
        assert os.waitpid(child, 0)[1] == 0
        (draft / "whole").touch()
    assert (path / "whole").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["r.zarr"]


def test_a_sweep_inside_takes_what_writers_leave(full):
    mine = ["notes.partial", "logits/mine.partial", "own/c.0.0.partial"]
    for name in mine:
        (full.path / name).parent.mkdir(exist_ok=True)
        (full.path / name).touch()
    for name in ("zarr.77.partial", "logits/c.0.0.d3adb33f.partial", "spare.zip.9.partial"):
        (full.path / name).touch()
    Folder(full.path).sweep()
    assert sorted(str(f.relative_to(full.path)) for f in Path(full.path).rglob("*.partial")) == (
        sorted(mine)
    )
