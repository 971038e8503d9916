"""Every reader against a file that another library wrote, and against damaged ones."""

import laspy
import numpy as np
import pytest
import trimesh
from plyfile import PlyData, PlyElement
from pypcd4 import Encoding, PointCloud

from pointstill.data.readers import READERS, read_cloud
from pointstill.errors import DataError, ForbiddenError

MESHES = ("off", "obj", "stl", "glb", "ply")


def write_ply(path, points, **options):
    vertex = np.array([tuple(p) for p in points], dtype=[(axis, "f4") for axis in "xyz"])
    PlyData([PlyElement.describe(vertex, "vertex")], **options).write(path)


def write_las(path, points, offsets=(0, 0, 0)):
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = [1e-4] * 3, offsets
    las = laspy.LasData(header)
    las.x, las.y, las.z = points.T
    las.write(path)


def write_text(path, points, delimiter=" ", **options):
    np.savetxt(path, points, fmt="%.9g", delimiter=delimiter, comments="", **options)


WRITERS = {
    "ascii.ply": lambda path, points: write_ply(path, points, text=True),
    "little.ply": lambda path, points: write_ply(path, points, byte_order="<"),
    "big.ply": lambda path, points: write_ply(path, points, byte_order=">"),
    "ascii.pcd": lambda p, a: PointCloud.from_xyz_points(a).save(p, encoding=Encoding.ASCII),
    "binary.pcd": lambda p, a: PointCloud.from_xyz_points(a).save(p, encoding=Encoding.BINARY),
    "packed.pcd": lambda p, a: PointCloud.from_xyz_points(a).save(
        p, encoding=Encoding.BINARY_COMPRESSED
    ),
    "a.npy": np.save,
    "named.npz": lambda path, points: np.savez(path, other=points[:1], xyz=points),
    "only.npz": lambda path, points: np.savez_compressed(path, whatever=points),
    "a.xyz": write_text,
    "a.txt": lambda path, points: write_text(path, points, ","),
    "semicolon.txt": lambda path, points: write_text(path, points, ";"),
    "tab.TXT": lambda path, points: write_text(path, points, "\t"),
    "header.csv": lambda path, points: write_text(path, points, ",", header="x,y,z"),
    "plain.csv": lambda path, points: write_text(path, points, ","),
    "order.csv": lambda path, points: write_text(
        path, np.c_[points[:, ::-1], points], ",", header='"Z","Y","X","R","G","B"'
    ),
    "slashes.txt": lambda path, points: write_text(path, points, header="//X Y Z"),
    "comment.xyz": lambda path, points: write_text(
        path, np.c_[points[:, 0], points], header="# a scan\n# intensity X y z"
    ),
    "comment.csv": lambda path, points: write_text(
        path, points[:, [2, 0, 1]], ",", header="# z, x, y\n# of the garden"
    ),
    "fields.xyz": lambda path, points: write_text(
        path, np.c_[points, points[:, 0]], header="# Fields: x y z"
    ),
    "columns.csv": lambda path, points: write_text(
        path, np.c_[points[:, 0], points], ",", header='# columns "i", "x", "y", "z"'
    ),
    "prose.xyz": lambda path, points: write_text(
        path, np.c_[points, points], header="# x y z come first"
    ),
    "format.xyz": lambda path, points: write_text(
        path, np.c_[points, points[:, 0]], header="# x y z z"
    ),
    "normals.txt": lambda path, points: write_text(path, np.c_[points, points], ","),
    "comments.xyz": lambda path, points: write_text(path, points, header="# x\n\n  # letters"),
    "vertices.obj": lambda path, points: path.write_text(
        "# made by hand\no scan\n" + "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in points)
    ),
    "coloured.obj": lambda path, points: path.write_text(
        "".join(f"v {x:.9g} {y:.9g} {z:.9g} 1 0 0\nvn 0 0 1\n" for x, y, z in points)
    ),
    "count.pts": lambda path, points: write_text(path, points, header=str(len(points))),
    "plain.pts": write_text,
    "kitti.bin": lambda path, points: (
        np.c_[points, np.ones(len(points))].astype("<f4").tofile(path)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_clouds_come_back_exactly(name, tmp_path, clouds):
    points = clouds(50)
    WRITERS[name](tmp_path / name, points)
    np.testing.assert_array_equal(read_cloud(tmp_path / name)[:, :3].astype(np.float32), points)


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_survey_coordinates_keep_their_millimetres(suffix, tmp_path, clouds):
    points = clouds(50) + np.array([412_345.0, 5_654_321, 87])
    write_las(tmp_path / f"a.{suffix}", points, offsets=(412_000, 5_654_000, 0))
    np.testing.assert_allclose(read_cloud(tmp_path / f"a.{suffix}"), points, atol=0.6e-4)


def test_every_suffix_is_tested():
    written = {"." + name.rpartition(".")[2].lower() for name in WRITERS}
    assert set(READERS) == written | {f".{name}" for name in MESHES} | {".las", ".laz"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xyz", "0 0 0\n1 2 3\n1 2 3x\n", "line 3 ('3x' is not a number"),
        ("a.xyz", "0 0 0\n# c\n\n1 O.5 3\n", "line 4 ('O.5' is not a number"),
        ("a.csv", "x,y,z\n0,0,0\n1,,3\n", "line 3 ('' is not a number"),
        (
            "a.csv",
            "x,y,i\n0,0,0\n",
            "line 1 ('x' is not a number): write numbers, or name the columns, "
            "among them x, y and z",
        ),
        ("a.xyz", "1_000 2 3\n4 5 6\n", "line 1 ('1_000' is not a number"),
        ("a.txt", "0 0 0\n1 2\n", "line 2 (2 columns, 3 needed"),
        ("a.pts", "3\n0 0 0\n1 2 3\n", "announces 3 points, but has 2"),
        ("a.pts", "", "has no points"),
        ("a.xyz", "# nothing\n", "has no points"),
        ("a.xyz", "é\x00\x01", "line 1"),
        ("a.npy", "not an npy", "not a .npy file"),
        ("a.gltf", "", "has the suffix .gltf, which is not read: give a file of ply, pcd"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(name, text, message, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_cloud(path)
    assert str(caught.value).startswith(f"{path} ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_stay_closed(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object))
    with pytest.raises(DataError, match=r"a\.npy"):
        read_cloud(tmp_path / "a.npy")


def test_an_npz_of_several_arrays_must_name_one(tmp_path, clouds):
    np.savez(tmp_path / "a.npz", a=clouds(9), b=clouds(9))
    with pytest.raises(DataError, match="has arrays a, b: name one of them points"):
        read_cloud(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.xyz", "a.npy", "ascii.ply", "ascii.pcd", "a.las", "box.glb"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(name, public_path, unprivileged, clouds):
    path = public_path / name
    if name in WRITERS:
        WRITERS[name](path, clouds(20))
    elif name == "a.las":
        write_las(path, clouds(20))
    else:
        trimesh.creation.box().export(path)
    path.chmod(0)
    fix = "mend its permissions; nothing says that it is damaged"
    said = f"{path} cannot be read (Permission denied): {fix}"
    with unprivileged(), pytest.raises(ForbiddenError) as caught:
        read_cloud(path)
    assert str(caught.value) == said
    path.chmod(0o644)
    public_path.chmod(0o666)  # a folder that may not be entered
    with unprivileged(), pytest.raises(ForbiddenError, match="mend its permissions"):
        read_cloud(path)
    public_path.chmod(0o777)


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(DataError) as caught:
        read_cloud(tmp_path)
    said = f"{tmp_path} is a folder, but a cloud is a file: give its files, such as {tmp_path}/*"
    assert str(caught.value) == said


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.ply does not exist"):
        read_cloud(tmp_path / "gone.ply")


CUT = [name for name in WRITERS if name.endswith(("ply", "pcd", "npy", "npz"))]


@pytest.mark.parametrize("name", [*CUT, "a.las", "a.laz", "a.off", "a.glb", "mesh.ply"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.9, "points"])
def test_truncated_files_are_found_out(name, part, tmp_path, clouds):
    path, points = tmp_path / name, clouds(50)
    if name in WRITERS:
        WRITERS[name](path, points)
    elif "las" in name or "laz" in name:
        write_las(path, points)
    else:
        trimesh.creation.icosphere(2).export(path)
    whole = path.read_bytes()
    # "points": exactly ten of them, 12 bytes each (34 in las), are cut off
    cut = len(whole) - (340 if name == "a.las" else 120) if part == "points" else None
    path.write_bytes(whole[: int(len(whole) * part) if cut is None else cut])
    with pytest.raises(DataError, match=path.name):
        read_cloud(path)
