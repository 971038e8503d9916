"""STL: binary and text, odd and cut off."""

import numpy as np
import pytest
import trimesh

from pointstill.errors import DataError

pytestmark = pytest.mark.usefixtures("quiet")

BOX = trimesh.creation.box((1, 2, 3))
BINARY: bytes = BOX.export(file_type="stl")
TEXT: str = BOX.export(file_type="stl_ascii")


def count(number: int) -> bytes:
    return BINARY[:80] + number.to_bytes(4, "little") + BINARY[84:]


@pytest.mark.parametrize(
    "content",
    [
        BINARY + bytes(20),
        BINARY + b"made by hand" * 20,
        b"solid a facet".ljust(80) + BINARY[80:],
        BINARY[:84]
        + b"".join(b"\xff" * 12 + BINARY[at + 12 : at + 50] for at in range(84, 684, 50)),
    ],
)
def test_odd_binary_files_are_the_same_box(content, read):
    np.testing.assert_array_equal(read("a.stl", content), read("a.stl", BINARY))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\t"),
        TEXT.upper(),
        TEXT.replace("solid ", "solid vertex facet 1 2 3"),
        TEXT.replace("facet normal 1.0 0.0 0.0", "facet normal -1.#IND -1.#IND nan"),
        TEXT.replace("facet normal 1.0 0.0 0.0", "facet normal"),
        TEXT.replace("endfacet", "endfacet\nendsolid a\nsolid b", 5),
    ],
)
def test_odd_texts_are_the_same_box(text, read):
    np.testing.assert_array_equal(read("a.stl", text), read("a.stl", TEXT))


def test_all_solids_are_read(read):
    moved = BOX.copy().apply_translation((10, 0, 0)).export(file_type="stl_ascii")
    x = read("a.stl", TEXT + moved)[:, 0]
    assert abs((x > 5).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (count(20), "is truncated (it announces 20 triangles, but has 12)"),
        (count(0xFFFFFFFF), "announces 4294967295 triangles, but has 12"),
        (count(6), "announces 6 triangles, but has 12"),
        (count(0), "announces 0 triangles, but has 12"),
        (BINARY[:60], "is truncated"),
        (bytes(84), "has no faces"),
        (TEXT[: len(TEXT) // 2], "is truncated (it ends within a facet)"),
        (TEXT.partition("endsolid")[0], "is truncated (it ends within a solid)"),
        (TEXT.replace("vertex", "vertex 1,5 0", 1), "cannot be read in line 4"),
        (TEXT.replace("vertex", "corner", 1), "other than three corners before line 8"),
        (TEXT.replace("vertex 0.5", "vertex nan"), "NaN"),
        (TEXT.replace("endfacet\nfacet", "endfacet\nvertex 0 0 0\nfacet", 1), "line 9"),
        (TEXT.replace("outer loop", "facet", 1), "cannot be read in line 3"),
        ("solid a\nendsolid a\n", "has no faces"),
        ("", "has no faces"),
    ],
)
def test_what_is_wrong_is_said(content, message, read):
    with pytest.raises(DataError) as caught:
        read("a.stl", content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
