"""Classes by name, and by map, against probabilities added up by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from pointstill.errors import TeacherError, UsageError
from pointstill.teachers import load_teacher
from pointstill.teachers.classes import find_columns, read_class_map, select_columns, shortened

NAMES = ("stool", "chair", "car", "lorry")  # the teacher's


def probabilities(points: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        z = toys.moments()(points).double().numpy()
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_several_classes_onto_one(points: torch.Tensor) -> None:
    teacher = load_teacher(
        "toys:moments",
        classes=("vehicle", "chair"),
        class_names=NAMES,
        class_map={"car": "vehicle", "lorry": "vehicle", "stool": "chair"},
    )
    p = probabilities(points)
    found = teacher.logits(points).double().softmax(1).numpy()
    np.testing.assert_allclose(found, np.stack([p[:, 2] + p[:, 3], p[:, 0] + p[:, 1]], 1), 1e-5)
    assert teacher.classes == ("vehicle", "chair")
    assert teacher.names == NAMES


def test_a_dropped_class_leaves_the_proportions(points: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("stool: null\nlorry: truck\n")
    teacher = load_teacher(
        "toys:moments", classes=("car", "truck", "chair"), class_names=NAMES, class_map=path
    )
    p = probabilities(points)[:, [2, 3, 1]]
    found = teacher.logits(points).double().softmax(1).numpy()
    np.testing.assert_allclose(found, p / p.sum(1, keepdims=True), 1e-5)
    same = load_teacher("toys:moments", classes=NAMES)
    assert teacher.fingerprint != same.fingerprint


def test_probabilities_are_added_up(points: torch.Tensor) -> None:
    teacher = load_teacher(
        "toys:Probabilities",
        output="probabilities",
        classes=("a", "b"),
        class_names=NAMES,
        class_map={"stool": "a", "chair": "a", "car": "b", "lorry": "b"},
    )
    p = probabilities(points)
    found = teacher.logits(points).double().exp().numpy()
    np.testing.assert_allclose(found, np.stack([p[:, :2].sum(1), p[:, 2:].sum(1)], 1), 1e-5)


def test_a_teacher_with_the_data_s_classes_needs_no_map() -> None:
    assert find_columns(NAMES, NAMES, {"stool": "chair"}, "t") is None
    assert find_columns(NAMES, NAMES[::-1], {"sofa": None}, "t") == (3, 2, 1, 0)


@pytest.mark.parametrize(
    ("class_map", "message"),
    [
        ({"chairs": "chair"}, "has no class chairs, which the class map names: did you mean chair"),
        (
            {"sofa": None},
            "has no class sofa, which the class map names: choose from stool, chair, car, lorry",
        ),
        (
            {"stool": None, "lorry": "truck"},
            r"teacher t has classes .* \(lorry\): map them .* to one of car",
        ),
        (
            {"stool": None},
            r"teacher t has classes .* \(lorry\): map .* to one of car, chair, or to nu",
        ),
        (
            {"stool": None, "lorry": None, "car": None},
            "teacher t has nothing that is mapped to car of",
        ),
    ],
)
def test_maps_that_do_not_fit(class_map: dict[str, str | None], message: str) -> None:
    with pytest.raises(TeacherError, match=message) as caught:
        find_columns(NAMES, ("car", "chair"), class_map, "t")
    assert "\n" not in str(caught.value)


def test_all_others(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text('lorry: truck\n"*": null\n')
    found = find_columns(NAMES, ("truck", "chair"), read_class_map(path), "t")
    assert found == ((3,), (1,))  # chair keeps its name; stool and car are dropped
    path.write_text("lorry: null\n'*': furniture\nchair: chair\n")
    found = find_columns(NAMES, ("chair", "furniture"), read_class_map(path), "t")
    assert found == ((1,), (0, 2))
    with pytest.raises(TeacherError, match=r"\(stool, car, lorry\).*'\*': null drops all of them"):
        find_columns(NAMES, ("chair", "boat"), {"chair": "boat"}, "t")
    path.write_text("*: null\n")
    with pytest.raises(UsageError, match=r"cannot be read .* quotes round '\*'"):
        read_class_map(path)


def test_without_a_map_both_lists_are_shown() -> None:
    data = [f"class{i}" for i in range(40)]
    with pytest.raises(TeacherError) as caught:
        find_columns(NAMES, data, None, "t")
    assert "knows 4 classes (stool, chair, car, lorry) and the data 40 (class0, " in str(
        caught.value
    )
    assert "class38, class39), not the same (only the teacher has stool, " in str(caught.value)
    assert "or map one to the other by --class-map" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_map_needs_to_know_the_teacher_s_classes() -> None:
    with pytest.raises(
        UsageError, match="teacher toys:moments has no class names, which a class map needs"
    ):
        load_teacher("toys:moments", classes=NAMES, class_map={"a": "b"})


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: 7\n", "7: a\n", "a: [b]\n", "no: chair\n"])
def test_files_that_are_no_map(tmp_path: Path, content: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match="write lines `teacher class: data class`"):
        read_class_map(path)
    path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        read_class_map(path)


def test_a_class_is_mapped_once(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("lorry: ball\nstool: null\nlorry: box\n")
    with pytest.raises(UsageError, match=r"map\.yaml cannot be .*'lorry' stands there twice"):
        read_class_map(path)
    path.write_bytes("\ufefflorry: ball\n".encode())  # as some editors begin a file
    assert read_class_map(path) == {"lorry": "ball"}


def test_selecting_nothing_changes_nothing() -> None:
    logits = torch.rand(2, 3)
    assert select_columns(logits, None) is logits
    assert torch.equal(select_columns(logits, (2, 0, 1)), logits[:, [2, 0, 1]])
    assert shortened(["a"]) == "a"
