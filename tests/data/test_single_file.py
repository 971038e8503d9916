"""All clouds in one file: padded, end to end, NPZ and HDF5, described and not."""

import warnings

import h5py
import numpy as np
import pytest

from pointstill.data import open_dataset
from pointstill.errors import DataError, UsageError

COUNTS = np.array([12, 9, 20, 15, 8, 20, 11, 13, 10, 16, 9, 14])
LABELS = np.array(["cone", "cube", "", "ring"] * 3)
SPLITS = np.array(["train", "test", "shift"] * 4)


def save(path, **arrays):
    """Write arrays to an NPZ or HDF5 file, texts as each of them holds them."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                array = np.asarray(array)
                file[name] = array.astype("S") if array.dtype.kind == "U" else array
    return path


@pytest.fixture
def padded(clouds):
    """Points (12, 20, 5), of which those behind the counts are NaN, and what is known of them."""
    points = np.concatenate([clouds(12, 20), clouds(12, 20, seed=1)[..., :2]], axis=-1)
    for row, count in enumerate(COUNTS):
        points[row, count:] = np.nan
    return {"points": points, "counts": COUNTS, "labels": LABELS, "split": SPLITS}


@pytest.fixture
def ragged(padded):
    rows = [cloud[:count] for cloud, count in zip(padded["points"], COUNTS, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    return {"points": np.concatenate(rows), "offsets": offsets, "labels": LABELS, "split": SPLITS}


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_dataset(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_each_cloud_is_that_of_the_arrays(suffix, padded, tmp_path):
    data = opened(save(tmp_path / f"all{suffix}", **padded))
    assert (data.kind, data.up, data.classes) == ("arrays", "z", ("cone", "cube", "ring"))
    assert data.listed.splits == ("train", "test", "shift")
    assert data.count() == 12
    for name in data.listed.splits:
        split = data.split(name)
        rows = np.flatnonzero(name == SPLITS)
        assert split.names == [f"{name}/{row:06}" for row in rows]
        for i, row in enumerate(rows):
            np.testing.assert_array_equal(split.cloud(i), padded["points"][row, : COUNTS[row], :3])
            assert (LABELS[row] or None) == (
                split.classes[split.labels[i]] if split.labels[i] >= 0 else None
            )


def test_all_ways_to_write_them_are_one_data_set(padded, ragged, tmp_path):
    counted = {**ragged, "counts": COUNTS}
    del counted["offsets"]
    numbers = {**padded, "labels": np.array([0, 1, -1, 2] * 3), "classes": ["cone", "cube", "ring"]}
    fortran = {**padded, "points": np.asfortranarray(padded["points"])}
    ways = {"a.npz": padded, "b.h5": padded, "c.npz": ragged, "d.hdf5": ragged, "e.npz": counted}
    ways |= {"f.npz": numbers, "g.h5": numbers, "h.npz": fortran}
    found = {
        tuple(data.split(split).fingerprint for split in data.listed.splits)
        for data in (opened(save(tmp_path / name, **arrays)) for name, arrays in ways.items())
    }
    assert len(found) == 1


def test_pieces_are_read_in_any_order(padded, ragged, tmp_path, monkeypatch):
    monkeypatch.setattr("pointstill.data.sources.array_file.PIECE", 300)
    for name, arrays in {"a.npz": padded, "b.npz": ragged, "c.h5": ragged}.items():
        shapes = opened(save(tmp_path / name, **arrays)).source.shapes("train")
        for i in (0, 3, 1, 2, 2, 0):
            cloud = padded["points"][3 * i, : COUNTS[3 * i], :3]
            np.testing.assert_array_equal(shapes[i].load(), cloud)


def test_without_a_split_there_are_folds(padded, tmp_path):
    del padded["split"]
    path = save(tmp_path / "all.npz", **padded)
    tested = [name for fold in range(5) for name in open_dataset(path, fold=fold).test.names]
    # Classes of 3: each is in some fold, some in several; what has no label is never tested.
    assert {*tested} == {f"{row:06}" for row in np.flatnonzero(LABELS)}
    assert open_dataset(path).listed.folded
    padded["split"] = SPLITS
    with pytest.raises(UsageError, match="comes with its own train and test split"):
        open_dataset(save(tmp_path / "own.npz", **padded), fold=1)


def test_a_description_says_which_is_which(padded, tmp_path):
    arrays = {
        "x": padded["points"][..., [3, 2, 0, 1, 4]],
        "n": COUNTS,
        "y": LABELS,
        "part": SPLITS,
        "who": np.arange(12) % 5,
        "scene": np.arange(12) % 2,
        "title": np.array([f"take {i}" for i in range(12)]),
    }
    save(tmp_path / "radar.npz", **arrays)
    described = tmp_path / "radar.yaml"
    described.write_text(
        "data: radar.npz\npoints: x\ncounts: n\nlabels: y\nsplit: part\ngroup: who\nname: title\n"
        "columns: {x: 2, y: 3, z: 1, Doppler: 0}\n"
    )
    with pytest.warns(UserWarning, match=r"3 of 4 groups \(who\) of test are in train too"):
        data = open_dataset(described)
    plain = opened(save(tmp_path / "plain.npz", **padded))
    assert data.train.fingerprint == plain.train.fingerprint
    assert data.train.names == [f"take {i}" for i in (0, 3, 6, 9)]
    assert data.train.groups == ["0", "3", "1", "4"]
    assert data.listed.groups == ("group", "who", "scene")
    table = data.source.shapes("train")[1].table(None)
    assert {*table} == {"xyz", "doppler"}
    np.testing.assert_array_equal(table["doppler"][:, 0], padded["points"][3, : COUNTS[3], 3])
    with pytest.warns(UserWarning, match=r"2 of 2 groups \(scene\) of test are in train"):
        assert open_dataset(described, group="scene").train.groups == ["0", "1", "0", "1"]
    described.write_text(described.read_text() + "\n# touched")
    with pytest.warns(UserWarning, match="groups"):
        assert data.source.key == open_dataset(described, group="who").source.key


def test_arrays_beside_the_points_are_features(padded, ragged, tmp_path, clouds):
    normals, time = clouds(12, 20, seed=5), np.arange(240).reshape(12, 20)
    columns = np.array(["x", "y", "z", "doppler", "strength"])
    whole = {**padded, "normals": normals, "time": time, "columns": columns, "other": np.ones(7)}
    cut = [normals[row, :count] for row, count in enumerate(COUNTS)]
    times = np.concatenate([time[row, :count] for row, count in enumerate(COUNTS)])
    parted = {**ragged, "normals": np.concatenate(cut), "time": times, "columns": columns}
    for name, arrays in {"a.npz": whole, "b.h5": whole, "c.npz": parted, "d.h5": parted}.items():
        table = opened(save(tmp_path / name, **arrays)).source.shapes("train")[1].table(None)
        assert {*table} == {"xyz", "normal", "time", "doppler", "strength"}
        np.testing.assert_array_equal(table["normal"], normals[3, : COUNTS[3]])
        np.testing.assert_array_equal(table["time"][:, 0], time[3, : COUNTS[3]])
        np.testing.assert_array_equal(table["strength"][:, 0], padded["points"][3, : COUNTS[3], 4])
    data = open_dataset(tmp_path / "a.npz", features=("xyz", "normal"))
    expected = normals[0] / np.linalg.norm(normals[0], axis=1, keepdims=True)
    first = data.train.extra.values[: COUNTS[0]]
    np.testing.assert_allclose(first, expected[: COUNTS[0]], rtol=1e-6)


def test_a_split_called_val_is_measured_on_and_not_trained_with(padded, tmp_path):
    padded["split"] = np.where(SPLITS == "shift", "val", SPLITS)
    with pytest.warns(UserWarning, match="its split val is not what training validates on"):
        data = open_dataset(save(tmp_path / "all.npz", **padded))
    assert len(data.split("val")) == 4
    with pytest.raises(UsageError, match="split is 'shift': choose from train, test, val"):
        data.split("shift")


def test_info_tells_of_splits_groups_and_shapes_without_a_label(padded, tmp_path, cli):
    path = save(tmp_path / "all.npz", **padded, group=np.arange(12), site=np.arange(12) // 6)
    code, out, err = cli("data", "info", path)
    assert (code, err) == (0, "")
    assert "shapes   12 (4 train, 4 test, 4 shift)\n" in out
    assert "groups   4 train, 4 test, 4 shift (for intervals alone)\n--group  group, site\n" in out
    (line,) = (line for line in out.splitlines() if "(no label)" in line)
    assert line.replace("│", " ").split()[2:] == ["1", "1", "1"]
    with pytest.warns(UserWarning, match=r"2 of 2 groups \(site\) of shift are in train too, such"):
        code, out, err = cli("data", "info", path, "--group", "site")
    assert code == 0
    assert "groups   2 train, 2 test, 2 shift (by site, kept whole)\n" in out


def test_clouds_of_a_named_split_that_are_trained_on_are_told(padded, tmp_path):
    padded["points"][11, :12] = padded["points"][0, :12]
    padded["counts"] = np.where(np.arange(12) == 11, 12, COUNTS)
    data = opened(save(tmp_path / "all.npz", **padded))
    for name in data.listed.splits:
        data.split(name)
    assert data.leak() is None
    assert data.leak("shift").startswith("1 of 4 shift clouds are in the training split too, point")


def test_a_file_without_labels_needs_classes(padded, tmp_path):
    del padded["labels"]
    with pytest.raises(DataError, match=r"has no array called labels, but points, counts, split"):
        open_dataset(save(tmp_path / "all.npz", **padded))
    data = opened(save(tmp_path / "named.npz", **padded, classes=["a", "b"]))
    assert (data.classes, {*data.train.labels.tolist()}) == (("a", "b"), {-1})


ODD = {
    "labels of float64": {"labels": np.arange(12) / 2},
    "labels such as 0.5, which are no whole": {"labels": np.array(["0.5", "1", "2"] * 4)},
    "labels such as nan, which are no whole": {"labels": np.array(["nan", "a", "b"] * 4)},
    r"labels from -2 to 9": {"labels": np.arange(12) - 2},
    r"labels from 0 to 11, but 2 classes": {"labels": np.arange(12), "classes": ["a", "b"]},
    r"labels that are no class, such as 'ring'": {"classes": ["cone", "cube"]},
    r"classes 'Cone' and 'cone'": {"labels": np.array(["Cone", "cone", "b"] * 4)},
    r"labels \(5,\) of 12 shapes": {"labels": np.arange(5)},
    r"a class without a name, or twice": {"classes": ["cone", "cone"]},
    r"counts of 0 to 21.*do not fit points": {"counts": np.array([0] * 11 + [21])},
    r"for counts an array of float64": {"counts": COUNTS / 1.0},
    r"offsets, but points .* not end to end": {"offsets": np.arange(13)},
    r"for points an array \(12, 3\) of kind U": {"points": np.array([["a"] * 3] * 12)},
    r"has 84 points for 12 shapes, and a cloud needs 8": {"points": np.zeros((12, 7, 3))},
    r"has 0 points for 0 shapes": {"points": np.zeros((0, 20, 3))},
    r"for points an array \(12, 3, 2\)": {"points": np.zeros((12, 3, 2))},
    r"split called Train: call it train": {"split": np.array(["Train"] * 12)},
    r"a split called 'all'": {"split": np.array(["all"] * 12)},
    r"shapes without a split": {"split": np.array(["train"] * 11 + [""])},
    r"for split an array of int64": {"split": np.arange(12)},
    r"groups \(group\) of float64": {"group": np.arange(12) / 2},
    r"has 2 columns \(x, y\) of points of 5": {"columns": ["x", "y"]},
    r"has no z among its columns": {"columns": ["x", "y", "a", "b", "c"]},
}


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("said", ODD)
def test_odd_arrays_are_refused_in_one_line(said, suffix, padded, tmp_path):
    path = save(tmp_path / f"all{suffix}", **(padded | ODD[said]))
    with pytest.raises(DataError, match=said) as caught:
        open_dataset(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_points_end_to_end_need_one_way_to_part_them(ragged, tmp_path):
    both = {**ragged, "counts": COUNTS}
    with pytest.raises(DataError, match="end to end, and both offsets and counts"):
        open_dataset(save(tmp_path / "both.npz", **both))
    offsets = ragged.pop("offsets")
    with pytest.raises(DataError, match="end to end, and neither offsets nor counts"):
        open_dataset(save(tmp_path / "none.npz", **ragged))
    for name, bad in {"short": offsets - 1, "turned": offsets[::-1], "long": offsets * 2}.items():
        with pytest.raises(DataError, match=r"offsets from .* that do not part points"):
            open_dataset(save(tmp_path / f"{name}.npz", **ragged, offsets=bad))


def test_python_objects_are_not_opened(padded, tmp_path):
    for name in ("points", "labels", "split", "group"):
        odd = {**padded, name: np.array([{"a": 1}] * 12, dtype=object)}
        np.savez(tmp_path / "all.npz", **odd)
        with pytest.raises(
            DataError, match=rf"Python objects for {name}|points an array .* kind O"
        ):
            open_dataset(tmp_path / "all.npz")


def test_a_cut_file_and_one_that_is_none_are_refused(padded, tmp_path):
    content = save(tmp_path / "all.npz", **padded).read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "none.h5").write_bytes(b"?" * 100)
    for name in ("cut.npz", "none.h5"):
        with pytest.raises(DataError, match="is damaged, or not a"):
            open_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("points: x", "no line `data: FILE`"),
        ("data: all.npz\nlables: x", "no entry is called 'lables': is labels meant?"),
        ("data: ../all.npz", r"names '\.\./all\.npz' as its data: name a file beside it"),
        ("data: /etc/all.npz", r"names '/etc/all\.npz' as its data"),
        ("data: all.txt", r"names 'all\.txt' as its data"),
        ("data: gone.npz", "gone.npz does not exist"),
        ("data: all.npz\npoints: 3", "Expected `str`, got `int`"),
        ("data: all.npz\ngroup: who", "has no array called who, but points"),
        ("data: all.npz\ncolumns: {x: 0, y: 1, z: 9}", "columns .*but points of 5 numbers"),
        ("data: all.npz\ncolumns: {x: 0, y: 1, z: 1}", "columns .*but points of 5 numbers"),
        ("data: all.npz\ncolumns: {x: 0, y: 1}", "has no z among its columns"),
        ("data: !!python/object/apply:os.system ['true']", "is no description of data"),
    ],
)
def test_a_description_that_is_none_is_refused(text, said, padded, tmp_path):
    save(tmp_path / "all.npz", **padded)
    (tmp_path / "all.yaml").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        open_dataset(tmp_path / "all.yaml")
    assert "\n" not in str(caught.value)


def test_an_array_that_lies_elsewhere_is_not_read(padded, tmp_path):
    save(tmp_path / "other.h5", **padded)
    save(tmp_path / "all.h5", **{name: padded[name] for name in ("points", "counts", "split")})
    with h5py.File(tmp_path / "all.h5", "a") as file:
        file["labels"] = h5py.ExternalLink("other.h5", "labels")
    with pytest.raises(DataError, match="has no array called labels"):
        open_dataset(tmp_path / "all.h5")


def test_long_labels_are_refused(padded, tmp_path):
    """NumPy gives each as much room as the longest takes."""
    path = save(tmp_path / "all.h5", **padded)
    with h5py.File(path, "a") as file:
        del file["labels"]
        file["labels"] = np.array(["a" * 201] + ["b"] * 11).astype("S")
    with pytest.raises(DataError, match="has labels of more than 200 characters"):
        open_dataset(path)


def test_texts_of_any_length_in_hdf5_are_refused(padded, tmp_path):
    path = save(tmp_path / "all.h5", **padded)
    with h5py.File(path, "a") as file:
        del file["labels"]
        file["labels"] = LABELS.astype(object)
    with pytest.raises(DataError, match=r"has texts of any length for labels.*astype\(\"S\"\)"):
        open_dataset(path)
