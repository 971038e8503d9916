"""Features of files, each written by another library, and of whole data sets."""

import hashlib
import json
from pathlib import Path

import h5py
import laspy
import numpy as np
import pytest
import trimesh
from numpy.lib.recfunctions import repack_fields
from plyfile import PlyData, PlyElement
from pypcd4 import Encoding, PointCloud

from pointstill.data import open_dataset
from pointstill.data.channels import feature_values
from pointstill.data.readers import read_cloud, read_table
from pointstill.errors import DataError

COUNT = 20


@pytest.fixture
def truth(clouds) -> dict[str, np.ndarray]:
    """Points with normals, 8-bit colours and intensities."""
    draw = np.random.default_rng(3)
    normals = draw.normal(size=(COUNT, 3)).astype(np.float32)
    return {
        "xyz": clouds(COUNT),
        "normal": normals / np.linalg.norm(normals, axis=1, keepdims=True),
        "colour": draw.integers(0, 256, (COUNT, 3), dtype=np.uint8),
        "intensity": draw.integers(0, 2000, (COUNT, 1), dtype=np.uint16),
    }


def structured(truth, names):
    """A structured array with the columns of the features, under the given names."""
    flat = np.concatenate([truth[f].astype(np.float64) for f in truth], axis=1)
    types = 6 * ["f4"] + 3 * ["u1"] + ["u2"]
    rows = np.zeros(COUNT, dtype=list(zip(names, types, strict=True)))
    for name, values in zip(names, flat.T, strict=True):
        rows[name] = values
    return rows


USUAL = ("x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "intensity")


def write_ply(path, truth, names=USUAL, **options):
    vertex = PlyElement.describe(structured(truth, names), "vertex")
    PlyData([vertex], **options).write(path)


def write_pcd(path, truth, encoding):
    # Colour is packed into the bits of a float, as PCL does.
    packed = PointCloud.encode_rgb(truth["colour"])
    fields = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "rgb", "intensity")
    types = (*[np.float32] * 7, np.uint16)
    columns = [*truth["xyz"].T, *truth["normal"].T, packed.reshape(-1), truth["intensity"][:, 0]]
    PointCloud.from_points(columns, fields, types).save(path, encoding=encoding)


def write_las(path, truth):
    las = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    las.header.scales = [1e-6] * 3
    las.x, las.y, las.z = truth["xyz"].T
    las.red, las.green, las.blue = (truth["colour"].astype(np.uint16) * 257).T
    las.intensity = truth["intensity"][:, 0]
    las.write(path)


def write_text(path, truth, delimiter, names, comments=""):
    order = np.random.default_rng(0).permutation(len(USUAL))
    flat = np.concatenate([truth[name].astype(np.float64) for name in truth], axis=1)
    header = delimiter.join(names[i] for i in order)
    np.savetxt(path, flat[:, order], "%.9g", delimiter=delimiter, header=header, comments=comments)


def write_npz(path, truth):
    np.savez(path, points=truth["xyz"], normals=truth["normal"], colors=truth["colour"],
             intensity=truth["intensity"][:, 0])  # fmt: skip


