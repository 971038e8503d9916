"""Teachers that take features: which, in which order, in which axes, from any kind of file."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from onnx import TensorProto, helper, numpy_helper, save_model
from torch import Tensor

from pointstill.errors import TeacherError, UsageError
from pointstill.models import build_model
from pointstill.teachers import Ensemble, Votes, load_teacher
from pointstill.teachers.axes import parse_axes, permute_axes
from pointstill.teachers.compatibility import check_data_features
from pointstill.teachers.description import Description

CLASSES = ("bed", "car", "chair", "desk")
GIVEN = ("xyz", "height", "normal")


@pytest.fixture
def rich() -> Tensor:
    """(3, 40, 7) points with heights and unit normals."""
    draw = torch.Generator().manual_seed(1)
    points = torch.randn(3, 40, 7, generator=draw)
    points[..., 4:] = torch.nn.functional.normalize(points[..., 4:], dim=2)
    return points


def normals_after_xyz(points: Tensor) -> Tensor:
    return points[..., [0, 1, 2, 4, 5, 6]]


def say(points: Tensor) -> Tensor:
    with torch.inference_mode():
        return toys.wide()(points)


def test_axes_turn_normals_as_they_turn_points(rich: Tensor) -> None:
    matrix = np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0]], np.float64)
    found = permute_axes(rich, parse_axes("-z,x,y"), GIVEN).double().numpy()
    before = rich.double().numpy()
    np.testing.assert_array_equal(found[..., :3], before[..., :3] @ matrix.T)
    np.testing.assert_array_equal(found[..., 3], before[..., 3])
    np.testing.assert_array_equal(found[..., 4:], before[..., 4:] @ matrix.T)


def test_a_described_teacher_takes_what_it_was_made_for(tmp_path: Path, rich: Tensor) -> None:
    path = tmp_path / "d.yaml"
    Description(teacher="toys:wide", features=["xyz", "normal"], frame="x,z,-y").write(path)
    teacher = load_teacher(path, classes=CLASSES, features=GIVEN)
    assert teacher.features == ("xyz", "normal")
    turn = [0, 2, 1, 4, 6, 5]
    seen = rich[..., turn] * torch.tensor([1.0, 1, -1, 1, 1, -1])
    torch.testing.assert_close(teacher.logits(rich), say(seen))
    with pytest.raises(TeacherError, match="takes xyz,normal of each point, and the data was ope"):
        load_teacher(path, classes=CLASSES)


def test_one_that_says_nothing_takes_all_in_order(rich: Tensor) -> None:
    six = normals_after_xyz(rich)
    teacher = load_teacher("toys:wide", classes=CLASSES, features=("xyz", "normal"))
    torch.testing.assert_close(teacher.logits(six), say(six))
    # The same network of the same points is another teacher with other features.
    colour = load_teacher("toys:wide", classes=CLASSES, features=("xyz", "colour"))
    assert colour.fingerprint != teacher.fingerprint


def test_an_xyz_teacher_is_the_same_one_beside_features(tmp_path: Path, rich: Tensor) -> None:
    path = tmp_path / "d.yaml"
    Description(teacher="toys:moments", features=["xyz"]).write(path)
    plain = load_teacher("toys:moments", classes=CLASSES)
    beside = load_teacher(path, classes=CLASSES, features=GIVEN)
    assert beside.fingerprint == plain.fingerprint
    torch.testing.assert_close(beside.logits(rich), plain.logits(rich[..., :3]))


def test_the_fingerprint_of_xyz_is_that_of_before_there_were_features() -> None:
    teacher = load_teacher("toys:moments", classes=CLASSES)
    digest = hashlib.sha256(repr(("bn3", "logits", None, None)).encode())
    for part in teacher.network.identity():
        digest.update(part)
    assert teacher.fingerprint == digest.hexdigest()


def write_onnx(path: Path, channels: int) -> None:
    """Logits from the mean of the first channels."""
    weight = np.arange(4 * channels, dtype=np.float32).reshape(4, channels) / 10
    arrays = [numpy_helper.from_array(weight, "w")]
    arrays += [numpy_helper.from_array(np.array([1]), "axis")]
    nodes = [
        helper.make_node("ReduceMean", ["points", "axis"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "w"], ["logits"], transB=1),
    ]
    shapes = ("points", ["b", "n", channels]), ("logits", ["b", 4])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in shapes]
    graph = helper.make_graph(nodes, "g", [ends[0]], [ends[1]], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save_model(model, str(path))


@pytest.mark.parametrize("channels", [3, 6])
def test_onnx_declares_its_channels(tmp_path: Path, rich: Tensor, channels: int) -> None:
    write_onnx(tmp_path / "a.onnx", channels)
    six = normals_after_xyz(rich)
    teacher = load_teacher(tmp_path / "a.onnx", classes=CLASSES, features=("xyz", "normal"))
    assert teacher.features == (("xyz", "normal") if channels == 6 else ("xyz",))
    weight = np.arange(4 * channels).reshape(4, channels) / 10
    expected = six.double().numpy()[..., :channels].mean(1) @ weight.T
    np.testing.assert_allclose(teacher.logits(six), expected, atol=1e-5)


def test_files_of_other_widths_are_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a.onnx", 6)
    with pytest.raises(TeacherError, match="takes 6 numbers a point, and is given 3: give --feat"):
        load_teacher(tmp_path / "a.onnx", classes=CLASSES)
    write_onnx(tmp_path / "b.onnx", 3)
    Description(teacher="b.onnx", features=["xyz", "normal"]).write(tmp_path / "b.onnx.yaml")
    with pytest.raises(TeacherError, match="takes 3 numbers a point, and xyz,normal are 6: say"):
        load_teacher(tmp_path / "b.onnx", classes=CLASSES, features=("xyz", "normal"))


def test_torchscript_and_pt2(tmp_path: Path, rich: Tensor) -> None:
    six = normals_after_xyz(rich)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(toys.wide()).save(str(tmp_path / "a.pt"))
    free = {0: torch.export.Dim("b"), 1: torch.export.Dim("n")}
    program = torch.export.export(toys.wide(), (six[:2],), dynamic_shapes={"points": free})
    torch.export.save(program, tmp_path / "a.pt2")
    for name in ("a.pt", "a.pt2"):
        teacher = load_teacher(tmp_path / name, classes=CLASSES, features=("xyz", "normal"))
        torch.testing.assert_close(teacher.logits(six), say(six), rtol=1e-5, atol=1e-6)


def test_votes_turn_normals(rich: Tensor) -> None:
    six = normals_after_xyz(rich)
    teacher = load_teacher("toys:wide", classes=CLASSES, features=("xyz", "normal"))
    options = {"votes": 3, "vote_augment": "rotate", "features": ("xyz", "normal"), "up": "y"}
    votes = load_teacher("toys:wide", classes=CLASSES, **options)
    plain = Votes(load_teacher("toys:moments", classes=CLASSES), 3, "rotate", up="y")
    # A rotation turns a normal as it turns a point.
    views = [
        torch.cat([plain.view(six[..., :3], vote), plain.view(six[..., 3:], vote)], 2)
        for vote in range(3)
    ]
    expected = torch.stack([teacher.logits(view) for view in views]).mean(0)
    torch.testing.assert_close(votes.logits(six), expected)


def test_an_ensemble_of_a_teacher_with_normals_and_one_without(
    tmp_path: Path, rich: Tensor
) -> None:
    Description(teacher="toys:moments", features=["xyz"]).write(tmp_path / "a.yaml")
    Description(teacher="toys:wide", features=["xyz", "normal"]).write(tmp_path / "b.yaml")
    both = load_teacher([tmp_path / "a.yaml", tmp_path / "b.yaml"], classes=CLASSES, features=GIVEN)
    assert isinstance(both, Ensemble)
    with torch.inference_mode():
        expected = (toys.moments()(rich[..., :3]) + say(normals_after_xyz(rich))) / 2
    torch.testing.assert_close(both.logits(rich), expected)
    check_data_features(both, GIVEN)
    with pytest.raises(UsageError, match="loaded for data with xyz,height,normal, and this is ope"):
        check_data_features(both, ("xyz",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("features: xyz", "has features 'xyz': write a list of features, such as"),
        ("features: [xyz, y]", "choose from xyz, normal"),
        ("features: [normal]", "xyz first"),
    ],
)
def test_described_features_that_are_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.yaml").write_text(content)
    with pytest.raises(TeacherError, match=message):
        Description.read(tmp_path / "d.yaml")


@pytest.mark.parametrize("name", ["pointnet", "pointnet2-ssg"])
def test_weights_with_normals_of_a_published_architecture(
    tmp_path: Path, rich: Tensor, name: str
) -> None:
    torch.manual_seed(0)
    model = build_model(name, 4, 6).eval()
    torch.save({"model_state_dict": model.state_dict()}, tmp_path / "w.pth")
    options = {"weights": tmp_path / "w.pth", "classes": CLASSES}
    teacher = load_teacher(name, **options, features=("xyz", "normal"))
    six = normals_after_xyz(rich)
    with torch.inference_mode():
        torch.testing.assert_close(teacher.logits(six), model(six))
    with pytest.raises(TeacherError, match="does not fit"):
        load_teacher(name, **options)
    with pytest.raises(UsageError, match="model gdanet takes xyz alone: leave out --features"):
        load_teacher("gdanet", **options, features=("xyz", "normal"))
