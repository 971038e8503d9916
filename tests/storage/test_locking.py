"""A file is replaced whole or not at all; a place is tried before any work."""

import os
from pathlib import Path

import pytest

from pointstill.errors import PointstillError
from pointstill.storage.files import check_writable, whole, write_whole


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


def test_places_are_made_or_refused(tmp_path):
    check_writable(tmp_path / "a" / "x.json")
    check_writable(tmp_path / "b", folder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert not list((tmp_path / "a").iterdir())
    check_writable(Path("/dev/null"))
    file = tmp_path / "file"
    file.touch()
    for path, folder in ((tmp_path, False), (file, True), (file / "x.json", False)):
        with pytest.raises(PointstillError, match="cannot be written") as caught:
            check_writable(path, folder=folder)
        assert str(path) in str(caught.value)