CLOUDCOMPARE = ("X", "Y", "Z", "Nx", "Ny", "Nz", "R", "G", "B", "Intensity")
WRITERS = {
    "ascii.ply": lambda path, truth: write_ply(path, truth, text=True),
    "binary.ply": write_ply,
    "cloudcompare.ply": lambda path, truth: write_ply(
        path, truth, (*USUAL[:9], "scalar_Intensity")
    ),
    "binary.pcd": lambda path, truth: write_pcd(path, truth, Encoding.BINARY),
    "packed.pcd": lambda path, truth: write_pcd(path, truth, Encoding.BINARY_COMPRESSED),
    "a.las": write_las,
    "a.laz": write_las,
    "header.csv": lambda path, truth: write_text(path, truth, ",", CLOUDCOMPARE),
    "comment.xyz": lambda path, truth: write_text(path, truth, " ", USUAL, "# "),
    "header.txt": lambda path, truth: write_text(path, truth, "\t", USUAL),
    "a.npz": write_npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_features_come_back_in_their_units(name, tmp_path, truth):
    WRITERS[name](tmp_path / name, truth)
    table = read_table(tmp_path / name)
    np.testing.assert_array_equal(table["xyz"], read_cloud(tmp_path / name)[:, :3])
    has = [each for each in truth if not (each == "normal" and "la" in name[-3:])]
    assert sorted(table) == sorted(has)
    found = feature_values(table, (*has, "height"), "y")
    expected = {
        "normal": truth["normal"],
        "colour": truth["colour"] / 255,
        "intensity": truth["intensity"] / truth["intensity"].max(),
    }
    height = truth["xyz"][:, 1:2] - truth["xyz"][:, 1].min()
    wanted = np.concatenate([*(expected[each] for each in has[1:]), height], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("name", ["six.npy", "bare.xyz", "bare.csv", "mesh.ply", "mesh.obj"])
def test_what_files_do_not_name_is_not_guessed(name, tmp_path, truth):
    path, six = tmp_path / name, np.c_[truth["xyz"], truth["normal"]]
    if name == "six.npy":
        np.save(path, six)
    elif "mesh" in name:
        trimesh.creation.box().export(path)
    else:
        np.savetxt(path, six, delimiter="," if "csv" in name else " ")
    table = read_table(path)
    assert list(table) == ["xyz"]
    np.testing.assert_array_equal(table["xyz"], read_cloud(path))


def test_normals_that_are_not_known_are_zeros():
    normals = np.array([[0, 0, 4.0], [0, 0, 0], [np.nan, 0, 1], [3, 4, 0], [np.inf, 0, 0]])
    found = feature_values({"xyz": np.ones((5, 3)), "normal": normals}, ("xyz", "normal"), "z")
    expected = [[0, 0, 1], [0, 0, 0], [0, 0, 0], [0.6, 0.8, 0], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.uint8([[0, 51, 255]]), [[0, 0.2, 1]]),
        (np.uint16([[0, 13107, 65535]]), [[0, 0.2, 1]]),
        (np.array([[0, 13107, 100]], ">u2"), [[0, 0.2, 100 / 65535]]),
        (np.uint16([[0, 51, 255]]), [[0, 0.2, 1]]),  # 8 bits in 16
        (np.array([[0, 51, 100]], ">u2"), [[0, 0.2, 100 / 255]]),
        (np.float64([[0, 0.2, 1]]), [[0, 0.2, 1]]),
        (np.int64([[0, 51, 255]]), [[0, 0.2, 1]]),
        (np.float32([[0, 51, 2]]), [[0, 0.2, 2 / 255]]),
    ],
)
def test_colours_run_from_0_to_1(values, expected):
    found = feature_values({"xyz": np.ones((1, 3)), "colour": values}, ("xyz", "colour"), "z")
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        ("colour", [[0, 300, 0]], "has colours from 0 to 300: give 0 to 1"),
        ("colour", [[0, -1, 0]], "has colours from -1 to 0"),
        ("colour", [[0, np.nan, 0]], "has colours from nan"),
        ("intensity", [[-2]], "has intensities from -2 to -2: give finite"),
        ("intensity", [[np.inf]], "has intensities from inf"),
        ("normal", [[0, 0, 0]], "has normals that are all zero, NaN or infinite: compute"),
        ("normal", [[0, 1]], r"has for normal an array of int64 \(1, 2\), but it must be"),
        ("height", None, None),
        ("intensity", None, "has no intensity, but xyz,height"),
    ],
)
def test_what_features_cannot_mean(feature, values, message):
    table = {"xyz": np.ones((1, 3))} | ({feature: np.array(values)} if values else {})
    if message is None:
        assert feature_values(table, ("xyz", feature), "z").tolist() == [[0]]
        return
    with pytest.raises(DataError, match=message):
        feature_values(table, ("xyz", feature), "z")


