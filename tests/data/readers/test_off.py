"""OFF: what other tools write, and what is cut off."""

import numpy as np
import pytest
import trimesh

from pointstill.errors import DataError

pytestmark = pytest.mark.usefixtures("quiet")

VERTICES = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
FACES = "3 0 1 2\n3 0 2 3\n"
SQUARE = "OFF\n4 2 0\n" + VERTICES + FACES


@pytest.mark.parametrize(
    "text",
    [
        "OFF4 2 0\n" + VERTICES + FACES,
        "OFF 4 2 0\n" + VERTICES + FACES,
        "OFF\n4 2\n" + VERTICES + FACES,
        "# a\n\nOFF # b\n# c\n4 2 0 # d\n# e\n" + VERTICES + "\n# f\n" + FACES + "# g\n\n",
        SQUARE.replace("\n", "\r\n"),
        SQUARE.replace(" ", "\t"),
        SQUARE.removesuffix("\n"),
        "OFF\n4 2 0\n" + VERTICES + "3 0 1 2 255 0 0\n3 0 2 3 0.5 0.5 0.5 1\n",
        "COFF\n4 2 0\n" + VERTICES.replace("0\n", "0 255 0 0 255\n") + FACES,
        "NOFF\n4 2 0\n" + VERTICES.replace("0\n", "0 0 0 1\n") + FACES,
        "STOFF\n4 2 0\n" + VERTICES.replace("0\n", "0 0.5 0.5\n") + FACES,
        "CNOFF\n4 2 0\n" + VERTICES.replace("0\n", "0 0 0 1 1 1 1 1\n") + FACES,
        "OFF\n4 4 0\n" + VERTICES + FACES + "2 0 1\n1 3\n",
    ],
)
def test_what_other_tools_write_is_the_same_square(text, read):
    np.testing.assert_array_equal(read("a.off", text), read("a.off", SQUARE))


def test_counts_beside_the_keyword(read):
    text = trimesh.creation.box((1, 2, 3)).export(file_type="off")
    assert text.startswith("OFF\n8 12 0")
    beside = text.replace("OFF\n8 12 0", "OFF8 12 0")
    np.testing.assert_array_equal(read("box.off", text), read("box.off", beside))


def test_polygons_of_mixed_sizes(read):
    corners = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n2 0 0\n2 1 0\n3 0.5 0\n"
    points = read("a.off", f"OFF\n7 3 0\n{corners}5 1 4 6 5 2\n3 0 1 2\n3 0 2 3\n")
    assert abs((points[:, 0] < 1).mean() - 1 / 2.5) < 0.05
    assert points.max(axis=0) == pytest.approx([3, 1, 0], abs=0.1)


def test_quads_are_drawn_as_trimesh_cuts_them(read):
    quads = "OFF\n4 1 0\n" + VERTICES + "4 0 1 2 3\n"
    cut = "OFF\n4 2 0\n" + VERTICES + "3 0 1 2\n3 2 3 0\n"
    np.testing.assert_array_equal(read("a.off", quads), read("a.off", cut))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OFF\n4 3 0\n" + VERTICES + FACES, "announces 3 faces, but has 2"),
        ("OFF\n# c\n4 3 0\n" + VERTICES + FACES, "announces 3 faces, but has 2"),
        ("OFF 4 3 0\n" + VERTICES + FACES, "announces 3 faces, but has 2"),
        ("OFF\n9 2 0\n" + VERTICES, "announces 9 vertices, but has 4"),
        ("OFF\n999999999999 2 0\n" + VERTICES, "announces 999999999999 vertices, but has 4"),
        ("OFF\n4 999999999999 0\n" + VERTICES + FACES, "999999999999 faces, but has 2"),
        (SQUARE.removesuffix(" 3\n"), "cannot be read in line 8 ('3 0 2')"),
        ("OFF\n4 1 0\n" + VERTICES + FACES, "and 1 faces, but goes on in line 8 ('3 0 2 3')"),
        (SQUARE.replace("3 0 1 2", "-3 0 1 2"), "cannot be read in line 7"),
        (SQUARE.replace("3 0 1 2", "3 0 1 7"), "has faces of vertices 0 to 7, but 4 vertices"),
        (SQUARE.replace("1 1 0", "1 1"), "cannot be read in line 5 ('1 1')"),
        (SQUARE.replace("1 1 0", "1,5 1 0"), "cannot be read in line 5"),
        (SQUARE.replace("OFF", "4OFF"), "is 4OFF, of other than three coordinates"),
        (SQUARE.replace("OFF", "nOFF"), "is nOFF, of other than three coordinates"),
        ("OFF BINARY\n\0\0\0\4", "is OFF BINARY, which is not read"),
        ("OFF\nmany\n", "announces no counts of vertices and faces in line 2"),
        ("OFF", "announces no counts of vertices and faces in line 1"),
        ("solid a\n", "is not an OFF file"),
        ("", "is not an OFF file"),
    ],
)
def test_what_is_wrong_is_said(text, message, read):
    with pytest.raises(DataError) as caught:
        read("a.off", text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_vertices_alone_are_a_cloud(read):
    points = np.random.default_rng(0).normal(size=(20, 3))
    text = "OFF\n20 0 0\n" + "".join(f"{x!r} {y!r} {z!r}\n" for x, y, z in points.tolist())
    np.testing.assert_array_equal(read("cgal.off", text), points)
