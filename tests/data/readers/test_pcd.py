"""PCD as PCL reads it, against a library that writes it; headers that lie."""

import struct
import warnings

import lzf
import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud

from pointstill.data.readers import read_cloud, read_table
from pointstill.errors import DataError

POINTS = np.array([[0.5, -0.25, 2], [1, 4, -0.125], [7, 0.75, 3]], np.float32)
HEADER = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    "WIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA {}\n"
)
ROWS = "0.5 -0.25 2\n1 4 -0.125\n7 0.75 3\n"
ASCII = HEADER.format("ascii") + ROWS

LEGAL = {
    "blanks between": ASCII.replace(" ", "  "),
    "blanks behind": ASCII.replace("\n", " \n"),
    "tabs": ASCII.replace(" ", "\t"),
    "carriage returns": ASCII.replace("\n", "\r\n"),
    "no COUNT": ASCII.replace("COUNT 1 1 1\n", ""),
    "no VIEWPOINT": ASCII.replace("VIEWPOINT 0 0 0 1 0 0 0\n", ""),
    "no VERSION": ASCII.replace("VERSION 0.7\n", ""),
    "no POINTS": ASCII.replace("POINTS 3\n", ""),
    "no WIDTH": ASCII.replace("WIDTH 3\nHEIGHT 1\n", ""),
    "capitals": ASCII.replace("x y z", "X Y Z"),
    "small letters": ASCII.replace("TYPE F F F", "type f f f").replace("DATA ascii", "data ASCII"),
    "comments": ASCII.replace("SIZE", "# a comment\n\nSIZE").replace("\n1 4", "\n# half\n1 4"),
    "organised": ASCII.replace("WIDTH 3\nHEIGHT 1", "WIDTH 1\nHEIGHT 3"),
    "double": ASCII.replace("SIZE 4 4 4", "SIZE 8 8 8"),
    "many lines": ASCII.replace("VERSION", "# by\n" * 20 + "VERSION"),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_headers_are_read(name, tmp_path):
    (tmp_path / "a.pcd").write_bytes(LEGAL[name].encode())
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.pcd"), POINTS)


FIELDS = [
    *(("x", "<f8"), ("a", "<u1", 3), ("h", "<f4", 33)),
    *(("y", "<f4"), ("z", "<i2"), ("b", "<u1", 2)),
]


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_padding_and_fields_of_several_numbers(data, tmp_path):
    """Descriptors of 33 numbers, bytes of padding, and coordinates of three kinds."""
    rows = np.zeros(3, FIELDS)
    rows["x"], rows["y"], rows["z"] = POINTS[:, 0], POINTS[:, 1], [1, -2, 300]
    rows["h"], rows["a"] = np.arange(99).reshape(3, 33), 7
    header = (
        "VERSION .7\nFIELDS x _ fpfh Y z _\nSIZE 8 1 4 4 2 1\nTYPE F U F F I U\n"
        f"COUNT 1 3 33 1 1 2\nWIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA {data}\n"
    )
    body = rows.tobytes()
    if data == "ascii":
        body = "\n".join(" ".join(str(v) for f in row for v in np.atleast_1d(f)) for row in rows)
        body = body.encode()
    elif data == "binary_compressed":
        body = b"".join(rows[name].tobytes() for name in rows.dtype.names)
        packed = lzf.compress(body)
        body = struct.pack("<II", len(packed), len(body)) + packed
    (tmp_path / "a.pcd").write_bytes(header.encode() + body)
    expected = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.pcd"), expected)


@pytest.mark.parametrize("kind", [np.float32, np.uint32])
@pytest.mark.parametrize("encoding", Encoding)
def test_packed_colours(kind, encoding, tmp_path):
    colours = np.array([[255, 1, 2], [0, 128, 9], [3, 4, 5]], np.uint8)
    if encoding is Encoding.BINARYSCOMPRESSED:
        return  # no name of PCL
    packed = PointCloud.encode_rgb(colours).reshape(-1).view(kind)
    types = (*[np.float32] * 3, kind)
    cloud = PointCloud.from_points([*POINTS.T, packed], ("x", "y", "z", "rgb"), types)
    if kind is np.float32 and encoding is Encoding.ASCII:
        return  # its writer rounds them
    cloud.save(tmp_path / "a.pcd", encoding=encoding)
    np.testing.assert_array_equal(read_table(tmp_path / "a.pcd")["colour"], colours)


def compressed(size, unpacked, content=b""):
    return (
        HEADER.format("binary_compressed").encode() + struct.pack("<II", size, unpacked) + content
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ASCII.replace("COUNT 1 1 1", "COUNT 1 1 99999999999"), "has a field 'z' of TYPE 'F' 4"),
        (ASCII.replace("COUNT 1 1 1", "COUNT 1 1 0"), "COUNT 0"),
        (ASCII.replace("COUNT 1 1 1", "COUNT 1 1"), "has 3 FIELDS with 3 SIZE, 3 TYPE and 2 COUNT"),
        (ASCII.replace("SIZE 4", "SIZE -4"), "has no whole numbers for SIZE"),
        (ASCII.replace("SIZE 4", "SIZE 3"), "has a field 'x' of TYPE 'F' 3"),
        (ASCII.replace("3", "9" * 18), "is truncated"),
        (ASCII.replace("WIDTH 3", "WIDTH 4"), "announces 3 points, but is 4 wide and 1 high"),
        (ASCII.replace("WIDTH 3", "WIDTH 5").replace("POINTS 3", "POINTS 5"), "is truncated (it"),
        (ASCII.replace("WIDTH 3", "WIDTH 2").replace("POINTS 3", "POINTS 2"), "but has 3"),
        (ASCII.replace("WIDTH 3", "").replace("POINTS 3", ""), "announces no number of points"),
        (ASCII.replace("FIELDS x y z", "FIELDS x y x"), "has several fields called 'x'"),
        (ASCII.replace("FIELDS x y z", "FIELDS a y z"), "has no x among its columns (a, y, z)"),
        (ASCII.replace("DATA ascii", "DATA zip"), "has DATA 'zip': write it as one of ascii"),
        (ASCII.replace("DATA ascii", "DATA\n"), "has DATA ''"),
        (ASCII.partition("DATA")[0], "has no line DATA in its header"),
        ("#" * 200_000, "has no line DATA in its header"),
        (ASCII.replace("0.5 ", "zero "), "line 12 ('zero' is not a number)"),
        (ASCII.replace("TYPE F", "TYPE I"), "has numbers in x that do not fit its TYPE and SIZE"),
        (HEADER.format("binary").encode() + bytes(35), "it announces 36 bytes of points, but has"),
        (HEADER.format("binary").encode() + bytes(48), "3 points, but has bytes for more"),
        (compressed(9999, 36), "it announces 9999 bytes of packed points, but has 0"),
        (compressed(4, 4_000_000_000, b"abcd"), "has 4000000000 bytes of points, where its header"),
        (compressed(4, 36, b"abcd"), "damaged, or not a .pcd file"),
        (compressed(0, 36)[:-6], "damaged, or not a .pcd file"),
    ],
)  # fmt: skip
def test_headers_that_lie_are_found_out(content, message, tmp_path):
    (tmp_path / "a.pcd").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_cloud(tmp_path / "a.pcd")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_points_are_said_in_a_line(read, quiet):
    text = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 0\nHEIGHT 1\nDATA ascii\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read("a.pcd", text).shape == (0, 3)
