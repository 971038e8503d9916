"""Channels: columns by their own names, in files that other libraries wrote."""

import csv
import re
import warnings

import h5py
import laspy
import meshio
import numpy as np
import pytest
import trimesh
from plyfile import PlyData, PlyElement
from pypcd4 import Encoding, PointCloud

from pointstill.data import open_dataset
from pointstill.data.channels import feature_values
from pointstill.data.columns import format_columns, parse_columns
from pointstill.data.readers import read_table
from pointstill.errors import DataError, UsageError

COUNT = 24
ASKED = ("xyz", "doppler", "ring")


@pytest.fixture
def columns(clouds) -> dict[str, np.ndarray]:
    """Radar: x, y, z, an id that nobody asks for, a doppler and a ring."""
    draw = np.random.default_rng(5)
    x, y, z = clouds(COUNT).T
    named = {"x": x, "y": y, "z": z, "Id": np.arange(COUNT, dtype=np.int32)}
    named["Doppler"] = draw.normal(size=COUNT).astype(np.float32)
    return named | {"ring": draw.integers(0, 32, COUNT).astype(np.uint16)}


def records(columns):
    rows = np.zeros(COUNT, [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows


def write_csv(path, columns, delimiter=","):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([*columns, "note"])
        for row in zip(*(values.tolist() for values in columns.values()), strict=True):
            writer.writerow([*row, "ok"])


def write_las(path, columns):
    las = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    las.header.scales = [1e-7] * 3
    las.add_extra_dim(laspy.ExtraBytesParams("Doppler", "f4"))
    las.add_extra_dim(laspy.ExtraBytesParams("ring", "u2"))
    las.x, las.y, las.z = (columns[axis] for axis in "xyz")
    las.Doppler, las.ring = columns["Doppler"], columns["ring"]
    las.return_number = 1 + np.arange(COUNT) % 3
    las.gps_time = 3.1e8 + np.arange(COUNT) / 8
    las.write(path)


def write_meshio(path, columns):
    points = np.c_[columns["x"], columns["y"], columns["z"]]
    data = {name: columns[name] for name in ("Id", "Doppler", "ring")}
    meshio.Mesh(points, [], point_data=data).write(path)


def write_pcd(path, columns, encoding):
    kinds = [values.dtype.type for values in columns.values()]
    cloud = PointCloud.from_points(list(columns.values()), tuple(columns), kinds)
    cloud.save(path, encoding=encoding)


def write_npz(path, columns):
    points = np.c_[columns["x"], columns["y"], columns["z"]]
    np.savez(path, points=points, Doppler=columns["Doppler"], ring=columns["ring"][:, None])


WRITERS = {
    "a.csv": write_csv,
    "tabs.txt": lambda path, columns: write_csv(path, columns, "\t"),
    "plyfile.ply": lambda path, columns: PlyData(
        [PlyElement.describe(records(columns), "vertex")]
    ).write(path),
    "meshio.ply": write_meshio,
    "ascii.pcd": lambda path, columns: write_pcd(path, columns, Encoding.ASCII),
    "binary.pcd": lambda path, columns: write_pcd(path, columns, Encoding.BINARY),
    "packed.pcd": lambda path, columns: write_pcd(path, columns, Encoding.BINARY_COMPRESSED),
    "a.las": write_las,
    "a.laz": write_las,
    "a.npy": lambda path, columns: np.save(path, records(columns)),
    "records.npz": lambda path, columns: np.savez(path, points=records(columns)),
    "a.npz": write_npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_channels_come_back_as_they_are(name, tmp_path, columns):
    path = tmp_path / name
    WRITERS[name](path, columns)
    table = read_table(path, features=ASKED)
    assert sorted(table) == sorted(ASKED)
    for feature, column in (("doppler", "Doppler"), ("ring", "ring")):
        np.testing.assert_array_equal(table[feature].astype(np.float32)[:, 0], columns[column])
    np.testing.assert_array_equal(table["xyz"], read_table(path, features=())["xyz"])
    everything = read_table(path, features=None)
    assert {"xyz", "doppler", "ring"} <= everything.keys()
    assert not {"x", "note", "height"} & everything.keys()
    renamed = read_table(path, features=("xyz", "speed"), columns={"speed": "DOPPLER"})
    np.testing.assert_array_equal(renamed["speed"], table["doppler"])
    with pytest.raises(DataError, match=r"has no \w+ dopler, but .*: did you mean doppler\?"):
        read_table(path, features=("xyz",), columns={"speed": "dopler"})


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_dimensions_of_las(suffix, tmp_path, columns):
    path = tmp_path / f"a.{suffix}"
    write_las(path, columns)
    other = laspy.read(path)
    table = read_table(path, features=("return_number", "gps_time"))
    np.testing.assert_array_equal(table["return_number"][:, 0], np.array(other.return_number))
    np.testing.assert_array_equal(table["gps_time"][:, 0], np.array(other.gps_time))
    offered = read_table(path, features=None)
    assert {"classification", "intensity", "gps_time", "return_number"} <= offered.keys()
    times = feature_values(table, ("xyz", "gps_time"), "z")  # from the cloud's first
    np.testing.assert_array_equal(times[:, 0], np.arange(COUNT) / 8)


def test_columns_without_names_have_numbers(tmp_path, columns):
    rows = np.c_[columns["Doppler"], columns["z"], columns["y"], columns["x"]]
    numbers = parse_columns("x=3,y=2,z=1,doppler=0")
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", points=rows, label=3)
    np.savetxt(tmp_path / "a.txt", rows, "%.9g")
    np.savetxt(tmp_path / "a.csv", rows, "%.9g", delimiter=",", header="a,b,c,d", comments="")
    (tmp_path / "pandas.csv").write_text(
        ",0,1,2,3\n" + "".join(f"{i},{a},{b},{c},{d}\n" for i, (a, b, c, d) in enumerate(rows))
    )
    for file in tmp_path.iterdir():
        table = read_table(file, features=("xyz", "doppler"), columns=numbers)
        np.testing.assert_array_equal(table["xyz"].astype(np.float32), rows[:, [3, 2, 1]])
        np.testing.assert_array_equal(table["doppler"].astype(np.float32)[:, 0], rows[:, 0])
        with pytest.raises(DataError, match=r"so that none has the number 9: count"):
            read_table(file, columns=numbers | {"doppler": 9})
    with pytest.raises(DataError, match=r"a\.npy names no columns, so that none is called v"):
        read_table(tmp_path / "a.npy", columns={"doppler": "v"})


def test_axes_of_other_names(tmp_path, columns):
    names = {
        "east": columns["x"],
        "North [m]": columns["y"],
        "up": columns["z"],
        "x": columns["ring"],
    }
    write_csv(tmp_path / "a.csv", names)
    axes = parse_columns("x=east,y=north,z=up,ring=x")
    table = read_table(tmp_path / "a.csv", features=("ring",), columns=axes)
    np.testing.assert_array_equal(
        table["xyz"].astype(np.float32), np.c_[columns["x"], columns["y"], columns["z"]]
    )
    np.testing.assert_array_equal(table["ring"][:, 0], columns["ring"])
    with pytest.raises(DataError, match=r"has no column easst, but .*: did you mean east\?"):
        read_table(tmp_path / "a.csv", columns=axes | {"x": "easst"})
    with pytest.raises(DataError, match="or say which they are, as in --columns"):
        read_table(tmp_path / "a.csv")


def test_a_channel_that_is_there_twice(tmp_path):
    """Among the columns of the points and beside them, or beside them in two writings."""
    numbers = np.random.default_rng(0).normal(size=(12, 9, 6))
    names = ("x", "y", "z", "v", "w")
    records = np.zeros((12, 9), [(name, "f8") for name in names])
    for place, name in enumerate(names):
        records[name] = numbers[..., place]
    beside = {"V": numbers[..., 5], "q": numbers[..., 4], "Q": numbers[..., 3]}
    whole = {"points": numbers[..., :5], "columns": names, "labels": np.arange(12) % 2}
    np.savez(tmp_path / "all.npz", **whole, **beside)
    (tmp_path / "scans" / "a").mkdir(parents=True)
    for row in range(12):
        one = {name: array[row] for name, array in beside.items()}
        np.savez(tmp_path / "scans" / "a" / f"{row:06}.npz", points=records[row], **one)
    for data in (tmp_path / "all.npz", tmp_path / "scans"):

        def values(feature, columns=None, data=data):
            split = open_dataset(data, features=("xyz", feature), columns=columns).train
            row = int(re.findall("[0-9]{6}", split.names[0])[0])
            return row, split.extra.values[:9, 0]

        for feature, said in {
            "v": "v among the columns of its points",
            "q": "several arrays",
        }.items():
            with pytest.raises(
                DataError, match=rf"00000\d(\.npz)? has {said}.*: give each its own"
            ):
                values(feature)
        # What is said is in one place is not looked for in the other.
        for columns, place in (("v=w", 4), ("v=3", 3)):
            row, found = values("v", columns)
            np.testing.assert_array_equal(found, np.float32(numbers[row, :, place]))


def test_two_columns_of_one_name(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z,v,V\n" + "1,2,3,4,5\n" * 9)
    assert list(read_table(tmp_path / "a.csv", features=("xyz",))) == ["xyz"]
    assert list(read_table(tmp_path / "a.csv", features=None)) == ["xyz"]
    for asked in ({"features": ("v",)}, {"columns": {"speed": "v"}}):
        with pytest.raises(DataError, match=r"a\.csv has several columns called v: give each"):
            read_table(tmp_path / "a.csv", **asked)
    table = read_table(tmp_path / "a.csv", features=("v",), columns={"v": 4})
    assert (table["v"] == 5).all()


def test_meshes_have_none(tmp_path):
    trimesh.creation.box().export(tmp_path / "a.obj")
    with pytest.raises(DataError, match="is a mesh, which has no columns"):
        read_table(tmp_path / "a.obj", columns={"x": "a"})
    assert list(read_table(tmp_path / "a.obj", features=None)) == ["xyz"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "columns have 'x': write them as x=origin_x"),
        ("x=", "columns have 'x=': write"),
        ("x=a,,y=b", "columns have '': write"),
        ("x=a,X=b", "columns have x twice"),
        ("x=a,y=A", "one column for two axes"),
        ("height=h", "no column can be called 'height' here"),
        ("9=v", "no column can be called '9' here"),
    ],
)
def test_columns_that_cannot_be_meant(text, message):
    with pytest.raises(UsageError, match=message):
        parse_columns(text)


def test_columns_are_written_as_they_are_read():
    text = "x=origin_x,y=origin_y,z=2,doppler=v_r"
    assert format_columns(parse_columns(text)) == text
    assert parse_columns(parse_columns(text)) == parse_columns(text)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_a_channel_that_is_not_finite_is_refused(value):
    values = np.ones((9, 1))
    values[3] = value
    with pytest.raises(DataError, match="has 1 of 9 points whose doppler is NaN or infinite: rem"):
        feature_values({"xyz": np.ones((9, 3)), "doppler": values}, ("xyz", "doppler"), "z")


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_times_since_1970_run_from_the_first(kind):
    unit = 1 if kind is np.float64 else 10**9  # nanoseconds are whole
    start = kind(1_700_000_000 * unit)
    values = (start + (np.arange(9)[::-1] * (0.25 if unit == 1 else 25))).astype(kind)[:, None]
    found = feature_values({"xyz": np.ones((9, 3)), "t": values}, ("xyz", "t"), "z")
    np.testing.assert_allclose(found[:, 0], np.arange(9)[::-1] * (0.25 if unit == 1 else 25))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (4e5 + np.arange(9) / 7, True),  # seconds of a week
        (np.float32(1.7e9) + np.arange(9, dtype=np.float32) * 128, True),  # rounded before
        (np.arange(9) / 7, False),
        (np.full(9, 4e5 + 1 / 7), False),
        (np.arange(9) + 2**20, False),
    ],
)
def test_a_channel_that_is_rounded_is_told(values, said):
    table = {"xyz": np.ones((9, 3)), "t": values[:, None]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        feature_values(table, ("xyz", "t"), "z")
    assert [str(each.message).partition(" is")[0] for each in caught] == ["t"] * said


@pytest.fixture
def radar(tmp_path, columns):
    """Class folders of CSV files whose axes have other names."""
    root = tmp_path / "radar"
    names = {"x": "px", "y": "py", "z": "pz"}
    for label, name in enumerate(("car", "person")):
        (root / name).mkdir(parents=True)
        for i in range(5):
            here = {names.get(each, each): values for each, values in columns.items()}
            here["px"] = here["px"] + np.float32(i + 5 * label)
            write_csv(root / name / f"{i}.csv", here)
    return root


NAMED = "x=px,y=py,z=pz"


def test_a_data_set_with_columns(radar, columns, cache):
    data = open_dataset(radar, features="xyz,doppler", columns=f"{NAMED},strength=ring")
    assert data.columns == {"x": "px", "y": "py", "z": "pz", "strength": "ring"}
    assert data.offers() == ["xyz", "height", "doppler", "id", "ring", "strength"]
    extra = data.train.extra
    assert extra.names == ("xyz", "doppler")
    np.testing.assert_array_equal(extra.values[:COUNT, 0], columns["Doppler"])
    count = len(list(cache.iterdir()))
    again = open_dataset(radar, features="xyz,doppler", columns=dict(data.columns))
    assert again.train.extra.fingerprint == extra.fingerprint
    assert len(list(cache.iterdir())) == count
    with pytest.raises(DataError, match=r"has no doplr, but xyz.*: did you mean doppler\? Or give"):
        open_dataset(radar, features="xyz,doplr", columns=NAMED).train  # noqa: B018
    with pytest.raises(UsageError, match="has points alone, without columns"):
        open_dataset("primitives-clean", columns=NAMED).train  # noqa: B018


def test_one_cloud_without_the_channel(radar, columns):
    short = {"px": columns["x"], "py": columns["y"], "pz": columns["z"], "dopler": columns["z"]}
    write_csv(radar / "person" / "3.csv", short)
    data = open_dataset(radar, features="xyz,doppler", columns=NAMED)
    split = "train" if "person/3.csv" in open_dataset(radar, columns=NAMED).train.names else "test"
    with pytest.raises(
        DataError, match=r"person/3\.csv has no doppler, but xyz,height,dopler: did"
    ):
        data.split(split)


def test_the_command_line_names_columns(radar, cli):
    code, out, err = cli(
        "data", "info", radar, "--columns", NAMED, "--features", "xyz,doppler,ring"
    )
    assert (code, err.count("error")) == (0, 0), err
    assert "features xyz,height,doppler,id,ring\n" in out
    assert "train    doppler -" in out
    code, _, err = cli("data", "info", radar, "--columns", "x")
    assert (code, err.count("\n")) == (2, 1)
    assert "columns have 'x'" in err
    code, _, err = cli("data", "info", radar)
    assert (code, "--columns x=east" in err) == (1, True)


def test_hdf5_has_channels_by_name(hdf5):
    expected = []
    for name in ("train0", "train1"):
        with h5py.File(hdf5 / f"{name}.h5", "a") as file:
            file["Doppler"] = np.random.default_rng(1).normal(size=file["data"].shape[:2])
            file["face"] = ["a"] * len(file["data"])
            expected.append(file["Doppler"][:].reshape(-1))
    assert open_dataset(hdf5).offers() == ["xyz", "height", "doppler"]
    for features, columns in (("xyz,doppler", None), ("xyz,v", "v=DOPPLER")):
        extra = open_dataset(hdf5, features=features, columns=columns).train.extra
        np.testing.assert_allclose(extra.values[:, 0], np.concatenate(expected), rtol=1e-6)
    depth = open_dataset(hdf5, features="xyz,depth", columns="depth=2").train
    np.testing.assert_array_equal(depth.extra.values[:, 0], depth.points[:, 2])
    with pytest.raises(DataError, match=r"has no array dopler, but .*did you mean doppler\?"):
        open_dataset(hdf5, features="xyz,v", columns="v=dopler").train  # noqa: B018
