"""docs/onnx.md says what an exported file is; the students in the package are what they say."""

import json
import re
import typing
from pathlib import Path

import numpy as np
import pytest

from pointstill.deployment.runtime import Classifier, start
from pointstill.storage.packaged_students import packaged_students
from pointstill.storage.student_file import FORMAT, About

PAGE = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
STUDENTS = packaged_students()


def rows(heading: str) -> list[list[str]]:
    """The rows of a table of the page."""
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.fixture(params=STUDENTS, ids=lambda student: student.name)
def student(request):
    return request.param


def test_there_are_students():
    assert "primitives-n" in [student.name for student in STUDENTS]


def test_the_graph_is_as_the_page_says(student):
    session = start(student.path.read_bytes(), 1)
    classes = len(Classifier(student.path).classes)
    sizes = {
        "input": ([None, None, 3], session.get_inputs()),
        "output": ([None, classes], session.get_outputs()),
    }
    listed = rows("| | name | type | shape |")
    assert [row[0] for row in listed] == list(sizes)
    for role, name, kind, _ in listed:
        wanted, (node,) = sizes[role]
        assert (f"`{node.name}`", node.type) == (name, "tensor(float)")
        assert kind == "float32"
        assert [size if isinstance(size, int) else None for size in node.shape] == wanted


def test_the_metadata_are_as_the_page_says(student):
    listed = {row[0].strip("`"): row[2] for row in rows("| entry | type | presence | meaning |")}
    assert set(listed) == set(About.__annotations__)
    assert {name for name, when in listed.items() if when == "always"} == About.__required_keys__
    stored = start(student.path.read_bytes(), 1).get_modelmeta().custom_metadata_map
    keys = {row[0].strip("`") for row in rows("| key | value |")}
    assert set(stored) == keys
    about = json.loads(stored["pointstill"])
    assert set(about) <= set(listed)
    assert typing.get_type_hints(About)["points"] is int
    assert about["format"] == FORMAT
    assert f"format {FORMAT}," in PAGE


def test_versions_are_as_the_page_says(student):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(student.path)
    (opset,) = proto.opset_import
    assert opset.domain == ""
    assert f"ONNX IR version {proto.ir_version} and opset {opset.version} of" in PAGE


def test_the_program_on_the_page(student):
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program: dict = {}
    exec(source, program)
    classifier = Classifier(student.path)
    for seed in range(5):
        cloud = np.random.default_rng(seed).normal(size=(200, 3)) * (1, 2, 3) + (7e5, 5e6, 90)
        name, share, known = program["classify"](str(student.path), cloud)
        found = classifier.predict(cloud, top=1, reject=True)
        assert (name, known) == (found[-1][0], len(found) == 1)
        assert share == pytest.approx(found[-1][1], abs=1e-4)


def test_a_card_is_of_its_student(student):
    card = student.card.read_text("utf-8")
    about = Classifier(student.name).about
    assert card.startswith(f"# {student.name}\n\n{student.summary}")
    assert f"| classes | {', '.join(about['classes'])} |" in card
    assert f"{student.path.stat().st_size:,} bytes; draws {about['points']} points" in card
    for row in ("made by", "accuracy", "not for", "terms"):
        assert f"| {row} | " in card


@pytest.mark.slow
def test_a_card_says_the_accuracy_that_is_measured(student, cli, tmp_path):
    code, _, err = cli(
        "evaluate", student.path, "--data", "primitives", "--json", tmp_path / "e.json"
    )
    assert code == 0, err
    (score,) = json.loads((tmp_path / "e.json").read_text())["scores"]
    said = f"{score['overall_accuracy']:.2%} ± {100 * score['standard_error']:.2f}"
    assert said.replace("%", " %") in student.card.read_text("utf-8")
