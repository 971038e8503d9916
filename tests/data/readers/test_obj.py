"""OBJ: what other tools write, and what is no OBJ."""

import os
import time

import numpy as np
import pytest
import trimesh

from pointstill.data.readers import MESH_POINTS, read_cloud
from pointstill.errors import DataError

pytestmark = pytest.mark.usefixtures("quiet")

VERTICES = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
SQUARE = VERTICES + "f 1 2 3\nf 1 3 4\n"


def boxes(negative: bool) -> str:
    """Three boxes, each with its faces behind its own vertices."""
    lines = []
    for number in range(3):
        box = trimesh.creation.box((1, 2, 3))
        lines += [f"v {x + 10 * number} {y} {z}" for x, y, z in box.vertices]
        lines += [
            "f " + " ".join(str(i - 8 if negative else i + 1 + 8 * number) for i in face)
            for face in box.faces
        ]
    return "\n".join(lines)


def test_negative_indices_count_from_the_vertex_before(read):
    points = read("a.obj", boxes(negative=True))
    assert points[:, 0].min() < -0.45
    assert points[:, 0].max() > 20.45
    np.testing.assert_array_equal(points, read("a.obj", boxes(negative=False)))


@pytest.mark.parametrize(
    "text",
    [
        SQUARE.replace(" ", "\t"),
        SQUARE.replace("v ", "\tv ").replace("f ", "  f\t"),
        SQUARE.replace("\n", " # a comment\n"),
        SQUARE.replace("\n", "\r\n"),
        SQUARE.replace("\n", "\r"),
        "\ufeff" + SQUARE,
        "f 1 2 3\nf 1 3 4\n" + VERTICES,
        SQUARE.replace("f 1 2 3", "f 1 \\\n2 \\\r\n3"),
        SQUARE.replace("f 1 2 3", "f -4 2 -2"),
        VERTICES + "f 1/1 2/1 3/1\nf 1//1 3//1 4//1\n",
        VERTICES + "vt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1\nf 1/1 3/1 4/1\n",
        "mtllib gone.mtl\nusemtl a\no b\ng c d\ns off\n" + SQUARE,
        SQUARE.replace("0\n", "0 1.0\n"),
        SQUARE.replace("0\n", "0 0.5 0.5 0.5\n"),
        SQUARE + "l 1 2 3 4\np 1\nf 1 2\nf 3\ncstype bezier\n",
        SQUARE.replace("f ", "fo "),
    ],
)
def test_what_other_tools_write_is_the_same_square(text, read):
    np.testing.assert_array_equal(read("a.obj", text), read("a.obj", SQUARE))


def test_polygons_of_any_size(read):
    points = read("a.obj", VERTICES + "v 2 0 0\nv 2 1 0\nv 3 0.5 0\nf 1 2 3 4\nf 2 5 7 6 3\n")
    assert abs((points[:, 0] < 1).mean() - 1 / 2.5) < 0.05
    assert points.max(axis=0) == pytest.approx([3, 1, 0], abs=0.1)


def test_vertices_alone_are_a_cloud(read):
    points = read("a.obj", VERTICES + "l 1 2 3\n")
    np.testing.assert_array_equal(points, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_no_other_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # which would block for ever
    (tmp_path / "a.obj").write_text("mtllib fifo\nusemtl a\n" + SQUARE)
    assert len(read_cloud(tmp_path / "a.obj")) == MESH_POINTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "has neither faces nor vertices"),
        ("v 0 0 0\nv 1 0\n", "cannot be read in line 2 ('v 1 0')"),
        (SQUARE + "v 1,5 2 3\n", "cannot be read in line 7"),
        (SQUARE + "v 1_0 2 3\n", "cannot be read in line 7"),
        (SQUARE + "f 1 b 3\n", "cannot be read in line 7 ('f 1 b 3')"),
        (SQUARE + "f 1 2 99999999999999999999\n", "cannot be read in line 7"),
        (SQUARE + "f 0 1 2\n", "has a face of vertex 0, but vertices 1 to 4"),
        (SQUARE + "f 1 2 5\n", "has a face of vertex 5, but vertices 1 to 4"),
        (SQUARE + "f -5 -1 -2\n", "has a face of vertex 0, but vertices 1 to 4"),
        (SQUARE + "# c\nsurf 0 1 0 1 1 2\n", "has 'surf' in line 8, which is not read"),
        (SQUARE + "call other.obj\n", "has 'call' in line 7, which is not read"),
        (VERTICES + "f 1 2\n", "has no faces"),
    ],
)
def test_what_is_wrong_is_said(text, message, read):
    with pytest.raises(DataError) as caught:
        read("a.obj", text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("\\\n" * 400_000, "has neither faces nor vertices"),
        (VERTICES + "f" + " 1 2 3" * 150_000, ""),
        ("f 1 2\\\n" * 100_000, "cannot be read in line 100001"),
    ],
)
def test_long_statements_take_no_time(text, refused, read):
    """0.3 s of a processor; in time that grows with the square of the length, minutes."""
    start = time.process_time()
    if refused:
        with pytest.raises(DataError, match=refused):
            read("a.obj", text)
    else:
        assert read("a.obj", text).shape == (MESH_POINTS, 3)
    assert time.process_time() - start < 5
