"""NPY and NPZ: what they announce, what they may hold, and whichever their suffix says."""

import io
import os
import warnings
import zipfile

import numpy as np
import pytest

from pointstill.data.readers import read_cloud, read_table
from pointstill.errors import DataError, NoDataError


def test_the_content_says_what_it_is(tmp_path, clouds):
    np.savez(tmp_path / "a.npz", points=clouds(20), normal=clouds(20, seed=1))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", clouds(20))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_cloud(tmp_path / name), clouds(20))
    np.testing.assert_array_equal(read_table(tmp_path / "a.npy")["normal"], clouds(20, seed=1))


def test_headers_of_python_2_are_read_without_a_word(tmp_path, clouds):
    np.save(tmp_path / "a.npy", clouds(20))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(20, 3), } ", b"(20L, 3), }"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_cloud(tmp_path / "a.npy"), clouds(20))


def test_records_are_read_by_their_names(tmp_path, clouds):
    kind = [("label", "U9"), ("Z", "f4"), ("Y", "f4"), ("X", "f8"), ("intensity", "u2")]
    rows = np.zeros(20, kind)
    rows["X"], rows["Y"], rows["Z"] = clouds(20).T
    rows["intensity"] = np.arange(20)
    np.save(tmp_path / "a.npy", rows)
    table = read_table(tmp_path / "a.npy")
    np.testing.assert_array_equal(table["xyz"], clouds(20))
    np.testing.assert_array_equal(table["intensity"][:, 0], np.arange(20))
    np.save(tmp_path / "a.npy", rows[["Z", "Y"]])
    with pytest.raises(DataError, match=r"has no x among its columns \(Z, Y\)"):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", ">i4"])
def test_every_order_of_bytes_and_axes(order, kind, tmp_path, clouds):
    points = (clouds(20) * 9).astype(kind)
    np.save(tmp_path / "a.npy", np.asarray(points, order=order))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.npy"), points)


def header(shape, kind="<f4", order=False):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": kind, "fortran_order": order, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**15, 3)), "is truncated (it announces 12000000000000000 bytes, but has 12)"),
        (header((1,), [("x", "<f4", (10**8,))]), "is truncated (it announces 400000000 bytes"),
        (header((3,), "|O"), "holds Python objects, which are not opened"),
        (header((3,), [("x", "<f4"), ("y", "|O")]), "holds Python objects"),
        (header((-1, 3)), "damaged, or not a .npy file"),
        (header((True, 3)), "a.npy"),
        (b"\x93NUMPY\x01\0\xff\xff{" + b"(" * 65534, "damaged, or not a .npy file"),
        (b"\x93NUMPY\x09\0v\0", "damaged, or not a .npy file"),
        (b"PK\x03\x04", "damaged, or not a .npy file"),
        (b"", "damaged, or not a .npy file"),
    ],
)
def test_headers_that_lie(content, message, tmp_path):
    (tmp_path / "a.npy").write_bytes(content + bytes(12) * bool(content))
    with pytest.raises(DataError) as caught:
        read_cloud(tmp_path / "a.npy")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def packed(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)


def test_archives_that_would_unpack_to_too_much(tmp_path):
    size = 200 << 20
    packed(tmp_path / "a.npz", points=header((size // 12, 3)) + bytes(size))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"announces 209,715,\d+ bytes, packed into"):
        read_cloud(tmp_path / "a.npz")
    packed(tmp_path / "a.npz", points=header((10**15, 3)) + bytes(120))
    with pytest.raises(DataError, match="is truncated"):
        read_cloud(tmp_path / "a.npz")
    packed(tmp_path / "a.npz", points=header((10, 3)) + bytes(120), normal=b"no array")
    assert len(read_cloud(tmp_path / "a.npz")) == 10  # which is not asked for its normals
    with pytest.raises(DataError, match=r"damaged, or not a \.npz file"):
        read_table(tmp_path / "a.npz")


def test_names_in_archives_do_not_break_the_line(tmp_path):
    packed(tmp_path / "a.npz", **{"a\n\x1b[31m": b"", "b": b""})
    with pytest.raises(DataError, match=r"has arrays a\\n\\x1b\[31m, b: name one of them points"):
        read_cloud(tmp_path / "a.npz")
    packed(tmp_path / "a.npz")
    with pytest.raises(DataError, match="has arrays of no name"):
        read_cloud(tmp_path / "a.npz")


def test_a_second_array_behind_the_first_is_said(tmp_path, clouds):
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, clouds(20))
        np.save(file, clouds(30))
    with pytest.warns(UserWarning, match=r"a\.npy: bytes behind its array are not read"):
        np.testing.assert_array_equal(read_cloud(tmp_path / "a.npy"), clouds(20))


@pytest.mark.parametrize("suffix", ["npy", "npz", "txt", "pcd", "laz", "ply", "obj"])
def test_only_regular_files_are_opened(suffix, tmp_path, clouds):
    path = tmp_path / f"a.{suffix}"
    os.mkfifo(path)  # reading it would wait for ever
    link = tmp_path / f"b.{suffix}"
    link.symlink_to("/dev/zero")
    for each in (path, link):
        with pytest.raises(DataError, match=r"is no regular file: give a file on a disk"):
            read_cloud(each)
    link.unlink()
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(NoDataError, match="is a link to nothing"):
        read_cloud(link)


def test_links_to_files_are_followed(tmp_path, clouds):
    np.save(tmp_path / "a.npy", clouds(20))
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    np.testing.assert_array_equal(read_cloud(tmp_path / "b.npy"), clouds(20))


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep\nwords"), KeyError("x")])
def test_no_words_of_libraries_reach_the_user(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setitem(read_table.__globals__["READERS"], ".npy", fail)
    (tmp_path / "a.npy").touch()
    with pytest.raises(DataError) as caught:
        read_cloud(tmp_path / "a.npy")
    said = (
        "needs more memory than there is"
        if isinstance(error, MemoryError)
        else "is damaged, or not a .npy file: restore it"
    )
    assert str(caught.value) == f"{tmp_path / 'a.npy'} {said}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", ["'<U0'", "[('x','V0'),('y','V0'),('z','V0')]"])
def test_elements_of_no_size_are_refused(kind, read):
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': (10000000000, 3), }}".ljust(117)
    with pytest.raises(DataError, match="of no size"):
        read("cloud.npy", b"\x93NUMPY\x01\0v\0" + header.encode() + b"\n")


@pytest.mark.parametrize(("mask", "said"), [(np.arange(64) < 40, True), (np.ones(64, bool), False)])
def test_a_mask_of_points_is_said(mask, said, tmp_path):
    points = np.random.default_rng(0).normal(size=(64, 3))
    np.savez(tmp_path / "cloud.npz", points=points, mask=mask)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read_cloud(tmp_path / "cloud.npz")
    assert [("40 of 64" in str(each.message)) for each in found] == [True] * said


@pytest.mark.parametrize("suffix", ["txt", "ply", "npy", "glb"])
def test_a_pointer_of_git_lfs_is_named(suffix, read):
    with pytest.raises(DataError, match="git lfs pull"):
        read(f"a.{suffix}", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
