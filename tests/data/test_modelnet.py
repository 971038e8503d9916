"""ModelNet's layouts, written as they are published."""

import h5py
import numpy as np
import pytest
import trimesh

from pointstill.data import open_dataset
from pointstill.data.readers import read_cloud
from pointstill.errors import DataError, UsageError


def test_hdf5_clouds_come_in_order_of_the_lists(hdf5):
    data = open_dataset(hdf5)
    assert (data.kind, data.up, data.classes) == ("modelnet-hdf5", "y", ("cone", "cube", "ring"))
    with h5py.File(hdf5 / "train0.h5") as a, h5py.File(hdf5 / "train1.h5") as b:
        points = np.concatenate([a["data"][:], b["data"][:]])
        labels = np.concatenate([a["label"][:], b["label"][:]])[:, 0]
    np.testing.assert_array_equal(data.train.points.reshape(-1, 16, 3), points)
    np.testing.assert_array_equal(data.train.labels, labels)
    assert data.train.names[299:301] == ["train0.h5#299", "train1.h5#0"]
    assert len(data.test) == 4


def test_train_opens_with_test_files_missing_or_garbage(hdf5):
    (hdf5 / "test0.h5").write_bytes(b"garbage")
    assert len(open_dataset(hdf5).train) == 305
    (hdf5 / "test0.h5").unlink()
    (hdf5 / "test_files.txt").unlink()
    (hdf5 / "train1.h5").touch()  # a fresh entry
    assert len(open_dataset(hdf5).train) == 305


def test_a_truncated_h5_is_named(hdf5):
    whole = (hdf5 / "train1.h5").read_bytes()
    (hdf5 / "train1.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train1\.h5 is damaged, or not a \.h5 file: restore it"):
        open_dataset(hdf5).train  # noqa: B018


def test_corrupt_clouds_are_named(hdf5):
    whole = bytearray((hdf5 / "train0.h5").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 4000] = bytes(4000)
    (hdf5 / "train0.h5").write_bytes(whole)
    with pytest.raises(DataError, match=r"train0\.h5"):
        open_dataset(hdf5).train  # noqa: B018


@pytest.mark.parametrize("content", [{"data": 1}, {"data": 2, "label": 1}, {"data": 3, "label": 9}])
def test_h5_without_the_arrays_is_refused(content, hdf5):
    with h5py.File(hdf5 / "train1.h5", "w") as file:
        for name, kind in content.items():
            file[name] = np.zeros((5, 16, 3)[:kind]) if name == "data" else np.full(5, kind)
    with pytest.raises(DataError, match=r"train1\.h5"):
        open_dataset(hdf5).train  # noqa: B018


def test_a_listed_file_that_is_missing_is_named(hdf5):
    (hdf5 / "train1.h5").unlink()
    with pytest.raises(DataError, match=r"train1\.h5 cannot be read \(No such file"):
        open_dataset(hdf5).train  # noqa: B018


