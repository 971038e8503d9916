"""What is a cloud among what a user names, and in which order."""

import os
from pathlib import Path

import numpy as np
import pytest

from pointstill.deployment.predicting.named_clouds import NamedClouds
from pointstill.errors import DataError, ForbiddenError, NoDataError, UsageError


def named(*names: object, form: str | None = None) -> list[str]:
    with NamedClouds([str(name) for name in names], form) as found:
        assert not [each for each in found.clouds if each.fault]
        return [each.name for each in found.clouds]


def cloud(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.zeros((9, 3)))


def test_files_are_taken_as_they_are_named(clouds):
    names = ["solids/rod/01.npy", "./solids/ball/00.npy", "gone.ply", "solids/rod/01.npy"]
    assert named(*names) == names


def test_folders_are_sorted_and_go_deep(clouds):
    cloud("solids/ball/deeper/still/z.npy")
    cloud("solids/ball/01.xyz.npy")  # of one stem with another: both are there
    cloud("solids/top.npy")
    balls = ["00.npy", "01.npy", "01.xyz.npy", "02.npy", "03.npy", "deeper/still/z.npy"]
    found = named("solids")
    assert found[:7] == ["solids/top.npy", *(f"solids/ball/{name}" for name in balls)]
    assert found[7:] == [f"solids/{kind}/0{i}.npy" for kind in ("box", "rod") for i in range(4)]
    assert named("solids/rod", "solids/ball/deeper") == [
        *(f"solids/rod/0{i}.npy" for i in range(4)),
        "solids/ball/deeper/still/z.npy",
    ]


def test_what_is_no_cloud_in_a_folder_is_said(clouds):
    for name in ("README.md", ".hidden.npy", ".DS_Store", "notes.txt"):
        Path(f"solids/rod/{name}").write_text("no cloud")
    cloud("solids/.cache/a.npy")
    Path("solids/rod/broken.npy").symlink_to("nowhere.npy")
    Path("solids/rod/linked.npy").symlink_to("00.npy")
    with NamedClouds(["solids"]) as found:
        assert len(found.clouds) == 13
        assert "solids/rod/linked.npy" in [each.name for each in found.clouds]
        (remark,) = found.remarks
    assert remark.startswith("solids: passed over ")
    for part in ("2 hidden", "1 broken links", "1 files of an ending", "1 texts about", ".cache/"):
        assert part in remark
    assert named("solids/rod/.hidden.npy") == ["solids/rod/.hidden.npy"]  # it was named


def test_links_in_a_circle_end(clouds):
    Path("solids/rod/up").symlink_to("..")
    Path("beside").symlink_to("solids/box")
    assert len(named("solids")) == 12
    assert len(named("solids/**/*.npy")) == 12
    assert named("beside") == [f"beside/0{i}.npy" for i in range(4)]


def test_patterns(clouds):
    assert named("solids/r*/0[12].npy") == ["solids/rod/01.npy", "solids/rod/02.npy"]
    assert named("s*/b??l") == [f"solids/ball/0{i}.npy" for i in range(4)]  # a folder is one
    assert named("**/*") == named("solids")
    assert named("**/rod") == named("solids/rod")
    cloud("a[1].npy")
    cloud("a1.npy")
    assert named("a[1].npy") == ["a[1].npy"]  # a path wins


def test_nothing_to_find_is_a_row_of_its_own(clouds):
    Path("empty").mkdir()
    with NamedClouds(["*.ply", "empty", "solids/rod/00.npy"]) as found:
        pattern, folder, sound = found.clouds
    assert isinstance(pattern.fault, NoDataError)
    assert str(pattern.fault) == "*.ply matches no file: check the pattern"
    assert isinstance(folder.fault, DataError)
    assert str(folder.fault).startswith("empty has no clouds (no file in it is ply, pcd")
    assert sound.fault is None


def test_a_folder_that_may_not_be_listed(public_path, unprivileged):
    shut = public_path / "shut"
    shut.mkdir()
    (public_path / "a.npy").touch()
    shut.chmod(0)
    with unprivileged(), NamedClouds([str(public_path)]) as found:
        first, second = found.clouds
    assert (first.name, first.fault) == (f"{public_path}/a.npy", None)
    assert isinstance(second.fault, ForbiddenError)
    assert str(second.fault).startswith(f"{shut} cannot be listed (Permission denied)")


def test_a_list(clouds, standard_input):
    standard_input(b"\xef\xbb\xbf*.npy\r\n\n  b c.npy\nsolids/rod\n-\n")
    rods = [f"solids/rod/0{i}.npy" for i in range(4)]
    listed = ["*.npy", "  b c.npy", *rods, "-"]  # paths, no patterns
    assert named("x.ply", "-", "y.ply") == ["x.ply", *listed, "y.ply"]
    standard_input(b"two\nlines.npy\0caf\xe9.npy\0")
    assert named("-") == ["two\nlines.npy", os.fsdecode(b"caf\xe9.npy")]


def test_a_long_list(clouds, standard_input):
    names = [f"no/{i}.npy" for i in range(20_000)]
    standard_input("\n".join(names).encode())
    assert named("-") == names


def test_a_cloud_on_standard_input(clouds, standard_input):
    content = Path("solids/rod/00.npy").read_bytes()
    standard_input(content)
    with NamedClouds(["-"], "npy") as found:
        (only,) = found.clouds
        assert (only.name, only.path.suffix) == ("-", ".npy")
        assert only.path.read_bytes() == content
    assert not only.path.exists()


@pytest.mark.parametrize(
    ("names", "form", "said"),
    [
        (["-", "a.npy", "-"], None, "standard input is named twice"),
        (["-"], "exe", "format-in is 'exe': choose from ply, pcd"),
        (["a.npy"], "ply", "--format-in is of a cloud on standard input"),
        (["-"], None, "the list on standard input is empty: write a path a line"),
        (["s3://bucket/a.npy"], None, "it must be a path on this machine"),
    ],
)
def test_what_makes_no_sense_is_misuse(standard_input, names, form, said):
    standard_input(b"\n\r\n\n")
    with pytest.raises(UsageError, match=said), NamedClouds(names, form):
        pass


def test_a_closed_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"), NamedClouds(["-"]):
        pass
