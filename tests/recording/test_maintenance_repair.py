"""Repair: whatever of a store breaks is named when it is read, and mended to the byte."""

import random
import shutil
from pathlib import Path

import pytest
import zarr

import stand_ins
from pointstill.data import open_dataset
from pointstill.errors import RecordsError
from pointstill.recording.maintenance import repair
from pointstill.records import Store, headers
from stand_ins import Toy, files, refused, run, scans

surroundings, made, data = stand_ins.surroundings, stand_ins.made_in_codecs, stand_ins.data
store, plain = stand_ins.store, stand_ins.plain


def read_all(path: Path) -> str:
    """Read a whole store; what is said if it is damaged."""
    try:
        store = Store.open(path)
        store.committed()
        for view in range(store.views):
            store.logits(view)
            store.parameters(view)
    except RecordsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keyed", "flipped"),
        *(
            pytest.param(name, kind, marks=pytest.mark.slow)
            for name in ("float16", "int8", "topk")
            for kind in ("flipped", "cut", "emptied", "removed")
        ),
    ],
)
def test_every_file_of_a_store_can_break_and_is_mended(tmp_path, made, data, name, kind):
    """One file at a time: named when read, and mended to the byte."""
    path, draw = Path(shutil.copytree(made / name, tmp_path / "r.zarr")), random.Random(kind)
    whole = files(path)
    for broken, content in whole.items():
        file, chunk = path / broken, broken.startswith(("logits/c", "augment/c", "probe/c"))
        if kind == "removed":
            if broken.startswith("probe/c"):
                continue  # that is a tile which is not recorded yet
            file.unlink()
        elif kind == "flipped":
            flipped = bytearray(content)
            flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            file.write_bytes(flipped)
        else:
            file.write_bytes(content[: draw.randrange(len(content))] if kind == "cut" else b"")
        said = read_all(path)
        if broken == headers.SPARE and kind == "flipped":  # in a date it means nothing
            assert not said or "run `pointstill records repair" in said
            repair(path, quiet=True)
            file.write_bytes(content)
            continue
        assert str(path) in said, broken
        assert broken.rpartition("/")[2] in said
        if chunk:
            with pytest.raises(RecordsError, match=r"1 tiles are damaged .*give --teacher"):
                repair(path, quiet=True)
            found = repair(path, Toy(), data, quiet=True)
            assert (found.heads, len(found.tiles)) == ([], 1)
        else:
            assert repair(path, quiet=True) == ([broken], [])
        assert files(path) == whole, broken


def test_a_missing_probe_is_a_tile_to_record(store, data):
    whole = files(store.path)
    (store.path / "probe/c.1.1.0").unlink()
    assert repair(store.path, quiet=True).tiles == []
    options = {"codec": store.coding.name, "keyed": store.keyed}
    augment = "scale,shift,jitter" if store.keyed else "scale,shift"
    assert files(run(store.path, data, views=3, augment=augment, **options).path) == whole


def test_only_what_is_damaged_is_recorded_again(plain, data):
    whole = files(plain.path)
    (plain.path / "logits/c.0.1.0").write_bytes(b"")
    (plain.path / "augment/c.2.2.0").unlink()
    count = 0

    def ask() -> None:
        nonlocal count
        count += 1

    assert str(repair(plain.path, Toy(ask), data, quiet=True)) == (
        "recorded again view 0, shapes 4 to 7; view 2, shapes 8 to 9"
    )
    assert count == 2
    assert files(plain.path) == whole
    assert str(repair(plain.path, Toy(ask), data, quiet=True)) == "nothing was damaged"
    assert count == 2


def test_what_does_not_replay_is_recorded_again(plain, data):
    whole = files(plain.path)
    augment = zarr.open_array(plain.path / "augment", mode="r+")
    augment[1, 2, 3] = -augment[1, 2, 3]  # a checksum that is right, of a number that is wrong
    assert repair(plain.path, quiet=True).tiles == []
    assert list(map(str, repair(plain.path, Toy(), data, quiet=True).tiles)) == [
        "view 1, shapes 0 to 3"
    ]
    assert files(plain.path) == whole


def test_another_teacher_or_data_repairs_nothing(plain, tmp_path, data):
    (plain.path / "logits/c.0.1.0").write_bytes(b"")
    before, other = files(plain.path), Toy()
    other.fingerprint = "beef"
    elsewhere = open_dataset(scans(tmp_path / "other", seed=1))
    for teacher, source, named in (
        (other, data, "teacher.fingerprint: f00d in the records, now beef"),
        (Toy(), elsewhere, "data.fingerprint"),
    ):
        with pytest.raises(RecordsError) as caught:
            repair(plain.path, teacher, source, quiet=True)
        refused(caught.value, named, "give the teacher and the data that it was made with")
        assert files(plain.path) == before


def test_head_and_spare_both_lost(plain):
    (plain.path / headers.SPARE).write_bytes(b"junk")
    (plain.path / "shapes/c.0").unlink()
    with pytest.raises(RecordsError) as caught:
        repair(plain.path, quiet=True)
    refused(caught.value, "shapes/c.0", "are both lost: restore")