@pytest.mark.parametrize("content", [b"ply_data\0train0.h5\n", b"\xff\xfe\n"])
def test_a_list_that_is_no_text_is_refused(content, hdf5):
    (hdf5 / "train_files.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"train_files\.txt is not a text file: restore it"):
        _ = open_dataset(hdf5).train


def test_hdf5_has_no_folds(hdf5):
    with pytest.raises(UsageError, match="its own train and test split"):
        open_dataset(hdf5, fold=2)


def write_text_tree(root, clouds):
    shapes = ["airplane_0001", "airplane_0002", "night_stand_0001"]
    for seed, name in enumerate(shapes):
        folder = root / name.rpartition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        points = np.c_[clouds(12, seed=seed), clouds(12, seed=9)]
        np.savetxt(folder / f"{name}.txt", points, fmt="%.6f", delimiter=",")
    (root / "modelnet40_shape_names.txt").write_text("airplane\nbathtub\nnight_stand\n")
    (root / "modelnet40_train.txt").write_text("night_stand_0001\nairplane_0001\n")
    (root / "modelnet40_test.txt").write_text("airplane_0002\n")
    (root / "modelnet10_shape_names.txt").write_text("bathtub\nnight_stand\n")
    (root / "modelnet10_train.txt").write_text("night_stand_0001\n")
    (root / "modelnet10_test.txt").write_text("airplane_0002\n")


def test_the_resampled_text_tree(tmp_path, clouds):
    root = tmp_path / "modelnet40_normal_resampled"
    write_text_tree(root, clouds)
    data = open_dataset(root)
    assert (data.kind, data.up) == ("modelnet-text", "y")
    assert data.train.names == ["night_stand_0001", "airplane_0001"]
    assert data.train.labels.tolist() == [2, 0]
    np.testing.assert_allclose(data.train.cloud(1), clouds(12, seed=0), atol=1e-6)
    assert data.test.names == ["airplane_0002"]
    with pytest.raises(UsageError):
        open_dataset(root, fold=1)


def test_modelnet10_lies_in_the_same_tree(tmp_path, clouds):
    write_text_tree(tmp_path / "tree", clouds)
    data = open_dataset(tmp_path / "tree" / "modelnet10")
    assert data.classes == ("bathtub", "night_stand")
    assert data.train.labels.tolist() == [1]
    with pytest.raises(
        DataError, match=r"modelnet10_test.txt lists airplane_0002, which is of no class"
    ):
        data.test  # noqa: B018


def test_the_off_tree(tmp_path):
    root = tmp_path / "ModelNet10"
    for i, (name, split) in enumerate(
        (n, s) for n in ("bathtub", "bed") for s in ("train", "test")
    ):
        folder = root / name / split
        folder.mkdir(parents=True)
        text = trimesh.creation.box((1 + i, 2, 3)).export(file_type="off")
        glued = text.replace("OFF\n", "OFF")
        (folder / f"{name}_000{i}.off").write_text(glued if i % 2 else text)
    (root / "README.txt").write_text("about")
    data = open_dataset(root)
    assert (data.kind, data.up, data.classes) == ("modelnet-off", "z", ("bathtub", "bed"))
    assert data.train.names == ["bathtub/train/bathtub_0000.off", "bed/train/bed_0002.off"]
    assert data.test.sizes.tolist() == [2048, 2048]
    np.testing.assert_allclose(
        data.test.cloud(0), read_cloud(root / "bathtub" / "test" / "bathtub_0001.off"), atol=1e-6
    )


@pytest.mark.slow
def test_modelnet40(shared):
    data = open_dataset(shared / "data" / "modelnet40_ply_hdf5_1024")
    assert (len(data.train), len(data.test), len(data.classes)) == (9843, 2468, 40)
    assert set(data.test.sizes) == {1024}


def _replaced(file, name, make):
    with h5py.File(file, "a") as arrays:
        values = arrays[name][()]
        del arrays[name]
        make(arrays, name, values)


def _external(arrays, name, values):
    kind = {"shape": values.shape, "dtype": values.dtype}
    arrays.create_dataset(name, external=[("/etc/passwd", 0, values.nbytes)], **kind)


def _linked(arrays, name, values):
    arrays[name] = h5py.ExternalLink("other.h5", "/data")


def _soft(arrays, name, values):
    arrays["there"] = h5py.ExternalLink("other.h5", "/")
    arrays[name] = h5py.SoftLink("/there/data")


def _virtual(arrays, name, values):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "data", values.shape)
    arrays.create_virtual_dataset(name, layout)


def _huge(arrays, name, values):
    shape = (1 << 30, *values.shape[1:])
    arrays.create_dataset(name, shape, "f4", chunks=(1, *values.shape[1:]))


def _huge_chunk(arrays, name, values):
    kind = {"chunks": (1 << 20, 16, 3), "maxshape": (None, 16, 3), "compression": "gzip"}
    arrays.create_dataset(name, values.shape, "f4", **kind)


