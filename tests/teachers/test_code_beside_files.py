"""Code is run where the user names it, and never because a file lies beside another."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toys
import yaml

from pointstill.errors import TeacherError
from pointstill.models import build_model
from pointstill.teachers import load_teacher
from pointstill.teachers.resolve import resolve

CLASSES = ("bed", "car", "chair", "desk")
TRAP = "trap_beside_a_file"


@pytest.fixture(autouse=True)
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder that leaves a mark where it is imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{TRAP}.py").write_text(
        "import pathlib, toys\n"
        "pathlib.Path('sprung').touch()\n"
        "def build():\n"
        "    return toys.moments()\n"
    )
    monkeypatch.delitem(sys.modules, TRAP, raising=False)
    return tmp_path / "sprung"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(toys.moments().state_dict(), tmp_path / "g.pt")
    return tmp_path / "g.pt"


def describe(file: Path, **entries: object) -> Path:
    path = file.with_name(f"{file.name}.yaml")
    path.write_text(yaml.safe_dump(entries))
    return path


@pytest.mark.parametrize("source", [f"{TRAP}:build", "os:abort", "evil.pt2", "evil.pt", "runs/a"])
def test_a_description_beside_weights_names_no_code(
    source: str, weights: Path, trap: Path, in_file: Callable[..., Path]
) -> None:
    for kind in ("pt", "pt2"):
        in_file(kind).rename(weights.with_name(f"evil.{kind}"))
    path = describe(weights, teacher=source, weights="g.pt")
    for spec in (weights, str(weights), "g.pt", [weights, weights]):
        with pytest.raises(TeacherError, match="run only where you name it") as caught:
            load_teacher(spec, classes=CLASSES, votes=2)
    message = str(caught.value)
    assert f"{path} lies beside g.pt and names {source} as its network" in message
    assert f"name the description, --teacher {path}, or the network" in message
    assert "\n" not in message
    with pytest.raises(TeacherError, match=f"weights of {source}, not of stillnet-n: mend or"):
        load_teacher("stillnet-n", weights=weights, classes=CLASSES)
    assert not trap.exists()
    assert TRAP not in sys.modules


def test_what_the_user_names_is_run(weights: Path, trap: Path, points: torch.Tensor) -> None:
    path = describe(weights, teacher=f"{TRAP}:build", weights="g.pt", frame="x,z,y")
    typed = load_teacher(f"{TRAP}:build", weights=weights, classes=CLASSES)
    assert trap.exists()
    named = load_teacher(path, classes=CLASSES)
    assert named.fingerprint == typed.fingerprint
    said = toys.moments()(points[..., [0, 2, 1]]).detach()
    torch.testing.assert_close(named.logits(points), said)


def test_files_of_code_are_run_where_they_are_named(
    tmp_path: Path, in_file: Callable[..., Path]
) -> None:
    for kind in ("pt", "pt2", "onnx"):
        (tmp_path / "own.yaml").write_text(f"teacher: {in_file(kind).name}\n")
        load_teacher(in_file(kind), classes=CLASSES)
        load_teacher("own.yaml", classes=CLASSES)


def test_a_built_in_model_may_be_named_beside_weights(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save(build_model("stillnet-n", 4).state_dict(), file)
    describe(file, teacher="stillnet-n", points=300)
    assert load_teacher(file, classes=CLASSES).points == 300


def test_no_other_file_is_opened_on_a_description_s_word(tmp_path: Path) -> None:
    for name in ("w.pt", "other.pt"):
        torch.save(build_model("stillnet-n", 4).state_dict(), tmp_path / name)
    for other in ("other.pt", "../w2.pt", "/dev/zero"):
        describe(tmp_path / "w.pt", teacher="stillnet-n", weights=other)
        with pytest.raises(TeacherError, match=r"describes .*, and lies beside w\.pt"):
            load_teacher(tmp_path / "w.pt", classes=CLASSES)
    describe(tmp_path / "w.pt", teacher="stillnet-n", weights="w.pt", sha256="0" * 64)
    for spec in (tmp_path / "w.pt", tmp_path / "w.pt.yaml"):
        with pytest.raises(TeacherError, match=r"describes another w\.pt \(by its SHA-256\)"):
            load_teacher(spec, classes=CLASSES)


def test_a_description_of_a_description(tmp_path: Path, trap: Path) -> None:
    (tmp_path / "inner.yaml").write_text(f"teacher: {TRAP}:build\n")
    (tmp_path / "outer.yaml").write_text("teacher: inner.yaml\n")
    with pytest.raises(TeacherError, match=r"inner\.yaml is a description, and holds no network"):
        load_teacher("outer.yaml", classes=CLASSES)
    assert not trap.exists()


def test_relative_places_are_those_of_the_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    torch.save(build_model("stillnet-n", 4).state_dict(), tmp_path / "a/w.pt")
    (tmp_path / "b/d.yaml").write_text("teacher: stillnet-n\nweights: ../a/w.pt\n")
    monkeypatch.chdir(tmp_path / "a")
    load_teacher("../b/d.yaml", classes=CLASSES)
    assert resolve("../b/d.yaml", None)[1:] == ("stillnet-n", Path("../b/../a/w.pt"))


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "brackets": "classes: " + "[" * 2000,
    "circle": "classes: &a [*a]\n",
    "long": "# " + "x" * 2_000_000,
    "names": "classes: [" + ", ".join(["a"] * 20_000) + "]\n",
    "digits": "points: 0x" + "f" * 9000,
    "tag": "teacher: !!python/object/apply:os.abort []\n",
    "binary": "\0\1",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(BOMBS[bomb])
    with pytest.raises(TeacherError) as caught:
        load_teacher("d.yaml", classes=CLASSES)
    message = str(caught.value)
    assert message.startswith("d.yaml ")
    assert "\n" not in message
    assert len(message) < 500
