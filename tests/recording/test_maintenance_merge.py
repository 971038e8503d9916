"""Merge: parts make the whole to the byte, and what does not belong together is refused."""

import shutil
from pathlib import Path

import pytest
import zarr

import stand_ins
from pointstill.errors import RecordsError, UsageError
from pointstill.records.derive import merge
from stand_ins import Toy, files, refused, run

surroundings, made, data = stand_ins.surroundings, stand_ins.made_in_codecs, stand_ins.data
plain = stand_ins.plain


def test_parts_of_two_machines_make_the_whole(tmp_path, data, made):
    parts = [run(tmp_path / f"{i}.zarr", data, views=3, part=f"{i}/3") for i in (1, 2, 3)]
    assert [len(part.missing()) for part in parts] == [6, 5, 5]  # all have the first tile
    joined = merge([part.path for part in parts], tmp_path / "all.zarr")
    assert files(joined.path) == files(made / "float16")
    notes = {(note["view"], note["tile"]) for note in joined.notes()}
    assert len(notes) == len(joined.notes()) == 9
    two = merge([parts[1].path, parts[2].path], tmp_path / "two.zarr")
    assert len(two.missing()) == 2
    assert files(run(two.path, data, views=3).path) == files(made / "float16")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_shares_that_make_no_sense(tmp_path, data, text):
    with pytest.raises(UsageError, match="is no share: write 1/3, 2/3 and 3/3"):
        run(tmp_path / "r.zarr", data, part=text)


def test_different_numbers_of_views_and_damage_in_one(tmp_path, data, made, plain):
    shorter = run(tmp_path / "short.zarr", data, views=1)
    (plain.path / "logits/c.0.1.0").write_bytes(b"junk")
    joined = merge([plain.path, shorter.path], tmp_path / "all.zarr")
    assert files(joined.path) == files(made / "float16")
    shutil.rmtree(joined.path)
    (shorter.path / "logits/c.0.1.0").unlink()
    with pytest.raises(RecordsError, match=r"r\.zarr: array logits .*c\.0\.1\.0"):
        merge([plain.path, shorter.path], tmp_path / "all.zarr")
    assert not (tmp_path / "all.zarr").exists()
    assert not list(tmp_path.glob(".all*"))


def test_what_does_not_belong_together_is_not_merged(tmp_path, data, plain, made):
    def said(*stores: Path) -> str:
        with pytest.raises(RecordsError) as caught:
            merge(stores, tmp_path / "all.zarr")
        assert not (tmp_path / "all.zarr").exists()
        refused(caught.value)
        return str(caught.value)

    other = Toy()
    other.fingerprint = "beef"
    found = said(plain.path, run(tmp_path / "other.zarr", data, other).path)
    assert "other.zarr was made from something else (teacher.fingerprint: beef in the" in found
    assert "codec: int8 in the records, now float16" in said(plain.path, made / "int8")
    found = said(plain.path, run(tmp_path / "seed.zarr", data, seed=1).path)
    assert "augment.seed" in found
    assert "batch" in said(plain.path, run(tmp_path / "batch.zarr", data, batch_size=3).path)
    found = said(plain.path, run(tmp_path / "part.zarr", data, limit=8).path)
    assert "part.zarr has other shapes than" in found
    twin = Path(shutil.copytree(plain.path, tmp_path / "twin.zarr"))
    zarr.open_array(twin / "logits", mode="r+")[2, 9, 1] += 1
    found = said(plain.path, twin)
    assert f"{plain.path} and {twin} tell view 2, shapes 8 to 9 differently (largest KL" in found
    with pytest.raises(UsageError, match="two stores or more"):
        merge([plain.path], tmp_path / "all.zarr")
    with pytest.raises(RecordsError, match="exists: choose another --out"):
        merge([plain.path, plain.path], made / "int8")