HOSTILE = {
    "a group": (lambda a, n, _: a.create_group(n), "what is no array of numbers"),
    "empty": (lambda a, n, _: a.create_dataset(n, data=h5py.Empty("f4")), "no array of numbers"),
    "a number": (lambda a, n, _: a.create_dataset(n, data=1.0), "no array of numbers"),
    "words": (lambda a, n, _: a.create_dataset(n, data=["a"] * 5), "no array of numbers"),
    "a committed type": (lambda a, n, _: a.__setitem__(n, np.dtype("f4")), "no array of numbers"),
    "external storage": (_external, "in another file, which is not opened: write the numbers into"),
    "external link": (_linked, "has a link for"),
    "soft link": (_soft, "has a link for"),
    "virtual": (_virtual, "in another file, which is not opened"),
    "huge": (_huge, "bytes, packed into 0: more than clouds unpack to"),
    "gone": (lambda *_: None, "has no array"),
}


@pytest.mark.parametrize("name", ["data", "label", "normal"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_arrays_that_are_none_are_refused(kind, name, hdf5):
    make, message = HOSTILE[kind]
    for file in ("train0.h5", "train1.h5"):
        with h5py.File(hdf5 / file, "a") as arrays:
            arrays["normal"] = arrays["data"][()]
    with h5py.File(hdf5 / "other.h5", "w") as arrays:
        arrays["data"] = np.ones((5, 16, 3), np.float32)
    _replaced(hdf5 / "train1.h5", name, make)
    if (kind, name) == ("gone", "normal"):
        message = "has no normal"
    with pytest.raises(DataError) as caught:
        open_dataset(hdf5, features="xyz,normal").train  # noqa: B018
    assert message in str(caught.value)
    assert "train1.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_chunk_may_not_be_larger_than_memory(hdf5):
    _replaced(hdf5 / "train1.h5", "data", _huge_chunk)
    with pytest.raises(DataError, match=r"train1\.h5 announces 201,326,592 bytes, packed into 0"):
        open_dataset(hdf5).train  # noqa: B018


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.7, 0, 1, 2], "has labels that are no whole numbers: restore it"),
        ([0, 1, 2, np.nan, 0], "has labels that are no whole numbers: restore it"),
        ([0, 1, 2, np.inf, 0], "has labels that are no whole numbers: restore it"),
        ([0, -1, 2, 0, 0], "has labels from -1 to 2, but 3 classes are named"),
        ([0, 1, 3, 0, 0], "has labels from 0 to 3, but 3 classes are named"),
        ([0, 1, 2, 0], r"has data \(5, 16, 3\) and label \(4,\)"),
    ],
)
def test_labels_are_classes(labels, message, hdf5):
    _replaced(hdf5 / "train1.h5", "label", lambda a, n, _: a.__setitem__(n, labels))
    with pytest.raises(DataError, match=message):
        open_dataset(hdf5).train  # noqa: B018
    whole = [0.0, 1.0, 2.0, 1.0, 0.0]
    _replaced(hdf5 / "train1.h5", "label", lambda a, n, _: a.__setitem__(n, whole))
    assert open_dataset(hdf5).train.labels[300:].tolist() == [0, 1, 2, 1, 0]


def test_lists_name_no_files_elsewhere(tmp_path, clouds):
    root = tmp_path / "tree"
    write_text_tree(root, clouds)
    (root / "modelnet40_shape_names.txt").write_text("../airplane\n")
    (root / "modelnet40_train.txt").write_text("../airplane_0001\n")
    with pytest.raises(DataError, match="which is no name of a shape"):
        open_dataset(root).train  # noqa: B018


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train_files.txt", "train0.h5\ntrain0.h5\n", "lists train0.h5 twice"),
        ("train_files.txt", "train\0.h5\n", "not a text file"),
        ("shape_names.txt", "cone\ncube\ncone\n", "lists cone twice"),
    ],
)
def test_lists_name_each_thing_once(file, text, message, hdf5):
    (hdf5 / file).write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset(hdf5).train  # noqa: B018


def test_a_mark_at_the_start_of_a_list_is_no_part_of_a_name(hdf5):
    (hdf5 / "shape_names.txt").write_text("cone\ncube\nring\n", "utf-8-sig")
    assert open_dataset(hdf5).classes == ("cone", "cube", "ring")