def test_a_cloud_without_intensity_stays_black():
    table = {"xyz": np.ones((2, 3)), "intensity": np.zeros((2, 1), np.uint16)}
    assert feature_values(table, ("xyz", "intensity"), "z").tolist() == [[0], [0]]


@pytest.fixture
def coloured(tmp_path: Path, truth) -> Path:
    """Class folders of PLY files with everything, 3 training shapes and 1 to test in each."""
    root = tmp_path / "coloured"
    for label, name in enumerate(("cone", "cube")):
        for i in range(4):
            folder = root / name / ("test" if i == 3 else "train")
            folder.mkdir(parents=True, exist_ok=True)
            moved = truth | {"xyz": truth["xyz"] + np.float32(4 * label + i)}
            write_ply(folder / f"{i}.ply", moved)
    return root


def test_features_lie_beside_the_points_of_the_same_split(coloured, truth):
    plain = open_dataset(coloured, up="y")
    rich = open_dataset(coloured, up="y", features="xyz,height,normal,colour")
    assert plain.train.extra is None
    assert plain.offers() == ["xyz", "normal", "colour", "intensity", "height"]
    for name in ("train", "test"):
        one, other = plain.split(name), rich.split(name)
        assert one.fingerprint == other.fingerprint
        np.testing.assert_array_equal(one.points, other.points)
    extra = rich.train.extra
    assert isinstance(extra.values.base, np.memmap)
    assert (extra.names, extra.up) == (("xyz", "height", "normal", "colour"), "y")
    expected = np.c_[truth["xyz"][:, 1] - truth["xyz"][:, 1].min(), truth["normal"]]
    for i in range(6):
        rows = extra.values[COUNT * i : COUNT * (i + 1)]
        np.testing.assert_allclose(rows[:, :4], expected, atol=1e-5)
        np.testing.assert_allclose(rows[:, 4:], truth["colour"] / 255, atol=1e-6)


def test_a_second_start_reads_no_file(coloured, monkeypatch):
    first = open_dataset(coloured, features="xyz,normal").train.extra
    monkeypatch.setattr("pointstill.data.sources.class_folders.readers.read_table", None)
    monkeypatch.setattr("pointstill.data.sources.class_folders.readers.read_cloud", None)
    again = open_dataset(coloured, features=("xyz", "normal")).train.extra
    np.testing.assert_array_equal(first.values, again.values)
    assert first.fingerprint == again.fingerprint


def test_other_normals_have_another_fingerprint(coloured, truth):
    then = open_dataset(coloured, features="xyz,normal").train
    write_ply(coloured / "cube" / "train" / "0.ply", truth | {
        "xyz": truth["xyz"] + np.float32(4), "normal": -truth["normal"]
    })  # fmt: skip
    now = open_dataset(coloured, features="xyz,normal").train
    assert then.fingerprint == now.fingerprint
    assert then.extra.fingerprint != now.extra.fingerprint


def test_data_without_the_feature_says_what_it_has(scans, coloured, tmp_path, truth):
    said = f"{scans} has no colour and no normal, but xyz,height: give --features of these"
    with pytest.raises(DataError, match=said):
        open_dataset(scans, features="xyz,normal,colour").train  # noqa: B018
    assert open_dataset(scans, features="xyz,height").train.extra.values.shape[1] == 1
    with pytest.raises(DataError, match="primitives-clean has no normal, but xyz,height"):
        open_dataset("primitives-clean", features="xyz,normal").test  # noqa: B018
    vertex = repack_fields(structured(truth, USUAL)[["x", "y", "z"]])
    PlyData([PlyElement.describe(vertex, "vertex")]).write(coloured / "cube" / "train" / "1.ply")
    with pytest.raises(DataError, match=r"cube/train/1\.ply has no normal, but xyz,height"):
        open_dataset(coloured, features="xyz,normal").train  # noqa: B018


