"""What every source has in common: checks of clouds, bad ones, errors, splits."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from pointstill.data import open_dataset
from pointstill.errors import DataError, ForbiddenError, UsageError
from pointstill.points.validity import MIN_POINTS, check_cloud


def test_a_good_cloud_is_kept_as_it_is(clouds):
    points = clouds(20)
    kept = check_cloud("a", points)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, points)
    np.testing.assert_array_equal(check_cloud("a", np.c_[points, points]), points)
    assert check_cloud("a", np.arange(30).reshape(10, 3)).dtype == np.float32


def test_a_far_cloud_is_shifted_before_it_is_rounded(clouds):
    shape, far = clouds(100).astype(np.float64), np.array([412_345, 5_654_321, 87])
    kept = check_cloud("a", shape + far)
    centred = shape - (shape.min(axis=0) + shape.max(axis=0)) / 2
    np.testing.assert_allclose(kept, centred, atol=1e-6)
    # Rounded first, a tenth of a metre would be lost.
    rounded = (shape + far).astype(np.float32)
    assert np.abs(rounded - rounded.mean(axis=0) - centred + centred.mean(axis=0)).max() > 0.1


def test_a_near_cloud_is_not_shifted(clouds):
    points = clouds(100) + np.float32(20)
    np.testing.assert_array_equal(check_cloud("a", points), points)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_points_that_are_not_finite_are_counted(value, clouds):
    points = clouds(20).astype(np.float64)
    points[[3, 7], [0, 2]] = value
    said = "chair_7 has 2 of 20 points NaN or infinite, .*: remove .* or pass --drop-missing"
    with pytest.raises(DataError, match=said):
        check_cloud("chair_7", points)
    kept = [i for i in range(20) if i not in (3, 7)]
    found = check_cloud("chair_7", points, drop_missing=True)
    np.testing.assert_array_equal(found, clouds(20)[kept])


def test_a_cloud_with_too_few_points_left_is_refused(clouds):
    points = clouds(20)
    points[7:] = np.nan
    with pytest.raises(DataError, match=r"^a has 7 points beside 13 that are NaN or infinite, but"):
        check_cloud("a", points, drop_missing=True)
    with pytest.raises(DataError, match=r"^a has 0 points beside 20"):
        check_cloud("a", points * np.nan, drop_missing=True)
    few = np.eye(3)  # none is missing
    with pytest.raises(DataError, match=r"^a has 3 points, but a cloud needs 8"):
        check_cloud("a", few, drop_missing=True)


def test_sparse_but_honest_clouds_are_kept(clouds):
    """A point a few sizes away is noise to live with; so is a second object far away."""
    points = clouds(1000)
    points[0] = 300  # diagonal about 12
    check_cloud("a", points)
    points[:20] = 1e6  # 2 %
    check_cloud("a", points)


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (np.eye(3), "has 3 points, but a cloud needs 8$"),
        (np.ones((3, 20)), r"has 3 points, but a cloud needs 8: transpose it, points\.T$"),
        (np.ones((MIN_POINTS, 3)), "has 8 points that are all the same"),
        (
            np.r_[np.zeros((299, 3)), np.ones((1, 3))],
            "has 299 points that are all the same beside 1 strays: remove",
        ),
        (
            np.r_[np.zeros((99, 3)), np.ones((1, 3))],
            "has 99 points that are all the same beside 1 strays",
        ),
        (np.zeros((0, 3)), "has 0 points"),
        (np.zeros((20, 2)), r"float64 \(20, 2\)"),
        (np.zeros(20), r"\(20,\)"),
        (np.zeros((20, 3), dtype="U3"), "numbers"),
        (np.zeros((20, 3), dtype=complex), "numbers"),
        (np.zeros((1, 20, 3)), "numbers"),
    ],
)
def test_what_is_no_cloud_is_refused(cloud, message):
    with pytest.raises(DataError, match=f"^a .*{message}"):
        check_cloud("a", cloud)


BAD = {
    "letters.xyz": "0 0 0\n1 2 b\n",
    "nan.xyz": "nan 0 0\n" + "".join(f"{i} 0 0\n" for i in range(9)),
    "inf.xyz": "inf 0 0\n" + "".join(f"{i} 0 0\n" for i in range(9)),
    "three.xyz": "0 0 0\n1 0 0\n0 1 0\n",
    "flat.off": "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n",
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_cloud_among_many_stops_the_load(name, scans):
    (scans / "cube" / name).write_text(BAD[name])
    good = sum(1 for _ in scans.rglob("*.npy"))
    with pytest.raises(
        DataError, match=f"cube/{name} .*(: |, or )pass --skip-bad to leave the cloud out"
    ):
        [open_dataset(scans, fold=fold).test for fold in range(5)]
    data = open_dataset(scans, skip_bad=True)
    assert len(data.train) + len(data.test) == good
    (left_out,) = data.train.bad + data.test.bad
    assert f"cube/{name} " in left_out
    assert "--skip-bad" not in left_out


@pytest.mark.parametrize("kind", ["folder", "hdf5"])
def test_a_file_that_may_not_be_read_is_never_skipped_as_bad(
    kind, scans, hdf5, public_path, unprivileged
):
    root = shutil.copytree(scans if kind == "folder" else hdf5, public_path / "data")
    closed = root / ("cube/003.npy" if kind == "folder" else "train1.h5")
    closed.chmod(0)
    data = open_dataset(root, skip_bad=True, cache=public_path / "cache")
    with unprivileged(), pytest.raises(ForbiddenError, match=f"{closed.name} cannot be read"):
        data.train, data.test  # noqa: B018


def test_nothing_but_bad_clouds_is_an_error(scans):
    for file in scans.rglob("*.npy"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"has no shape in the train split \(all 12 are bad, first"):
        open_dataset(scans, skip_bad=True).train  # noqa: B018


def test_what_is_not_there_is_named(tmp_path, hdf5):
    with pytest.raises(DataError, match="gone does not exist"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "chair.ply").write_text("?")
    with pytest.raises(DataError, match="is a file, but a data set is a folder, or a file of all"):
        open_dataset(tmp_path / "chair.ply")
    with pytest.raises(DataError, match=r"train0.h5 has no array called points, but data, label"):
        open_dataset(hdf5 / "train0.h5")


def test_an_unknown_folder_lists_what_was_looked_for(tmp_path):
    (tmp_path / "odd").mkdir()
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "odd")
    for layout in ("shape_names.txt", "modelnet40_train.txt", "*.off", "main_split", "ply, pcd"):
        assert layout in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fold", [-1, 5])
def test_there_are_five_folds(fold, scans):
    with pytest.raises(UsageError, match="choose 0 to 4"):
        open_dataset(scans, fold=fold)


def test_a_split_is_ragged_and_guarded(scans):
    split = open_dataset(scans).train
    assert split.sizes.sum() == len(split.points) == split.offsets[-1]
    assert len(split) == len(split.names) == len(split.labels) == len(split.sizes)
    split.cloud(0)[:] = 0  # a copy
    assert split.cloud(0).any()
    with pytest.raises(ValueError, match="read-only"):
        split.points[0] = 0
    for index in (-1, len(split)):
        with pytest.raises(IndexError):
            split.cloud(index)
    with pytest.raises(UsageError, match="choose from train, test"):
        open_dataset(scans).split("val")


def test_progress_is_told(scans):
    seen = []
    open_dataset(scans, progress=lambda done, total: seen.append((done, total))).train  # noqa: B018
    assert seen == [(i, 12) for i in range(1, 13)]
    open_dataset(scans, progress=lambda *_: pytest.fail("read again")).train  # noqa: B018


def test_neither_torch_nor_readers_are_loaded_on_the_second_open(hdf5):
    code = (
        "import sys; from pointstill.data import open_dataset\n"
        "open_dataset(sys.argv[1]).train; open_dataset(sys.argv[1]).test\n"
        "print({'torch', 'h5py', 'trimesh', 'scipy'} & set(sys.modules))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code, hdf5], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert runs[0].stdout == "{'h5py'}\n"
    assert runs[1].stdout == "set()\n"
