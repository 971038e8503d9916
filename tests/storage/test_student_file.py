"""Which files are students, judged by graphs of a single node."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from pointstill.storage.digests import seal
from pointstill.storage.student_file import (
    ABOUT,
    FORMAT,
    SEAL,
    check_about,
    check_content,
    is_student,
    write_about,
)

GOOD = {"classes": ["a", "b", "c"], "points": 64, "up": "z"}
POINTS = ("points", TensorProto.FLOAT, ["batch", "n", 3])
LOGITS = ("logits", TensorProto.FLOAT, ["batch", 3])


def student(about: object = GOOD, takes=(POINTS,), gives=(LOGITS,), props=None) -> onnx.ModelProto:
    """The largest of each coordinate as logits: as much of a classifier as there need be."""
    nodes = [
        helper.make_node("ReduceMax", [takes[0][0], "axes"], [name], keepdims=0)
        for name, _, _ in gives[:1]
    ] + [helper.make_node("Identity", [gives[0][0]], [name]) for name, _, _ in gives[1:]]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*each) for each in takes],
        [helper.make_tensor_value_info(*each) for each in gives],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, props or {ABOUT: json.dumps(about)})
    return model


def opened(content: bytes) -> dict:
    sealed = check_content(content)
    return check_about(onnxruntime.InferenceSession(content), sealed)


def test_what_is_written_is_read():
    content = seal(student(props=write_about(GOOD)).SerializeToString())
    assert opened(content) == {**GOOD, "format": FORMAT}
    onnx.checker.check_model(onnx.load_from_string(content))


def test_an_older_one_carries_no_digest():
    content = student().SerializeToString()
    assert opened(content) == GOOD
    assert not check_content(content)
    more = {**GOOD, "pointstill": "0.1.0", "new": [1], "trained_on": {"fingerprint": "f"}}
    assert opened(student(more).SerializeToString()) == more


def test_a_digest_that_is_gone_is_missed():
    model = student(props=write_about(GOOD))
    content = seal(model.SerializeToString())
    cut = content[: content.index(SEAL.encode()) - 4]  # to the end of the entry before it
    assert ABOUT.encode() in cut
    with pytest.raises(ValueError, match="has lost the SHA-256"):
        opened(cut)
    model.metadata_props.pop()
    with pytest.raises(ValueError, match="has lost the SHA-256"):
        opened(model.SerializeToString())


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ([], "another form"),
        (None, "another form"),
        ("text", "another form"),
        (7, "another form"),
        ({}, "missing required field"),
        ({**GOOD, "classes": "abc"}, "Expected `array`"),
        ({**GOOD, "classes": [1, 2, 3]}, "Expected `str`"),
        ({**GOOD, "classes": []}, "names no class"),
        ({**GOOD, "classes": ["a", "a", "b"]}, "one twice"),
        ({**GOOD, "classes": ["a"]}, r"gives logits: .* \(batch, 3\), .* name 1 classes"),
        ({**GOOD, "classes": list("abcd")}, "name 4 classes"),
        ({**GOOD, "points": "64"}, "Expected `int`"),
        ({**GOOD, "points": 64.5}, "Expected `int`"),
        ({**GOOD, "points": True}, "Expected `int`"),
        ({**GOOD, "points": 0}, "no points"),
        ({**GOOD, "fewest": -1}, "no points"),
        ({**GOOD, "up": "w"}, "Invalid enum"),
        ({**GOOD, "up": None}, "Expected `str`"),
        ({**GOOD, "format": 99}, "is of format 99"),
        ({**GOOD, "format": "2"}, "Expected `int`"),
        ({**GOOD, "trained_on": []}, "another form"),
        ({**GOOD, "trained_on": {"fold": "one"}}, "another form"),
        ({**GOOD, "origin": {"classes": ["c", "b", "a"]}}, "not those of its run"),
        ({**GOOD, "origin": {"up": "y"}}, "not those of its run"),
    ],
)
def test_metadata_that_are_none(about, said):
    with pytest.raises(ValueError, match=said) as caught:
        opened(student(about).SerializeToString())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", '{"points": 1, "points": 2}'])
def test_metadata_that_are_no_json(text):
    with pytest.raises(ValueError, match="another form"):
        opened(student(props={ABOUT: text}).SerializeToString())


def test_somebody_elses_graph():
    with pytest.raises(ValueError, match="has no metadata"):
        opened(student(props={"author": "x"}).SerializeToString())


@pytest.mark.parametrize(
    ("takes", "gives", "said"),
    [
        ((("cloud", 1, ["b", "n", 3]),), (LOGITS,), "takes cloud: "),
        ((POINTS, ("other", 1, [1])), (LOGITS,), "takes points: .*, other: "),
        ((("points", TensorProto.DOUBLE, ["b", "n", 3]),), (("logits", 11, ["b", 3]),), "double"),
        ((("points", 1, ["b", "n", 6]),), (("logits", 1, ["b", 6]),), r"\(b, n, 6\)"),
        ((("points", 1, ["b", "n", "c"]),), (LOGITS,), r"\(b, n, c\)"),
        ((("points", 1, [4, "n", 3]),), (("logits", 1, [4, 3]),), r"\(4, n, 3\)"),
        ((("points", 1, ["b", 64, 3]),), (LOGITS,), r"\(b, 64, 3\)"),
        ((POINTS,), (LOGITS, ("more", 1, ["batch", 3])), "gives logits: .*, more: "),
    ],
)
def test_metadata_that_do_not_fit_the_graph(takes, gives, said):
    with pytest.raises(ValueError, match=said) as caught:
        opened(student(takes=takes, gives=gives).SerializeToString())
    assert "\n" not in str(caught.value)


def external(location: str) -> bytes:
    """A student with a weight in another file."""
    model = student()
    weight = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    model.graph.node.add(op_type="Identity", input=["w"], output=["unused"])
    return model.SerializeToString()


@pytest.mark.parametrize("location", ["w.bin", "/etc/passwd", "../w.bin", "*/_ORT_MEM_ADDR_/*"])
def test_no_other_file_is_opened(location):
    with pytest.raises(ValueError, match="keeps tensors in another file"):
        check_content(external(location))


@pytest.mark.parametrize("length", [b"\x08", b"\x88\x00", b"\x88\x80\x80\x00"])
def test_nor_where_the_length_of_a_text_is_written_oddly(length):
    with pytest.raises(ValueError, match="keeps tensors in another file"):
        check_content(length + b"location")


def test_a_class_may_be_called_location():
    about = {**GOOD, "classes": ["location", "a location", "locations"]}
    assert opened(student(about).SerializeToString()) == about


def test_any_onnx_file_may_be_asked_whether_it_is_a_student(tmp_path):
    path = tmp_path / "x.onnx"
    for content, expected in (
        (b"", False),
        (b"text", False),
        (student(props={"author": "pointstill"}).SerializeToString(), False),
        (student().SerializeToString(), True),
    ):
        path.write_bytes(content)
        assert is_student(path) == expected


def test_weights_that_look_like_a_seal_do_not_matter():
    model = student(props=write_about(GOOD))
    noise = np.frombuffer(b"x sha256 y" * 4000, np.uint8)
    model.graph.initializer.append(onnx.numpy_helper.from_array(noise, "noise"))
    assert check_content(seal(model.SerializeToString()))
