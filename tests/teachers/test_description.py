"""Descriptions beside weights: read, checked, and refused where they are wrong."""

from pathlib import Path

import pytest
import torch
import toys

from pointstill.errors import TeacherError
from pointstill.models import build_model
from pointstill.teachers import load_teacher
from pointstill.teachers.description import Description

CLASSES = ("bed", "car", "chair", "desk")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    torch.save(build_model("stillnet-n", 4).state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_written_by_hand(weights: Path) -> None:
    path = weights.with_name("w.pt.yaml")
    path.write_text(
        "teacher: stillnet-n\nframe: x,z,y\npoints: 300\nclasses: [car, bed, desk, chair]"
    )
    found = load_teacher("stillnet-n", weights=weights, classes=CLASSES)
    alone = load_teacher(weights, classes=CLASSES)
    said = load_teacher(
        "stillnet-n",
        weights=weights.rename(weights.with_name("x.pt")),
        classes=CLASSES,
        class_names=["car", "bed", "desk", "chair"],
        axes="x,z,y",
    )
    assert found.fingerprint == alone.fingerprint == said.fingerprint
    assert (found.points, said.points) == (300, None)


def test_the_wrong_network_is_refused(weights: Path) -> None:
    weights.with_name("w.pt.yaml").write_text("teacher: gdanet\n")
    with pytest.raises(TeacherError, match="these are weights of gdanet, not of stillnet-n"):
        load_teacher("stillnet-n", weights=weights, classes=CLASSES)
    weights.with_name("w.pt.yaml").write_text("frame: x,z,y\n")
    with pytest.raises(TeacherError, match="does not say which network it is"):
        load_teacher(weights, classes=CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("frames: x,y,z", "has an entry 'frames': did you mean frame"),
        ("normalisation: unit-cube", "has normalisation 'unit-cube': write unit-sphere, or wrap"),
        ("points: 0", "has points 0: write a number from 1 to 1,000,000"),
        ("points: 99999999999", "write a number from 1 to 1,000,000"),
        ("frame: q", r"d\.yaml has frame 'q': write all three axes"),
        ("layout: nbc", "write bn3 or b3n"),
        ("classes: bed", "write a list of names"),
        ("up: north", "write x or y or z"),
        ("checked: {shapes: many}", "has checked {'shapes': 'many'}: write what describe wrote"),
        ("checked: {frames: {'x,y,z': low}}", "write what describe wrote"),
        ("checked: {frames: null}", "write what describe wrote"),
        ('teacher: "a\\eb"', r"has teacher 'a\\x1bb': write text"),
        ("- a", "is no list of `name: value` lines"),
        ("a: [", "cannot be read"),
    ],
)
def test_entries_that_are_wrong(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(content)
    with pytest.raises(TeacherError, match=message) as caught:
        Description.read(path)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    described = Description(teacher="toys:moments", frame="x,z,y", up="z", points=64, layout="bn3")
    described.write(tmp_path / "d.yaml")
    assert Description.read(tmp_path / "d.yaml") == described
    found = load_teacher(tmp_path / "d.yaml", classes=CLASSES)
    points = torch.rand(2, 64, 3)
    said = toys.moments()(points[..., [0, 2, 1]]).detach()
    torch.testing.assert_close(found.logits(points), said)


def test_where_no_description_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file/d.yaml", tmp_path / "folder", tmp_path / "none/d.yaml"):
        with pytest.raises(TeacherError, match=r"cannot be written \(.*\): choose another --out$"):
            Description().write(path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
