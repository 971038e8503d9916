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
