"""PLY: what other tools write, against another library, and counts that are lies."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from pointstill.data.readers.ply import Lists, read_elements
from pointstill.errors import DataError

XYZ = "property float x\nproperty float y\nproperty float z\n"
VERTICES = "element vertex 4\n" + XYZ
CORNERS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
FACE = "element face 2\nproperty list uchar int vertex_indices\n"
FACES = "3 0 1 2\n3 0 2 3\n"


def ply(elements: str, body: str | bytes, kind: str = "ascii") -> bytes:
    header = f"ply\nformat {kind} 1.0\n{elements}end_header\n".encode()
    return header + (body if isinstance(body, bytes) else body.encode())


CLOUD = ply(VERTICES, CORNERS)
SQUARE = ply(VERTICES + FACE, CORNERS + FACES)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "content",
    [
        CLOUD.replace(b"ply\n", "ply\ncomment Größe\nobj_info °\n".encode("latin-1")),
        CLOUD.replace(b"ply\n", "ply\ncomment Größe\n\n".encode()),
        CLOUD.replace(b"\n", b"\r\n"),
        CLOUD.replace(b"\n", b"\r"),
        CLOUD.replace(b"end_header", b"end_header "),
        b"\xef\xbb\xbf" + CLOUD,
        ply(VERTICES, "\n" + CORNERS.replace(" ", "\t  ") + "\n\n"),
        ply(VERTICES, CORNERS.replace("\n", " ")),
        ply(VERTICES.replace("float", "float32"), CORNERS),
        ply(VERTICES.replace(" x", " X"), CORNERS),
        ply("element foo 99999999999\n" + VERTICES, CORNERS),
        ply("element face 0\nproperty list uchar int whatever\n" + VERTICES, CORNERS),
        ply(VERTICES + "property float nx\n", CORNERS.replace("0\n", "0 -nan(ind)\n")),
        ply(
            VERTICES + "element edge 1\nproperty int a\nproperty list uchar float b\n",
            CORNERS + "7 2 0.5 0.5\n",
        ),
    ],
)
def test_what_other_tools_write_is_the_same_cloud(content, read):
    points = read("a.ply", content)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, np.fromstring(CORNERS, sep=" ").reshape(4, 3))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "content",
    [
        SQUARE.replace(b"vertex_indices", b"vertex_index"),
        SQUARE.replace(b"vertex_indices", b"vertexindices"),
        SQUARE.replace(b"uchar int", b"int uint"),
        SQUARE.replace(b"uchar int", b"uchar float"),
        ply(FACE + VERTICES, FACES + CORNERS),
        ply(
            VERTICES + FACE + "property list uchar float texcoord\nproperty uchar red\n",
            CORNERS + "3 0 1 2 2 0.5 0.5 255\n3 0 2 3 0 255\n",
        ),
        ply(
            VERTICES + "element face 2\nproperty int flags\nproperty list uchar int corners\n",
            CORNERS + "7 3 0 1 2\n7 3 0 2 3\n",
        ),
        ply(
            VERTICES + "element polygon 2\nproperty list uchar int vertex_indices\n",
            CORNERS + FACES,
        ),
        ply(
            VERTICES + "element tristrips 1\nproperty list int int vertex_indices\n",
            CORNERS + "7 0 1 2 -1 0 2 3\n",
        ),
    ],
)
def test_what_other_tools_write_is_the_same_square(content, read):
    np.testing.assert_array_equal(read("a.ply", content), read("a.ply", SQUARE))


def test_a_strip_is_all_of_its_triangles(read):
    strip = "element tristrips 1\nproperty list int int vertex_indices\n"
    points = read("a.ply", ply(VERTICES + strip, CORNERS + "4 0 1 3 2\n"))
    assert abs((points[:, 0] + points[:, 1] < 1).mean() - 0.5) < 0.05


def test_polygons_are_cut_into_triangles(read):
    more = CORNERS + "2 0 0\n2 1 0\n3 0.5 0\n"
    header = VERTICES.replace("4", "7") + FACE
    points = read("a.ply", ply(header, more + "4 0 1 2 3\n5 1 4 6 5 2\n"))
    assert abs((points[:, 0] < 1).mean() - 1 / 2.5) < 0.05
    assert points.max(axis=0) == pytest.approx([3, 1, 0], abs=0.1)


KINDS = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])


@given(
    st.lists(KINDS, min_size=1, max_size=4),
    st.lists(st.lists(st.integers(0, 100), max_size=4), max_size=6),
    st.sampled_from([{"text": True}, {"byte_order": "<"}, {"byte_order": ">"}]),
)
@settings(max_examples=60, deadline=None)
def test_all_columns_are_those_of_another_library(tmp_path_factory, kinds, lists, options):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    rng = np.random.default_rng(len(lists))
    vertex = np.array(
        [tuple(rng.integers(0, 100, len(kinds))) for _ in range(7)],
        [(f"c{i}", kind) for i, kind in enumerate(kinds)],
    )
    face = np.empty(len(lists), [("a", "O"), ("b", "f4")])
    face["a"] = [np.array(each, "i4") for each in lists]
    face["b"] = range(len(lists))
    whole = [PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")]
    PlyData(whole, **options).write(path)
    expected, found = PlyData.read(path), read_elements(path)
    for i, kind in enumerate(kinds):
        column = found["vertex"][f"c{i}"]
        assert column.dtype.newbyteorder("=") == np.dtype(kind)
        np.testing.assert_array_equal(column, expected["vertex"][f"c{i}"])
    corners = found["face"]["a"]
    assert isinstance(corners, Lists)
    assert corners.sizes.tolist() == [len(each) for each in lists]
    assert corners.values.tolist() == [corner for each in lists for corner in each]
    np.testing.assert_array_equal(found["face"]["b"], expected["face"]["b"])


LITTLE = "binary_little_endian"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["ascii", LITTLE, "binary_big_endian"])
@pytest.mark.parametrize("elements", [VERTICES.replace("4", "99999999999"), VERTICES + FACE])
def test_counts_are_not_believed(kind, elements, read):
    elements = elements.replace("face 2", "face 99999999999")
    body = CORNERS if kind == "ascii" else bytes(48)
    with pytest.raises(DataError, match=r"is truncated \(it announces 99999999999"):
        read("a.ply", ply(elements, body, kind))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a ply", "is not a PLY file"),
        (b"", "is not a PLY file"),
        (b"ply\nformat ascii 1.0\nelement vertex", "its header has no end_header"),
        (CLOUD.replace(b"ascii", b"klingon"), "cannot be read in line 2"),
        (CLOUD.replace(b"vertex 4", b"vertex -4"), "cannot be read in line 3"),
        (CLOUD.replace(b"float y", b"float x"), "cannot be read in line 5"),
        (CLOUD.replace(b"float y", b"complex y"), "cannot be read in line 5"),
        (CLOUD.replace(b"float y", b"list float int y"), "cannot be read in line 5"),
        (CLOUD.replace(b"float y", b"float w"), "has no y among its columns"),
        (CLOUD.replace(b"vertex", b"point"), "has no vertices"),
        (CLOUD.replace(b"1 1 0", b"1 one 0"), "has 'one' where a number should be"),
        (CLOUD.replace(b"float y", b"uchar y").replace(b"1 1 0", b"1 999 0"), "no uint8"),
        (CLOUD.replace(b"float y", b"uchar y").replace(b"1 1 0", b"1 0.5 0"), "no uint8"),
        (CLOUD.replace(b"vertex 4", b"vertex 3"), "goes on behind all that its header"),
        (ply(VERTICES, bytes(48) + b"more", LITTLE), "goes on behind all that its header"),
        (ply(VERTICES, bytes(47), LITTLE), "announces 4 vertex rows, but has 3"),
        (ply(VERTICES + FACE, bytes(48) + b"\xff\0\0", LITTLE), "face rows, but has 0"),
        (
            ply(VERTICES + FACE.replace("uchar", "int"), bytes(48) + b"\xff" * 40, LITTLE),
            "has a list of -1 values",
        ),
        (SQUARE.replace(b"3 0 2 3", b"3.5 0 2 3"), "has a list of 3.5 values"),
        (SQUARE.replace(b"3 0 2 3", b"3 0 2 9"), "has faces of vertices 0 to 9, but 4"),
        (ply(VERTICES.replace("4", "0") + FACE, FACES), "faces of vertices 0 to 3, but 0"),
        (
            SQUARE.replace(b"int vertex_indices", b"float vertex_index").replace(
                b"0 2 3", b"0 2 .5"
            ),
            "not whole numbers",
        ),
        (
            ply(
                VERTICES + FACE.replace("vertex_indices", "a") + "property list uchar int b\n",
                CORNERS + "3 0 1 2 0\n3 0 2 3 0\n",
            ),
            "no list that is known to be their corners",
        ),
    ],
)
def test_what_is_wrong_is_said(content, message, read):
    with pytest.raises(DataError) as caught:
        read("a.ply", content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_cannot_command_the_terminal(read):
    content = CLOUD.replace(
        b"element vertex 4", b"element \x1b[31m 9\nproperty int a\nelement vertex 4"
    )
    with pytest.raises(DataError) as caught:
        read("a.ply", content)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("rows", [b"\1\1" + bytes(600_000), bytes(600_000)])
def test_many_empty_lists_take_no_time(rows, read):
    element = f"element face {len(rows) - rows[0]}\nproperty list uchar uchar vertex_indices\n"
    with pytest.raises(DataError, match="has no faces"):
        read("a.ply", ply(VERTICES + element, bytes(48) + rows, LITTLE))


def test_many_properties_take_no_time(tmp_path):
    names = "".join(f"property char c{i}\n" for i in range(30_000))
    (tmp_path / "a.ply").write_bytes(ply("element vertex 1\n" + names, bytes(30_000), LITTLE))
    assert len(read_elements(tmp_path / "a.ply")["vertex"]) == 30_000


def test_the_grid_of_a_range_scanner_is_no_faces(read):
    points = np.random.default_rng(0).normal(size=(9, 3)).astype("<f4")
    header = (
        "ply\nformat binary_little_endian 1.0\nobj_info num_cols 5\nobj_info num_rows 2\n"
        "element vertex 9\nproperty float x\nproperty float y\nproperty float z\n"
        "element range_grid 10\nproperty list uchar int vertex_indices\nend_header\n"
    )
    grid = b"".join(struct.pack("<Bi", 1, i) for i in range(9)) + b"\0"
    found = read("bun000.ply", header.encode() + points.tobytes() + grid)
    np.testing.assert_array_equal(found, points)


def test_x_and_X_are_two_columns(read):
    header = "ply\nformat ascii 1.0\nelement vertex 8\n"
    header += "".join(f"property float {name}\n" for name in "xyzX") + "end_header\n"
    with pytest.raises(DataError, match="several columns called x"):
        read("a.ply", header + "1 2 3 4\n" * 8)
