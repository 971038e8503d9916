"""A file is replaced whole or not at all; a place is tried before any work."""

import os
import socket
from pathlib import Path

import pytest

from pointstill.errors import PointstillError
from pointstill.storage.files import check_writable, whole, write_whole
from pointstill.storage.locking import lock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def test_it_is_on_the_disk_before_it_has_the_name(file, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.fstat(handle).st_ino), sync(handle))[1]
    )
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (done.append((self, to)), replace(self, to))[1]
    )
    with whole(file) as draft:
        draft.write_bytes(b"new")
        assert (draft.parent, file.read_bytes()) == (file.parent, b"old")
        number = draft.stat().st_ino
    assert done == [number, (draft, file)]
    assert file.read_bytes() == b"new"
    assert list(file.parent.iterdir()) == [file]


def test_a_draft_of_the_callers_choice(file):
    write_whole(file, b"new", file.with_name("x.partial"))
    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"new")]


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("differs"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["in the block", "os.fsync", "pathlib.Path.replace"])
def test_whatever_fails_the_file_is_what_it_was(file, monkeypatch, error, where):
    def fail(*_: object) -> None:
        raise error

    def replace() -> None:
        with whole(file) as draft:
            draft.write_bytes(b"new")
            if where == "in the block":
                fail()

    if where != "in the block":
        monkeypatch.setattr(where, fail)
    with pytest.raises(type(error)):
        replace()
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


def test_a_draft_that_was_never_written(file):
    with pytest.raises(FileNotFoundError), whole(file):
        pass
    assert file.read_bytes() == b"old"


@pytest.fixture(params=["link", "dangling link", "pipe", "socket", "device", "folder"])
def special(request, tmp_path: Path) -> Path:
    """Something at a path that is no file of its own."""
    path = tmp_path / "x"
    if request.param == "device":
        return Path("/dev/null")
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        (tmp_path / "worth").write_text("old")
        path.symlink_to(tmp_path / ("worth" if request.param == "link" else "nothing"))
    return path


def test_what_is_no_file_is_neither_replaced_nor_followed(special, tmp_path):
    before = special.lstat()
    with pytest.raises(OSError, match=r"it is a link|it is a pipe|Is a directory"):
        write_whole(special, b"new")
    with pytest.raises(PointstillError, match="cannot be written"):
        check_writable(special)
    assert special.lstat() == before
    assert {each.name for each in tmp_path.iterdir()} <= {"x", "worth"}
    if (worth := tmp_path / "worth").exists():
        assert worth.read_text() == "old"


def test_a_folder_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    check_writable(tmp_path / "link" / "x")
    write_whole(tmp_path / "link" / "x", b"new")
    assert (tmp_path / "real" / "x").read_bytes() == b"new"


def test_a_draft_is_a_new_file(file):
    """Whatever stands at its name is not written into."""
    draft = file.with_name("x.partial")
    draft.symlink_to(file.with_name("worth"))
    write_whole(file, b"new", draft)
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == {"file": b"new"}
    with whole(file) as first, whole(file) as second:
        assert first != second
        for each in (first, second):
            assert each.stat().st_mode & 0o777 == 0o666 & ~umask()
            each.write_bytes(b"newer")


def umask() -> int:
    os.umask(now := os.umask(0))
    return now


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 236, os.fsdecode(b"\xff" * 255)])
def test_a_long_name(tmp_path, name):
    write_whole(tmp_path / name, b"new")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_lock_is_no_link(tmp_path):
    worth = tmp_path / "worth"
    worth.write_text("old")
    (tmp_path / "soft").symlink_to(worth)
    (tmp_path / "hard").hardlink_to(worth)
    os.mkfifo(tmp_path / "pipe")
    for name in ("soft", "hard", "pipe"):
        refusal = lambda what, error: PointstillError(error.strerror, where=what)  # noqa: E731
        lock_file = lock(tmp_path / name, tmp_path, PointstillError, refusal)
        with pytest.raises(PointstillError, match=f"its lock {name} is"), lock_file:
            pass
    assert worth.read_text() == "old"


def test_no_lock_without_flock(tmp_path, monkeypatch):
    monkeypatch.setattr("pointstill.storage.locking.fcntl", None)
    lock_file = lock(tmp_path / "x", tmp_path, PointstillError, lambda *_: PointstillError("no"))
    with pytest.raises(PointstillError, match="cannot be locked on this system"), lock_file:
        pass


def test_places_are_made_or_refused(tmp_path):
    check_writable(tmp_path / "a" / "x.json")
    check_writable(tmp_path / "b", folder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert not list((tmp_path / "a").iterdir())
    file = tmp_path / "file"
    file.touch()
    for path, folder in ((tmp_path, False), (file, True), (file / "x.json", False)):
        with pytest.raises(PointstillError, match="cannot be written") as caught:
            check_writable(path, folder=folder)
        assert str(path) in str(caught.value)
