"""ScanObjectNN's release layout, and how its variants are named."""

import h5py
import numpy as np
import pytest

from pointstill.data import open_dataset
from pointstill.errors import DataError, UsageError

HARDEST = "main_split/{}_objectdataset_augmentedrot_scale75.h5"
PLAIN = "main_split/{}_objectdataset.h5"
ONLY = "main_split_nobg/{}_objectdataset.h5"


@pytest.fixture
def write(tmp_path, clouds):
    """Write both files of some variants, each with its own clouds."""

    def write(*patterns):
        root = tmp_path / "h5_files"
        for seed, pattern in enumerate(patterns):
            for count, part in ((6, "training"), (3, "test")):
                path = root / pattern.format(part)
                path.parent.mkdir(parents=True, exist_ok=True)
                with h5py.File(path, "w") as file:
                    file["data"] = clouds(count, 2048, seed=seed)
                    file["label"] = np.arange(count, dtype=np.int64) + 9
                    file["mask"] = np.zeros((count, 2048))
        return root

    return write


def test_a_single_variant_needs_no_name(write, clouds):
    data = open_dataset(write(HARDEST))
    assert (data.kind, data.up, len(data.classes)) == ("scanobjectnn", "y", 15)
    assert (data.classes[0], data.classes[9], data.classes[14]) == ("bag", "table", "toilet")
    assert (len(data.train), len(data.test)) == (6, 3)
    assert data.test.labels.tolist() == [9, 10, 11]
    np.testing.assert_array_equal(data.train.points.reshape(-1, 2048, 3), clouds(6, 2048))


@pytest.mark.parametrize(("name", "seed"), [("obj_bg", 0), ("obj_only", 1), ("PB_T50_RS", 2)])
def test_the_last_part_of_the_path_names_a_variant(name, seed, write, clouds):
    data = open_dataset(write(PLAIN, ONLY, HARDEST) / name)
    np.testing.assert_array_equal(data.test.cloud(0), clouds(3, 2048, seed=seed)[0])


def test_several_variants_must_be_told_apart(write):
    root = write(PLAIN, ONLY, HARDEST)
    with pytest.raises(DataError, match=r"obj_bg.*obj_only.*pb_t50_rs"):
        open_dataset(root)
    with pytest.raises(DataError, match=r"obj_bg.*pb_t50_rs"):
        open_dataset(root / "main_split")


def test_a_split_folder_is_a_source(write, clouds):
    root = write(PLAIN, ONLY, HARDEST)
    data = open_dataset(root / "main_split_nobg")
    np.testing.assert_array_equal(data.test.cloud(0), clouds(3, 2048, seed=1)[0])
    data = open_dataset(root / "main_split" / "pb_t50_rs")
    np.testing.assert_array_equal(data.test.cloud(0), clouds(3, 2048, seed=2)[0])


def test_a_variant_that_is_not_there_lists_the_others(write):
    with pytest.raises(DataError, match=r"has no variant pb_t50_rs of ScanObjectNN: .*obj_bg$"):
        open_dataset(write(PLAIN) / "pb_t50_rs")


def test_train_opens_without_test(write):
    root = write(HARDEST)
    (root / HARDEST.format("test")).write_bytes(b"garbage")
    assert len(open_dataset(root).train) == 6


def test_there_are_no_folds(write):
    with pytest.raises(UsageError, match="its own train and test split"):
        open_dataset(write(PLAIN), fold=1)
