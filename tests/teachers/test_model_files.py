"""Teachers in files say what the module says that was written into them."""

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import toys
from onnx import helper
from onnx.external_data_helper import set_external_data, write_external_data_tensors
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pointstill.data import open_dataset
from pointstill.deployment.runtime import Classifier
from pointstill.errors import TeacherError, UsageError
from pointstill.storage.packaged_students import packaged_students
from pointstill.teachers import load_teacher
from pointstill.teachers.resolve import kind_of

CLASSES = ("bed", "car", "chair", "desk")
KINDS = ("pt", "pt2", "onnx")
Write = Callable[..., Path]


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_says_what_the_module_says(
    kind: str, in_file: Write, points: Tensor, expected: Tensor
) -> None:
    path = in_file(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teacher = load_teacher(path, classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(teacher.logits(points[:1]), expected[:1], rtol=1e-5, atol=1e-6)
    assert (teacher.points, teacher.classes, teacher.layout) == (None, CLASSES, "bn3")
    assert (teacher.parameters, teacher.nbytes) == (28, 112)
    assert teacher.counted == (kind != "onnx")


@pytest.mark.parametrize("kind", KINDS)
def test_axes_order_and_fingerprint(kind: str, in_file: Write, points: Tensor) -> None:
    path, module = in_file(kind), toys.moments()
    names = ("desk", "bed", "chair", "car")
    teacher = load_teacher(path, classes=CLASSES, class_names=names, axes="x,z,-y")
    with torch.inference_mode():
        said = module(points[..., [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0]))
    torch.testing.assert_close(teacher.logits(points), said[:, [1, 3, 2, 0]], rtol=1e-5, atol=1e-6)
    plain = load_teacher(path, classes=CLASSES)
    moved = path.rename(path.with_name(f"moved.{kind}"))
    assert load_teacher(moved, classes=CLASSES).fingerprint == plain.fingerprint
    assert teacher.fingerprint != plain.fingerprint
    others = {load_teacher(in_file(other), classes=CLASSES).fingerprint for other in KINDS}
    assert len(others) == 3


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_fixed_batch_is_filled(
    kind: str, batch: int, in_file: Write, points: Tensor, expected: Tensor
) -> None:
    teacher = load_teacher(in_file(kind, batch=batch), classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_fixed_number_of_points_is_kept(kind: str, in_file: Write, points: Tensor) -> None:
    teacher = load_teacher(in_file(kind, points=20), classes=CLASSES)
    assert teacher.points == 20
    shown = points[:, [i * 50 // 20 for i in range(20)]]
    with torch.inference_mode():
        said = toys.moments()(shown)
    torch.testing.assert_close(teacher.logits(points), said, rtol=1e-5, atol=1e-6)
    with pytest.raises(TeacherError, match=r"takes 20 points.* given 19: give --points 20 or more"):
        teacher.logits(points[:, :19])


def test_a_declared_layout_is_kept(in_file: Write, points: Tensor, expected: Tensor) -> None:
    for sizes in ({}, {"points": 50}):
        teacher = load_teacher(in_file("onnx", transposed=True, **sizes), classes=CLASSES)
        assert teacher.layout == "b3n"
        torch.testing.assert_close(teacher.logits(points), expected, rtol=1e-5, atol=1e-6)


def test_double_precision_is_fed_as_such(tmp_path: Path, in_file: Write, points: Tensor) -> None:
    model = onnx.load(in_file("onnx"))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for array in model.graph.initializer[:2]:
        wide = onnx.numpy_helper.to_array(array).astype(np.float64)
        array.CopyFrom(onnx.numpy_helper.from_array(wide, array.name))
    onnx.save(model, tmp_path / "double.onnx")
    teacher = load_teacher(tmp_path / "double.onnx", classes=CLASSES)
    with torch.inference_mode():
        said = toys.moments().double()(points.double()).float()
    torch.testing.assert_close(teacher.logits(points), said)
    assert teacher.nbytes == 28 * 8


def test_an_exported_student_teaches(student_onnx: Path, solids: Path) -> None:
    """Class names, points and up axis come from its metadata."""
    data = open_dataset(solids)
    teacher = load_teacher(student_onnx, classes=data.classes[::-1], up=data.up)
    classifier = Classifier(student_onnx)
    clouds = [data.train.cloud(index)[:64] for index in (0, 20, 40)]
    wanted = np.stack([classifier.logits(cloud)[::-1] for cloud in clouds])
    found = teacher.logits(torch.from_numpy(np.stack(clouds))).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert teacher.points == 64
    with pytest.warns(UserWarning, match="trained with z up, and y is up"):
        load_teacher(student_onnx, classes=data.classes, up="y")
    with pytest.raises(TeacherError, match="not the same"):
        load_teacher(student_onnx, classes=CLASSES[:3])


def test_onnx_takes_as_many_threads_as_torch(in_file: Write, points: Tensor) -> None:
    teacher = load_teacher(in_file("onnx"), classes=CLASSES)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            teacher.logits(points)
            session = teacher.network._sessions[threads]
            assert session.get_session_options().intra_op_num_threads == threads
    finally:
        torch.set_num_threads(before)


def test_operations_of_files_are_counted(in_file: Write, points: Tensor) -> None:
    counts = []
    for kind in ("pt", "pt2"):
        teacher = load_teacher(in_file(kind), classes=CLASSES)
        with FlopCounterMode(display=False) as counter:
            teacher.logits(points)
        counts.append(counter.get_total_flops())
    assert counts == [2 * 3 * 6 * 4] * 2  # of one linear layer, three clouds


# What is told apart, and refused.


def test_kinds_are_told_by_content(in_file: Write, tmp_path: Path) -> None:
    state = toys.moments().state_dict()
    torch.save(state, tmp_path / "new.ts")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "w.safetensors")
    for name in ("new.ts", "old.pt", "w.safetensors"):
        assert kind_of(tmp_path / name) == "weights"
        with pytest.raises(TeacherError, match=r"no network: .*--teacher NAME --weights") as caught:
            load_teacher(tmp_path / name, classes=CLASSES)
        assert "\n" not in str(caught.value)
    for kind, found in (("pt", "torchscript"), ("pt2", "exported"), ("onnx", "onnx")):
        assert kind_of(in_file(kind)) == found
    odd = in_file("pt").rename(tmp_path / "odd.pth")
    assert load_teacher(odd, classes=CLASSES).parameters == 28


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_file_are_its_own(kind: str, in_file: Write) -> None:
    with pytest.raises(UsageError, match="1 --weights for 1 teachers, of which a run or a model"):
        load_teacher(in_file(kind), weights="w.pth", classes=CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_and_missing_files(kind: str, in_file: Write, tmp_path: Path) -> None:
    path = in_file(kind)
    content = path.read_bytes()
    for part in (content[: len(content) // 2], b"", b"not a model"):
        path.write_bytes(part)
        with pytest.raises(TeacherError, match=path.name) as caught:
            load_teacher(path, classes=CLASSES)
        assert "\n" not in str(caught.value)
    with pytest.raises(TeacherError, match="is not there: give a file that is"):
        load_teacher(tmp_path / f"none.{kind}", classes=CLASSES)


def changed(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """The archive with the content of its entries changed, and with more entries."""
    other = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        top = source.namelist()[0].partition("/")[0]
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        for name, content in more.items():
            target.writestr(f"{top}/{name}", content)
    return other


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_exported_programs_with_pickles_or_native_code_are_refused(
    in_file: Write, tmp_path: Path
) -> None:
    path, mark = in_file("pt2"), tmp_path / "mark"
    same = changed(path, lambda name, content: content)
    assert load_teacher(same, classes=CLASSES).parameters == 28

    def pickled(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            config["config"]["linear.bias"]["use_pickle"] = True
            return json.dumps(config).encode()
        return pickle.dumps(Bomb(mark)) if name.endswith("weight_1") else content

    with pytest.raises(TeacherError, match=r"holds pickled objects \(linear.bias\)"):
        load_teacher(changed(path, pickled), classes=CLASSES)

    def example(name: str, content: bytes) -> bytes:
        buffer = io.BytesIO()
        torch.save(((Bomb(mark),), {}), buffer)
        return buffer.getvalue() if "sample_inputs" in name else content

    with pytest.raises(TeacherError, match="cannot be loaded as a program"):
        load_teacher(changed(path, example), classes=CLASSES)
    native = changed(path, lambda name, content: content, **{"data/aotinductor/model/a.so": b"x"})
    with pytest.raises(TeacherError, match="holds compiled code"):
        load_teacher(native, classes=CLASSES)
    assert not mark.exists()


def test_onnx_with_weights_in_a_file_beside_it(
    in_file: Write, tmp_path: Path, points: Tensor, expected: Tensor
) -> None:
    """As `torch.onnx.export` writes it by default; the other file is part of the fingerprint."""
    model = onnx.load(in_file("onnx"))
    for array in model.graph.initializer[:2]:
        array.raw_data = onnx.numpy_helper.to_array(array).tobytes()
        set_external_data(array, location="apart.bin")
    path = tmp_path / "apart.onnx"
    write_external_data_tensors(model, str(tmp_path))
    path.write_bytes(model.SerializeToString())
    teacher = load_teacher(path, classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), expected, rtol=1e-5, atol=1e-6)
    assert teacher.parameters == 28
    weights = np.fromfile(tmp_path / "apart.bin", np.float32)
    weights[0] += 1
    weights.tofile(tmp_path / "apart.bin")
    assert load_teacher(path, classes=CLASSES).fingerprint != teacher.fingerprint


def test_inputs_that_are_no_clouds(in_file: Write, tmp_path: Path) -> None:
    model = onnx.load(in_file("onnx"))
    model.graph.input.append(helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(TeacherError, match="so that it takes one tensor of points"):
        load_teacher(tmp_path / "two.onnx", classes=CLASSES)

    class Image(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean((1, 2))

    program = torch.export.export(Image(), (torch.rand(2, 8, 4),))
    torch.export.save(program, tmp_path / "image.pt2")
    with pytest.raises(TeacherError, match=r"image.pt2 takes an input of shape \(2, 8, 4\)"):
        load_teacher(tmp_path / "image.pt2", classes=CLASSES)


# Files beside a graph.


def apart(in_file: Write, location: str) -> Path:
    """The graph with its weights said to be in another file, which is not written."""
    model = onnx.load(in_file("onnx"))
    for array in model.graph.initializer[:2]:
        array.raw_data = onnx.numpy_helper.to_array(array).tobytes()
        set_external_data(array, location=location)
        array.ClearField("raw_data")
    path = in_file("onnx").with_name("apart.onnx")
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location",
    ["/etc/hostname", "../w.bin", "sub/w.bin", "..", ".", "", "a\\b", "C:w", "sub/../w.bin"],
)
def test_weights_elsewhere_are_not_opened(location: str, in_file: Write, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for place in ("w.bin", "sub/w.bin"):
        (tmp_path / place).write_bytes(bytes(1000))
    with pytest.raises(TeacherError, match="which is not in its folder, and is not opened"):
        load_teacher(apart(in_file, location), classes=CLASSES)


def test_weights_that_are_no_file_or_lead_away(in_file: Write, tmp_path: Path) -> None:
    path, other = apart(in_file, "w.bin"), tmp_path / "w.bin"
    with pytest.raises(TeacherError, match=r"'w\.bin' beside it, which is not there"):
        load_teacher(path, classes=CLASSES)
    os.mkfifo(other)
    with pytest.raises(TeacherError, match=r"'w\.bin' beside it, which is no regular file"):
        load_teacher(path, classes=CLASSES)
    other.unlink()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/w.bin").write_bytes(bytes(1000))
    other.symlink_to(tmp_path / "sub/w.bin")
    with pytest.raises(TeacherError, match="not in its folder"):
        load_teacher(path, classes=CLASSES)


def test_weights_elsewhere_are_seen_wherever_they_are_named(in_file: Write, tmp_path: Path) -> None:
    """In a constant of a branch, as in an initialiser."""
    model = onnx.load(in_file("onnx"))
    tensor = onnx.TensorProto(name="c", data_type=1, dims=[1])
    set_external_data_of(tensor, "/etc/hostname")
    constant = helper.make_node("Constant", [], ["inner"], value=tensor)
    branch = helper.make_graph(
        [constant], "branch", [], [helper.make_tensor_value_info("inner", 1, [1])]
    )
    always = helper.make_node("Constant", [], ["yes"], value_int=1)
    cast = helper.make_node("Cast", ["yes"], ["true"], to=onnx.TensorProto.BOOL)
    choice = helper.make_node("If", ["true"], ["chosen"], then_branch=branch, else_branch=branch)
    model.graph.node.extend([always, cast, choice])
    (tmp_path / "branch.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(TeacherError, match="'/etc/hostname', which is not in its folder"):
        load_teacher(tmp_path / "branch.onnx", classes=CLASSES)


def set_external_data_of(tensor: onnx.TensorProto, location: str) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("sizes", [{"points": 10**9}, {"batch": 10**9}])
def test_sizes_are_bounded(sizes: dict[str, int], in_file: Write) -> None:
    with pytest.raises(TeacherError, match=r"takes an input of 1,000,000,000, and at most"):
        load_teacher(in_file("onnx", **sizes), classes=CLASSES)


@pytest.mark.parametrize(
    "notes",
    [
        "{",
        "[]",
        '{"classes": "bed", "points": 5, "up": "z"}',
        '{"classes": ["a"], "points": 0, "up": "z"}',
        '{"classes": ["a"], "points": 99999999999, "up": "z"}',
        '{"classes": ["a"], "points": 5, "up": "q"}',
        '{"classes": ["\\u001b[2J"], "points": 5, "up": "z"}',
    ],
)
def test_notes_that_are_damaged(notes: str, in_file: Write, tmp_path: Path) -> None:
    model = onnx.load(in_file("onnx"))
    model.metadata_props.add(key="pointstill", value=notes)
    (tmp_path / "notes.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(TeacherError, match="is no student of pointstill, or is damaged") as caught:
        load_teacher(tmp_path / "notes.onnx", classes=CLASSES)
    assert str(caught.value).isprintable()


# Weights that are none, however they are none.


class Allocates:
    def __reduce__(self):
        return bytearray, (10**15,)


def test_weights_of_all_kinds_of_damage(tmp_path: Path) -> None:
    state = toys.moments().state_dict()
    circle: dict[str, object] = {}
    circle["model"] = circle
    wide = torch.zeros(1).expand(10**6, 10**6)
    odd: list[object] = [
        circle,
        {"a": Allocates()},
        {**state, "linear.weight": wide},
        {**state, "linear.weight": state["linear.weight"].to_sparse()},
        {**state, "linear.weight": torch.zeros(4, 6, device="meta")},
        {**state, "new\nline\x1b": torch.zeros(1)},
        [1],
    ]
    for each in odd:
        torch.save(each, tmp_path / "w.pt")
        with pytest.raises(TeacherError, match=r"w\.pt ") as caught:
            load_teacher("toys:moments", weights=tmp_path / "w.pt", classes=CLASSES)
        assert str(caught.value).isprintable()


def test_a_student_of_the_package_teaches_by_its_name(
    points: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (student,) = packaged_students()
    classes = Classifier(student.name).classes
    monkeypatch.chdir(tmp_path)
    teacher = load_teacher(student.name, classes=classes)
    assert teacher.spec == student.name  # what a store keeps, on whatever machine
    named = load_teacher(student.path, classes=classes)
    assert teacher.fingerprint == named.fingerprint
    torch.testing.assert_close(teacher.logits(points), named.logits(points))
    Path(student.name).write_bytes(b"no network")  # a path wins
    with pytest.raises(TeacherError):
        load_teacher(student.name, classes=classes)
