"""What is done with stores after recording: repair, extend, merge, subset, verify."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pointstill.data import open_dataset
from pointstill.data.selection import limited
from pointstill.errors import RecordsError, UsageError
from pointstill.recording.maintenance import extend, repair, verify
from pointstill.records import Store, headers
from pointstill.records.matching import check_records
from pointstill.records.merge_and_subset import merge, subset
from small_stores import forge, negate
from stand_ins import Killed, Toy, countdown, files, refused, run, scans

pytestmark = pytest.mark.usefixtures("surroundings")


@pytest.fixture(scope="module")
def made(made_in_codecs: Path) -> Path:
    """Scans, and stores of them in every codec."""
    return made_in_codecs


@pytest.fixture
def recorded_in_public(made: Path, public_path: Path) -> tuple[Store, Path]:
    """A store where everybody may go, and a chunk of it that nobody but root may read."""
    path = Path(shutil.copytree(made / "float16", public_path / "r.zarr"))
    chunk = path / "logits" / "c.0.0.0"
    chunk.chmod(0)
    return Store.open(path), chunk


# Repair: whatever of a store breaks is named when it is read, and mended to the byte.


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
        if broken == headers.BACKUP and kind == "flipped":  # in a date it means nothing
            assert not said or "run `pointstill records repair" in said
            repair(path, quiet=True)
            file.write_bytes(content)
            continue
        assert str(path) in said, broken
        assert broken.rpartition("/")[2] in said
        if chunk:
            with pytest.raises(RecordsError, match=r"1 tiles that are damaged .*give --teacher"):
                repair(path, quiet=True)
            found = repair(path, Toy(), data, quiet=True)
            assert (found.headers, len(found.tiles)) == ([], 1)
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
    # Checksums and seals that are right, of a number that is wrong.
    forge(plain, plain.tile(1, 0), "augment", negate)
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


def test_header_and_backup_both_lost(plain):
    (plain.path / headers.BACKUP).write_bytes(b"junk")
    (plain.path / "shapes/c.0").unlink()
    with pytest.raises(RecordsError) as caught:
        repair(plain.path, quiet=True)
    refused(caught.value, "shapes/c.0", "is lost, and so is", "spare.zip: restore")


# Extend: a store of more views is the one that was recorded with so many, and loses nothing.


@pytest.mark.parametrize("keyed", [True, False])
def test_extending_gives_the_store_of_more_views(tmp_path, data, keyed):
    longer = run(tmp_path / "longer.zarr", data, views=5, keyed=keyed)
    store = run(tmp_path / "r.zarr", data, views=2, keyed=keyed)
    before = store.fingerprint
    store = extend(store.path, Toy(), data, views=5, quiet=True)
    assert files(store.path) == files(longer.path)
    assert (store.fingerprint, store.views) == (longer.fingerprint, 5)
    assert store.fingerprint != before
    with pytest.raises(UsageError, match="has 5 views: give more"):
        extend(store.path, Toy(), data, views=4, quiet=True)


def test_an_extension_by_another_teacher_changes_nothing(plain, data):
    before, other = files(plain.path), Toy()
    other.fingerprint = "beef"
    with pytest.raises(RecordsError, match=r"teacher\.fingerprint"):
        extend(plain.path, other, data, views=9, quiet=True)
    assert files(plain.path) == before


def test_an_extension_that_is_killed_goes_on(tmp_path, made, data, monkeypatch):
    """At any step of any write; what was recorded before stays readable or is named to repair."""
    longer = files(run(tmp_path / "longer.zarr", data, views=4).path)
    for count in range(0, 200, 3):
        path, step = tmp_path / f"{count}.zarr", countdown(count)
        shutil.copytree(made / "float16", path)
        with monkeypatch.context() as patch:
            for name in ("open", "replace"):
                real = getattr(Path, name)

                def method(self, *arguments, real=real, step=step, **options):
                    if real.__name__ == "replace" or arguments[:1] in (("wb",), ("a",)):
                        step()
                    return real(self, *arguments, **options)

                patch.setattr(Path, name, method)
            try:
                extend(path, Toy(), data, views=4, quiet=True)
            except Killed:
                pass
            else:
                break
        assert files(extend(path, Toy(), data, views=4, quiet=True).path) == longer, count
    assert count > 10


# Merge: parts make the whole to the byte, and what does not belong together is refused.


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
    with pytest.raises(
        RecordsError, match=r"r\.zarr: view 0, .* \(array logits, file c\.0\.1\.0: "
    ):
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
    forge(Store.open(twin), plain.tile(2, 2), "logits", lambda logits: logits.__iadd__(1))
    found = said(plain.path, twin)
    assert f"{plain.path} and {twin} differ in view 2, shapes 8 to 9 (largest KL" in found
    with pytest.raises(UsageError, match="two stores or more"):
        merge([plain.path], tmp_path / "all.zarr")
    with pytest.raises(RecordsError, match="exists: choose another --out"):
        merge([plain.path, plain.path], made / "int8")


# Subset: fewer views, shapes or classes, of what is sound.


def test_fewer_views_are_the_store_of_fewer_views(tmp_path, data, plain):
    part = subset(plain.path, tmp_path / "part.zarr", views=2)
    assert files(part.path) == files(run(tmp_path / "two.zarr", data, views=2).path)
    with pytest.raises(UsageError, match="has 3 views: choose 1 to 3"):
        subset(plain.path, tmp_path / "more.zarr", views=4)


def test_a_limit_takes_the_shapes_of_the_limit(tmp_path, store, data):
    part = subset(store.path, tmp_path / "part.zarr", data, limit=6)
    np.testing.assert_array_equal(part.shapes, limited(data.train, 6))
    np.testing.assert_array_equal(part.labels, data.train.labels[part.shapes])
    for view in range(3):
        np.testing.assert_array_equal(part.logits(view), store.logits(view)[part.shapes])
        np.testing.assert_array_equal(part.parameters(view), store.parameters(view)[part.shapes])
    assert verify(part, data, tiles=None, teacher=Toy(), quiet=True).tiles == 6


def test_some_classes(tmp_path, plain, data):
    part = subset(plain.path, tmp_path / "part.zarr", data, classes=["lamp", "bench"], views=1)
    assert set(part.labels.tolist()) == {0, 1}
    assert (part.views, part.rows, part.logits(0).shape) == (1, 7, (7, 3))
    assert verify(part, data, tiles=None, quiet=True).tiles == 2
    with pytest.raises(RecordsError, match="train from the store that it was cut from"):
        check_records(part, data.train, np.arange(10))
    with pytest.raises(UsageError, match="no class sofa"):
        subset(plain.path, tmp_path / "sofa.zarr", data, classes=["sofa"])
    with pytest.raises(UsageError, match="give --data"):
        subset(plain.path, tmp_path / "none.zarr", classes=["lamp"])
    with pytest.raises(RecordsError, match="has not recorded the shapes of --limit 9"):
        subset(part.path, tmp_path / "nine.zarr", data, limit=9)


def test_a_part_of_what_is_damaged_is_refused(tmp_path, plain, data):
    forge(plain, plain.tile(0, 2), "augment", lambda parameters: parameters.__imul__(1.5))
    with pytest.raises(RecordsError, match="view 0, shapes 8 to 9 does not replay"):
        subset(plain.path, tmp_path / "part.zarr", data, limit=4)
    (plain.path / "probe/c.0.0.0").unlink()
    with pytest.raises(RecordsError, match=r"view 0, shapes 0 to 3 is not recorded: .*unfinished"):
        subset(plain.path, tmp_path / "part.zarr", views=1)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


# Verify: nothing wrong is passed over, and the tile that is wrong is named.


class Forgetful(Toy):
    """The same fingerprint, other logits."""

    def logits(self, points: Tensor) -> Tensor:
        return super().logits(points) + torch.tensor([0.0, 0.0, 0.5])


def test_a_chunk_that_may_not_be_read_is_not_wrong(recorded_in_public, data, unprivileged):
    store, chunk = recorded_in_public
    assert len(data.train)  # read before the rights are gone
    with unprivileged(), pytest.raises(RecordsError, match="Permission denied") as caught:
        verify(store, data, tiles=None, quiet=True)
    assert str(chunk) in str(caught.value)
    assert "nothing says that it is damaged" in str(caught.value)


def test_what_was_recorded_verifies(store, data):
    found = verify(store, data, tiles=None, quiet=True)
    assert (found.tiles, found.moment_sums, found.kl, found.logit) == (9, 0, None, None)
    found = verify(store, data, teacher=Toy(), tiles=4, quiet=True)
    assert (found.tiles, found.kl, found.logit) == (4, 0, 0)
    assert str(found) == (
        "4 tiles replay within 0.0e+00; the teacher says the same within KL 0.0e+00, 0.0e+00 a "
        "logit"
    )


def test_a_teacher_that_says_otherwise_is_found_out(store, data):
    with pytest.raises(RecordsError) as caught:
        verify(store, data, teacher=Forgetful(), quiet=True)
    refused(caught.value, "wrong in 9 of 9 tiles", "view 0, shapes 0 to 3: the teacher now says")
    assert verify(store, data, teacher=Forgetful(), tolerance=9.0, quiet=True).kl < 9


def test_the_tile_with_other_logits_is_named(plain, data):
    def change(logits: np.ndarray) -> None:
        logits[1, 0] += 3

    forge(plain, plain.tile(1, 1), "logits", change)
    assert verify(plain, data, tiles=None, quiet=True).tiles == 9
    with pytest.raises(RecordsError) as caught:
        verify(plain, data, tiles=None, teacher=Toy(), quiet=True)
    refused(caught.value, "wrong in 1 of 9 tiles (view 1, shapes 4 to 7", "logit differs by 3")


def test_a_wrong_parameter_a_broken_file_and_other_labels_are_named(plain, tmp_path, data):
    forge(plain, plain.tile(2, 2), "augment", lambda parameters: parameters.__imul__(1.5))
    (plain.path / "logits/c.0.0.0").write_bytes(b"")
    with pytest.raises(RecordsError) as caught:
        verify(plain, data, tiles=None, teacher=Toy(), quiet=True)
    refused(caught.value, "wrong in 2 of 9 tiles", "file c.0.0.0", "view 2, shapes 8 to 9 does not")
    plain.labels[3] ^= 1
    with pytest.raises(RecordsError, match="labels that are not those of the data"):
        verify(plain, data, quiet=True)
    with pytest.raises(RecordsError, match=r"data\.fingerprint"):
        verify(plain, open_dataset(scans(tmp_path / "other", seed=1)), quiet=True)