def test_what_data_offers_is_told_by_a_file_that_can_be_read(coloured):
    for split in ("train", "test"):
        (coloured / "cone" / split / ("0.ply" if split == "train" else "3.ply")).write_text("?")
        assert open_dataset(coloured).offers(split)[1] == "normal"


def test_a_bad_cloud_is_left_out_of_both(coloured):
    (coloured / "cone" / "train" / "0.ply").write_text("no ply")
    split = open_dataset(coloured, features="xyz,normal", skip_bad=True).train
    assert len(split.bad) == 1
    assert len(split.points) == len(split.extra.values) == 5 * COUNT


def test_modelnet_text_has_normals(tmp_path, truth):
    root = tmp_path / "modelnet40_normal_resampled"
    (root / "cone").mkdir(parents=True)
    for i in range(2):
        rows = np.c_[truth["xyz"] + i, truth["normal"]]
        np.savetxt(root / "cone" / f"cone_000{i}.txt", rows, "%.6f", delimiter=",")
    (root / "modelnet40_shape_names.txt").write_text("cone\n")
    (root / "modelnet40_train.txt").write_text("cone_0000\n")
    (root / "modelnet40_test.txt").write_text("cone_0001\n")
    data = open_dataset(root, features="xyz,normal")
    assert data.offers() == ["xyz", "normal", "height"]
    np.testing.assert_allclose(data.test.extra.values, truth["normal"], atol=2e-6)
    np.testing.assert_array_equal(data.test.points, open_dataset(root).test.points)


def test_modelnet_hdf5_may_have_normals(hdf5):
    with pytest.raises(DataError, match="has no normal"):
        open_dataset(hdf5, features="xyz,normal").train  # noqa: B018
    draw = np.random.default_rng(0)
    expected = []
    for name in ("train0", "train1"):
        with h5py.File(hdf5 / f"{name}.h5", "a") as file:
            normals = draw.normal(size=file["data"].shape)
            file["normal"] = normals / np.linalg.norm(normals, axis=2, keepdims=True)
            expected.append(file["normal"][:].reshape(-1, 3))
    split = open_dataset(hdf5, features="xyz,normal").train
    np.testing.assert_allclose(split.extra.values, np.concatenate(expected), atol=1e-6)


def test_xyz_alone_is_cached_as_ever(tmp_path, cache):
    """The fingerprint is of the version before there were features; the key is made by hand."""
    root, files = tmp_path / "scans", []
    for label, name in enumerate(("bench", "lamp")):
        (root / name / "train").mkdir(parents=True)
        for i in range(3):
            k = np.arange(3 * (12 + i)).reshape(-1, 3)
            seed = 10 * label + i
            file = root / name / "train" / f"{i}.npy"
            np.save(file, (k * (7 + seed) + seed * 13) % 64 / np.float32(64))
            files.append([str(file), file.stat().st_size, file.stat().st_mtime_ns])
    data = open_dataset(root)
    known = "c43efc4f4641c40efbe05cc4bc506141e16165ebdf89a460fd900674fdce8f21"
    assert data.train.fingerprint == known
    about = {"format": 4, "files": files, "kind": "folder", "key": data.source.key, "up": "z"}
    about |= {"classes": ["bench", "lamp"], "split": "train", "skip_bad": False}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    assert [entry.name for entry in cache.iterdir()] == [key]
    open_dataset(root, features="xyz,height").train  # noqa: B018
    assert len(list(cache.iterdir())) == 2
    assert sorted(file.name for file in (cache / key).iterdir()) == [
        "blocks.npy", "clouds.npy", "labels.npy", "meta.json", "names", "offsets.npy", "points.npy",
    ]  # fmt: skip
