"""Folders of class folders: what is found, and how it is split."""

import os
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from pointstill.data import open_dataset
from pointstill.data.readers import read_cloud
from pointstill.data.sources.known import in_fold
from pointstill.errors import DataError, UsageError


def test_every_shape_is_in_one_split(scans):
    data = open_dataset(scans)
    assert (data.kind, data.up, data.classes) == ("folder", "z", ("cone", "cube", "ring"))
    names = data.train.names + data.test.names
    assert sorted(names) == sorted(p.relative_to(scans).as_posix() for p in scans.rglob("*.npy"))
    for split in (data.train, data.test):
        for i, name in enumerate(split.names):
            np.testing.assert_array_equal(split.cloud(i), np.load(scans / name))
            assert split.classes[split.labels[i]] == name.partition("/")[0]


def test_folds_part_the_shapes(scans):
    tested = [name for fold in range(5) for name in open_dataset(scans, fold=fold).test.names]
    assert sorted(tested) == sorted(p.relative_to(scans).as_posix() for p in scans.rglob("*.npy"))


def test_the_split_depends_on_names_alone(scans, tmp_path):
    before = open_dataset(scans).test
    shutil.copytree(scans, tmp_path / "elsewhere" / "copy")
    after = open_dataset(tmp_path / "elsewhere" / "copy").test
    assert after.names == before.names
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 23, 99])
def test_each_fold_holds_out_a_fifth_of_a_class(size):
    names = [f"{i:03}.xyz" for i in range(size)]
    folds = [in_fold("car", names, fold) for fold in range(5)]
    if size >= 5:
        assert sorted(name for fold in folds for name in fold) == names
        assert {len(fold) for fold in folds} <= {size // 5, size // 5 + 1}
    else:
        assert all(len(fold) == (size > 1) for fold in folds)


def test_folds_of_classes_are_drawn_apart():
    names = [f"{i:03}.xyz" for i in range(50)]
    assert in_fold("car", names, 0) != in_fold("tree", names, 0)


@pytest.mark.parametrize("place", ["{split}/{name}", "{name}/{split}"])
def test_a_split_above_or_below_is_respected(place, scans, tmp_path):
    expected = {"train": [], "test": []}
    for i, file in enumerate(sorted(scans.rglob("*.npy"))):
        split = "train" if i % 3 else "test"
        folder = tmp_path / "own" / place.format(split=split, name=file.parent.name)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
        expected[split].append(f"{file.parent.name}/{file.name}")
    data = open_dataset(tmp_path / "own")
    assert data.classes == ("cone", "cube", "ring")
    for split, names in expected.items():
        assert [n.replace(f"{split}/", "") for n in getattr(data, split).names] == names
    with pytest.raises(UsageError, match="leave out fold 1"):
        open_dataset(tmp_path / "own", fold=1)


@pytest.mark.parametrize("place", ["{split}/{name}", "{name}/{split}"])
def test_a_folder_beside_the_splits_is_said_to_be_ignored(place, scans, tmp_path):
    root = tmp_path / "own"
    for split in ("train", "test", "val"):
        for name in ("cone", "cube"):
            shutil.copytree(scans / name, root / place.format(split=split, name=name))
        if split == "test":
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                whole = open_dataset(root)
    ignored = "val/" if place.startswith("{split}") else "cone/val/, cube/val/"
    with pytest.warns(UserWarning, match="beside train/ and test/ is no split") as told:
        data = open_dataset(root)
    (said,) = [str(each.message) for each in told]
    assert said.startswith(f"{root}: {ignored} beside ")
    assert "\n" not in said
    assert (data.classes, data.train.names) == (whole.classes, whole.train.names)
    assert data.test.names == whole.test.names


def test_kinds_of_files_may_be_mixed(scans, clouds):
    np.savetxt(scans / "cone" / "text.xyz", clouds(20))
    trimesh.creation.box().export(scans / "cone" / "mesh.stl")
    data = open_dataset(scans)
    sizes = dict(zip(data.train.names, data.train.sizes, strict=True))
    sizes |= dict(zip(data.test.names, data.test.sizes, strict=True))
    assert sizes["cone/text.xyz"] == 20
    assert sizes["cone/mesh.stl"] == 2048


def test_hidden_and_unknown_files_are_passed_over_and_counted(scans):
    before = open_dataset(scans).train.fingerprint
    for name in (".DS_Store", ".hidden.npy", "README.md", "notes"):
        (scans / "cone" / name).write_text("no cloud")
    (scans / ".git").mkdir()
    (scans / "about.txt").write_text("no class")
    (scans / "__MACOSX" / "cone").mkdir(parents=True)
    np.save(scans / "__MACOSX" / "cone" / "._000.npy", np.ones((9, 3)))
    for name in ("._000.npy", "Thumbs.db", "desktop.ini"):
        (scans / "cube" / name).write_text("no cloud")
    said = (
        "passed over files of an ending that is not read (2, such as cone/README.md), "
        "hidden (1, such as cone/.hidden.npy): `pointstill data info` counts all"
    )
    assert remarks(scans) == [said]
    with pytest.warns(UserWarning, match="passed over"):
        data = open_dataset(scans)
    assert data.train.fingerprint == before
    assert Counter(each.reason for each in data.listed.passed_over) == {
        "left by a system": 6,
        "hidden": 1,
        "files of an ending that is not read": 2,
        "files beside class folders": 1,
    }


def test_an_empty_class_is_named(scans):
    (scans / "void").mkdir()
    (scans / "void" / "readme.md").write_text("nothing")
    with pytest.raises(DataError, match=r"void is an empty class \(no file in it is ply, pcd, las"):
        open_dataset(scans)


def test_a_class_without_the_split_of_the_others_is_named(scans):
    for file in sorted((scans / "cone").iterdir()):
        (scans / "cone" / "train").mkdir(exist_ok=True)
        file.rename(scans / "cone" / "train" / file.name)
    with pytest.raises(DataError, match="cube has neither train/ nor test/"):
        open_dataset(scans)


def test_a_split_that_is_not_there_fails_when_it_is_asked_for(scans, tmp_path):
    shutil.copytree(scans, tmp_path / "half" / "train")
    data = open_dataset(tmp_path / "half")
    assert len(data.train) == 18
    with pytest.raises(DataError, match="no shape in the test split"):
        data.test  # noqa: B018


def test_the_up_axis_is_said_by_the_user(scans):
    """It is part of the frame, so of cache and fingerprint; points stay as they are."""
    z, y = open_dataset(scans), open_dataset(scans, up="y")
    assert (z.up, y.up, y.train.up) == ("z", "y", "y")
    assert open_dataset(scans, up="z").train.fingerprint == z.train.fingerprint
    assert y.train.fingerprint != z.train.fingerprint
    np.testing.assert_array_equal(y.train.points, z.train.points)
    with pytest.raises(UsageError, match="up is 'w': choose x, y or z"):
        open_dataset(scans, up="w")


def test_an_up_axis_that_is_fixed_is_not_asked_for(hdf5, tmp_path):
    assert open_dataset(hdf5, up="y").up == "y"
    with pytest.raises(UsageError, match="is modelnet-hdf5, where y is up: leave out up z"):
        open_dataset(hdf5, up="z")
    with pytest.raises(UsageError, match="primitives is primitives, where z is up: leave out up x"):
        open_dataset("primitives", up="x")
    for split in ("train", "test"):
        (tmp_path / "off" / "box" / split).mkdir(parents=True)
        trimesh.creation.box().export(tmp_path / "off" / "box" / split / "a.off")
    with pytest.raises(UsageError, match="is modelnet-off, where z is up: leave out up y"):
        open_dataset(tmp_path / "off", up="y")


@pytest.mark.parametrize(
    ("up", "angle", "about"),
    [("y", 0, [1, 0, 0]), ("z", 90, [1, 0, 0]), ("x", -90, [0, 0, 1]), (None, 90, [1, 0, 0])],
)
def test_a_glb_is_turned_upright(up, angle, about, tmp_path):
    """By a rotation that takes its y axis to the one that is up, and no mirror."""
    mesh = trimesh.creation.icosphere(1)
    mesh.apply_scale((1, 3, 2))
    mesh.apply_translation((10, 20, 30))
    (tmp_path / "scans" / "egg").mkdir(parents=True)
    for name in ("a.glb", "b.ply"):
        mesh.export(tmp_path / "scans" / "egg" / name)
    data = open_dataset(tmp_path / "scans", up=up)
    cloud = {
        name: split.cloud(i)
        for split in (data.train, data.test)
        for i, name in enumerate(split.names)
    }
    turn = Rotation.from_rotvec(np.radians(angle) * np.array(about))
    centre = cloud["egg/a.glb"].mean(axis=0)
    np.testing.assert_allclose(centre, turn.apply([10, 20, 30]), atol=0.2)
    plain = read_cloud(tmp_path / "scans" / "egg" / "a.glb")
    np.testing.assert_allclose(cloud["egg/a.glb"], turn.apply(plain), atol=1e-5)
    np.testing.assert_allclose(cloud["egg/b.ply"].mean(axis=0), [10, 20, 30], atol=0.2)


def test_nothing_readable_names_what_would_be(tmp_path):
    (tmp_path / "odd" / "car").mkdir(parents=True)
    (tmp_path / "odd" / "car" / "a.dwg").write_text("?")
    with pytest.raises(
        DataError, match=r"no known layout: give a folder that holds .*ply, pcd, las, laz"
    ):
        open_dataset(tmp_path / "odd")


def remarks(root) -> list[str]:
    """What is said when a folder is opened, without its name."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        open_dataset(root)
    return [str(each.message).removeprefix(f"{root}: ") for each in told]


def test_a_plain_folder_is_opened_without_a_word(scans):
    (scans / "README.txt").write_text("about\n")
    (scans / "cone" / ".DS_Store").write_text("")
    assert remarks(scans) == []


PASSED = {
    "README.txt": "texts about the data",
    "classes.txt": "texts about the data",
    "train_list.txt": "texts about the data",
    "000_labels.txt": "files whose names go on from that of a cloud",
    "000.seg": "files of an ending that is not read",
    "000.json": "files of an ending that is not read",
    "001-normals.npy": "files whose names go on from that of a cloud",
}


@pytest.mark.parametrize("name", PASSED)
def test_files_that_go_with_clouds_are_passed_over_and_said(name, scans):
    before = open_dataset(scans)
    np.savetxt(scans / "cone" / name, np.ones((9, 3)))
    (said,) = remarks(scans)
    assert said.startswith(f"passed over {PASSED[name]}")
    assert f" (1, such as cone/{name}): " in said
    with pytest.warns(UserWarning, match="passed over"):
        after = open_dataset(scans)
    assert (after.train.names, after.test.names) == (before.train.names, before.test.names)


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_folders_below_a_class_and_broken_links_are_said(scans):
    shutil.copytree(scans / "cube", scans / "cone" / "raw")
    (scans / "cone" / "gone.npy").symlink_to(scans / "nowhere.npy")
    (scans / "cone" / "circle.npy").symlink_to("circle.npy")
    os.mkfifo(scans / "ring" / "pipe.npy")
    np.save(scans / "loose.npy", np.ones((9, 3)))
    (scans / "cone" / "circle").symlink_to(scans)
    said, below = remarks(scans)
    assert below.startswith("6 of 24 clouds are in folders below those of the classes, such as co")
    for part in (
        "broken links (2, such as cone/circle.npy)",
        "linked folders below a class (1, such as cone/circle/)",
        "neither files nor folders (1, such as ring/pipe.npy)",
        "clouds beside class folders (1, such as loose.npy)",
    ):
        assert part in said
    with pytest.warns(UserWarning, match="are in folders below"):
        data = open_dataset(scans)
    names = data.train.names + data.test.names
    assert sorted(names) == sorted(
        path.relative_to(scans).as_posix()
        for path in scans.rglob("*.npy")
        if path.is_file() and path.name not in ("pipe.npy", "loose.npy") and path.parent != scans
    )


@pytest.mark.parametrize("other", ["001.ply", "001.xyz", "001.npy.txt", "001.NPZ"])
def test_an_object_in_two_formats_is_refused(other, scans):
    (scans / "cone" / other).write_text("?")
    with pytest.raises(DataError, match=r"cone holds an object twice, as 001\..*: move one of"):
        open_dataset(scans)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_file_under_two_names_is_refused_where_it_leaks(link, scans, tmp_path):
    getattr(scans / "cone" / "other.npy", link)(scans / "cone" / "001.npy")
    with pytest.raises(DataError, match=r"has one file, by a link, as cone/001.npy and cone/other"):
        open_dataset(scans)
    (scans / "cone" / "other.npy").unlink()
    own = tmp_path / "own"
    shutil.copytree(scans, own / "train")
    shutil.copytree(scans, own / "test")
    getattr(own / "train" / "cone" / "again.npy", link)(own / "train" / "cone" / "001.npy")
    assert remarks(own) == [
        "1 files are twice in a split, by links, such as train/cone/001.npy and "
        "train/cone/again.npy"
    ]
    getattr(own / "test" / "ring" / "leak.npy", link)(own / "train" / "cone" / "001.npy")
    with pytest.raises(DataError, match=r"has one file, by a link, as train/cone.*and test/ring/l"):
        open_dataset(own)


def test_a_split_that_is_a_link_to_the_other_is_refused(scans, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(scans, own / "train")
    (own / "test").symlink_to(own / "train")
    with pytest.raises(DataError, match="has one file, by a link"):
        open_dataset(own)


def test_links_to_files_elsewhere_are_fine(scans, tmp_path):
    shutil.move(scans, tmp_path / "store")
    for file in sorted((tmp_path / "store").rglob("*.npy")):
        link = scans / file.relative_to(tmp_path / "store")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    assert remarks(scans) == []
    assert len(open_dataset(scans).train) == 12


@pytest.mark.parametrize("other", ["Cone", "CONE", "cone "])
def test_classes_that_differ_in_case_alone_are_refused(other, scans):
    shutil.move(scans / "cube", scans / other)
    with pytest.raises(DataError, match=r"has classes '.*' and '.*', whose names differ in case"):
        open_dataset(scans)


def test_classes_of_one_split_alone_are_said(scans, tmp_path):
    for split, names in {"train": ("cone", "cube"), "test": ("cone", "ring")}.items():
        for name in names:
            shutil.copytree(scans / name, tmp_path / "own" / split / name)
    assert remarks(tmp_path / "own") == [
        "train/ has classes that test/ has not: cube",
        "test/ has classes that train/ has not: ring",
    ]


@pytest.mark.parametrize("splits", [("train", "val"), ("Train", "Test"), ("train", "test")])
def test_clouds_without_class_folders_are_refused(splits, scans, tmp_path):
    for split, name in zip(splits, ("cone", "cube"), strict=True):
        shutil.copytree(scans / name, tmp_path / "flat" / split)
    with pytest.raises(DataError, match=r"clouds right in .* as in (train|Test)/chair/"):
        open_dataset(tmp_path / "flat")


def test_splits_of_other_names_are_no_classes(scans, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(scans, tmp_path / "own" / split)
    with pytest.raises(DataError, match=r"has train/ and val/, but no test/: call val/ test/"):
        open_dataset(tmp_path / "own")
    (tmp_path / "own" / "train").rename(tmp_path / "own" / "Train")
    with pytest.raises(DataError, match=r"has Train/ and val/, as splits are called"):
        open_dataset(tmp_path / "own")


def test_one_folder_too_high_or_too_low_is_told(scans, hdf5, tmp_path):
    (scans / "README.txt").write_text("about")
    for root in (scans, hdf5):
        above = tmp_path / f"above {root.name}"
        above.mkdir()
        shutil.move(root, above / "inside")
        with pytest.raises(DataError, match=r"known layout, but what it holds.*below, .*/inside"):
            open_dataset(above)
    with pytest.raises(DataError, match=r"holds clouds, but no class folders.*folder above"):
        open_dataset(tmp_path / "above scans" / "inside" / "cone")


def people(scans, depth=""):
    """Move the clouds of each class into folders of three people, ann, bob and eve."""
    for file in sorted(scans.rglob("*.npy")):
        person = ("ann", "bob", "eve")[int(file.stem) % 3]
        folder = file.parent / person / depth
        folder.mkdir(parents=True, exist_ok=True)
        file.rename(folder / file.name)


@pytest.mark.parametrize("depth", ["", "june/2"])
@pytest.mark.filterwarnings("ignore:.*are in folders below")
def test_clouds_in_folders_below_a_class_are_read(depth, scans):
    people(scans, depth)
    found = {open_dataset(scans, fold=fold).test.fingerprint for fold in range(5)}
    assert len(found) == 5
    data = open_dataset(scans)
    assert data.classes == ("cone", "cube", "ring")
    assert (len(data.train) + len(data.test), data.train.groups) == (18, None)
    assert data.listed.groups == ("folder",)


def test_the_folder_below_a_class_can_be_a_group(scans):
    people(scans, "june")
    for name in ("cone", "cube"):  # each of these two is a group by itself
        shutil.copy(scans / name / "ann" / "june" / "000.npy", scans / name / "alone.npy")
    tested = []
    for fold in range(5):
        data = open_dataset(scans, fold=fold, group="folder")
        for split in (data.train, data.test):
            for name, group in zip(split.names, split.kept_together, strict=True):
                assert group == (name.split("/")[1] if "june" in name else name)
        assert not {*data.train.kept_together} & {*data.test.kept_together}
        tested += data.test.names
    assert sorted(tested) == sorted(p.relative_to(scans).as_posix() for p in scans.rglob("*.npy"))
    for name in ("cone", "cube"):
        (scans / name / "alone.npy").unlink()
    with pytest.raises(UsageError, match=r"has 3 groups \(folder\).*: choose fold 0 to 2"):
        open_dataset(scans, fold=3, group="folder")


def test_a_group_that_is_not_there_is_refused(scans, cli):
    with pytest.raises(UsageError, match=r"has nothing called 'folder' .*: leave out the group"):
        open_dataset(scans, group="folder")
    with pytest.raises(UsageError, match="primitives has nothing called 'person'"):
        open_dataset("primitives", group="person")
    code, _, err = cli("data", "info", scans, "--group", "site")
    assert (code, "has nothing called 'site' that shapes could be grouped by" in err) == (2, True)


@pytest.mark.filterwarnings("ignore:.*are in folders below")
def test_one_class_of_folders_is_a_folder_too_high(scans, tmp_path):
    shutil.move(scans, tmp_path / "above" / "scans")
    with pytest.raises(DataError, match=r"known layout, but what it holds has.*above/scans"):
        open_dataset(tmp_path / "above")


@pytest.mark.filterwarnings("ignore:.*are in folders below")
def test_shapes_without_a_label_are_to_be_learned_from(scans, tmp_path):
    before = open_dataset(scans)
    shutil.copytree(scans / "cone", scans / "_unlabelled" / "more")
    data = open_dataset(scans)
    assert data.classes == before.classes
    assert data.test.fingerprint == before.test.fingerprint
    assert data.train.names[:-6] == before.train.names
    assert data.train.names[-1] == "_unlabelled/more/005.npy"
    assert data.train.labels[-7:].tolist() == [2] + [-1] * 6
    own = tmp_path / "own"
    for split in ("train", "test"):
        shutil.copytree(scans, own / split)
    shutil.move(own / "test" / "_unlabelled", own / "_unlabelled")
    data = open_dataset(own)
    assert (data.train.labels == -1).sum() == 12
    assert (data.test.labels == -1).sum() == 0


def test_the_same_points_in_train_and_test_are_told_once_both_are_read(scans, tmp_path, clouds):
    own = tmp_path / "own"
    shutil.copytree(scans, own / "train")
    for seed, name in enumerate(("cone", "cube", "ring")):
        (own / "test" / name).mkdir(parents=True)
        np.save(own / "test" / name / "000.npy", clouds(20, seed=77 + seed))
    np.savez(own / "test" / "ring" / "copy.npz", xyz=np.load(scans / "ring" / "003.npy"))
    assert open_dataset(own).leak() is None  # neither is read
    open_dataset(own).test  # noqa: B018
    assert open_dataset(own).leak() is None
    open_dataset(own).train  # noqa: B018
    assert open_dataset(own).leak() == (
        "1 of 4 test clouds are in the training split too, point by point, such as "
        "test/ring/copy.npz and train/ring/003.npy"
    )
    (own / "test" / "ring" / "copy.npz").unlink()
    open_dataset(own).test  # noqa: B018
    assert open_dataset(own).leak() is None


@pytest.mark.slow
def test_real_scans(shared):
    data = open_dataset(shared / "data" / "dales500")
    sizes = np.concatenate([data.train.sizes, data.test.sizes])
    assert len(sizes) == 499
    assert len(data.classes) == 5
    assert (sizes.min(), np.median(sizes), sizes.max()) == (101, 413, 28_100)
