import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import toys
import yaml
from safetensors.torch import save_file

from pointstill.errors import TeacherError, TrainingError, UsageError
from pointstill.models import build_model
from pointstill.teachers import batch_dependence, load_teacher

CLASSES = ("bed", "car", "chair", "desk")


@pytest.fixture
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("name", ["moments", "sized", "ready", "ChannelsFirst", "Dictionary"])
def test_own_code(name: str, points: torch.Tensor, expected: torch.Tensor) -> None:
    teacher = load_teacher(f"toys:{name}", classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), expected)
    assert teacher.layout == ("b3n" if name == "ChannelsFirst" else "bn3")
    assert teacher.classes == CLASSES
    assert teacher.parameters == 6 * 4 + 4
    assert teacher.points is None
    assert not teacher.network.module.training
    assert not any(parameter.requires_grad for parameter in teacher.network.module.parameters())


@pytest.mark.usefixtures("no_warnings")
def test_log_softmax_in_a_tuple_is_used_as_it_is(
    points: torch.Tensor, expected: torch.Tensor
) -> None:
    logits = load_teacher("toys:Pair", classes=CLASSES).logits(points)
    for temperature in (1, 4):
        torch.testing.assert_close(
            (logits / temperature).softmax(1), (expected / temperature).softmax(1)
        )


def test_probabilities_become_logarithms(points: torch.Tensor, expected: torch.Tensor) -> None:
    with pytest.warns(UserWarning, match="gives probabilities"):
        teacher = load_teacher("toys:Probabilities", classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), expected.log_softmax(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said by the user, so not said again
        said = load_teacher("toys:Probabilities", classes=CLASSES, output="probabilities")
    assert said.fingerprint == teacher.fingerprint
    with pytest.raises(TeacherError, match="gives no probabilities"):
        load_teacher("toys:moments", classes=CLASSES, output="probabilities")


def test_a_layout_that_cannot_be_told_must_be_said(points: torch.Tensor) -> None:
    with pytest.raises(TeacherError, match=r"toys:Both.*--layout bn3 or b3n"):
        load_teacher("toys:Both", classes=CLASSES)
    logits = [
        load_teacher("toys:Both", classes=CLASSES, layout=layout).logits(points)
        for layout in ("bn3", "b3n")
    ]
    torch.testing.assert_close(logits[0], toys.moments()(points).detach())
    assert not torch.allclose(*logits)


def test_axes_are_applied_before_the_teacher_sees_the_points(points: torch.Tensor) -> None:
    plain = load_teacher("toys:moments", classes=CLASSES)
    turned = load_teacher("toys:moments", classes=CLASSES, axes="x,z,-y")
    by_hand = torch.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
    torch.testing.assert_close(turned.logits(points), plain.logits(by_hand))
    assert turned.fingerprint != plain.fingerprint


def test_class_order_goes_by_name(points: torch.Tensor, expected: torch.Tensor) -> None:
    names = ("desk", "bed", "chair", "car")  # the teacher's columns 0 to 3
    teacher = load_teacher("toys:moments", classes=CLASSES, class_names=names)
    logits = teacher.logits(points)
    for column, name in enumerate(names):
        assert torch.equal(logits[:, CLASSES.index(name)], expected[:, column])


def test_other_classes_are_listed() -> None:
    with pytest.raises(TeacherError) as caught:
        load_teacher("toys:moments", classes=CLASSES, class_names=("bed", "car", "sofa", "tv"))
    assert "only the teacher has sofa, tv; only the data has chair, desk" in str(caught.value)
    with pytest.raises(TeacherError, match="class name twice"):
        load_teacher("toys:moments", classes=CLASSES, class_names=("bed", "bed", "chair", "desk"))


def test_another_number_of_classes() -> None:
    with pytest.raises(TeacherError, match="gives 4 numbers a cloud, and there are 3 classes"):
        load_teacher("toys:moments", classes=CLASSES[:3])
    with pytest.raises(TeacherError, match=r"output \(\(2,\)\) that holds no tensor"):
        load_teacher("toys:Vector", classes=CLASSES)


def test_a_teacher_that_fails_or_explodes() -> None:
    with pytest.raises(TeacherError, match="bn3: RuntimeError: no kernel; b3n") as caught:
        load_teacher("toys:Broken", classes=CLASSES)
    assert "\n" not in str(caught.value)
    with pytest.raises(TeacherError, match="NaN or infinite logits for 2 of 2 clouds"):
        load_teacher("toys:Infinite", classes=CLASSES)


def test_one_bad_cloud_is_noticed(points: torch.Tensor) -> None:
    teacher = load_teacher("toys:moments", classes=CLASSES)
    points[1, 3, 2] = torch.nan
    with pytest.raises(TeacherError, match="for 1 of 3 clouds"):
        teacher.logits(points)


def test_a_teacher_that_cannot_take_one_cloud_alone_is_refused() -> None:
    with pytest.raises(TeacherError, match=r"toys:BatchyHead .* fails on one alone") as caught:
        load_teacher("toys:BatchyHead", classes=CLASSES)
    assert "\n" not in str(caught.value)


def test_dependence_on_the_batch_is_warned_of(points: torch.Tensor) -> None:
    with pytest.warns(UserWarning, match="depends on the rest of its batch"):
        teacher = load_teacher("toys:Batchy", classes=CLASSES)
    assert batch_dependence(teacher, points) >= 1e-3
    independent = load_teacher("toys:moments", classes=CLASSES)
    assert batch_dependence(independent, points) < 1e-6


def test_chance_is_warned_of_and_the_caller_s_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with pytest.warns(UserWarning, match="draws at random in eval mode"):
        load_teacher("toys:Random", classes=CLASSES)
    assert torch.equal(torch.rand(1), expected)


def test_weights_of_own_code(tmp_path: Path, points: torch.Tensor) -> None:
    torch.manual_seed(3)
    trained = toys.Moments()
    state = {f"module.{key}": value for key, value in trained.state_dict().items()}
    torch.save({"model_state_dict": state}, tmp_path / "w.pth")
    teacher = load_teacher("toys:moments", weights=tmp_path / "w.pth", classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), trained(points).detach())
    untrained = load_teacher("toys:moments", classes=CLASSES)
    assert teacher.fingerprint != untrained.fingerprint
    again = load_teacher("toys:moments", weights=tmp_path / "w.pth", classes=CLASSES)
    assert teacher.fingerprint == again.fingerprint
    assert len(teacher.fingerprint) == 64


def test_built_in_models_need_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="teacher stillnet-n needs its weights: give --weights"):
        load_teacher("stillnet-n", classes=CLASSES)
    torch.save(build_model("stillnet-n", 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(TeacherError, match="holds weights of 3 classes, and the data has 4"):
        load_teacher("stillnet-n", weights=tmp_path / "w.pt", classes=CLASSES)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a finished training leaves; its classes are in another order than the data's."""
    folder = tmp_path / "run"
    folder.mkdir()
    origin = {"model": "stillnet-n", "classes": list(reversed(CLASSES)), "up": "z", "data": "f00d"}
    recipe = {"data": "shapes", "points": 256, "origin": origin}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    torch.manual_seed(0)
    save_file(build_model("stillnet-n", 4).state_dict(), folder / "weights.safetensors")
    return folder


def test_run_folder(run: Path, points: torch.Tensor) -> None:
    teacher = load_teacher(str(run), classes=CLASSES)
    assert teacher.points == 256
    torch.manual_seed(0)
    model = build_model("stillnet-n", 4).eval()
    model.distinct = False  # the run says no version of its normalisation: it is of the first
    torch.testing.assert_close(teacher.logits(points), model(points).flip(1).detach())
    with pytest.raises(TeacherError, match=r"only the teacher has desk, bed"):
        load_teacher(str(run), classes=("car", "chair", "shelf", "sofa"))


def test_a_run_of_another_up_axis_gets_a_warning(run: Path, points: torch.Tensor) -> None:
    with pytest.warns(UserWarning, match="trained with z up, and y is up in this data"):
        load_teacher(str(run), classes=CLASSES, up="y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_teacher(str(run), classes=CLASSES, up="z")
        load_teacher(str(run), classes=CLASSES, up="y", axes="x,z,y")


def test_unfinished_run_folder(run: Path) -> None:
    (run / "weights.safetensors").unlink()
    with pytest.raises(TrainingError, match="is not finished"):
        load_teacher(str(run), classes=CLASSES)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "gdanett",
            "no model, run folder, model file or package.module:callable: did you mean gdanet",
        ),
        ("qqq", "the models are pointnet, pointnet2-ssg, dgcnn, gdanet"),
    ],
)
def test_a_spec_that_is_nothing(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_teacher(spec, classes=CLASSES)


# Modules that are made already, and what is no teacher.


def test_a_module_is_a_teacher(points: torch.Tensor, expected: torch.Tensor) -> None:
    module = toys.moments().train()
    teacher = load_teacher(module, classes=CLASSES)
    assert teacher.spec == "Moments"
    assert teacher.fingerprint == load_teacher("toys:moments", classes=CLASSES).fingerprint
    assert module.training
    assert module.linear.weight.requires_grad
    module.linear.weight.data.zero_()  # it is a copy that was loaded
    torch.testing.assert_close(teacher.logits(points), expected)
    layers = torch.nn.Sequential(toys.moments(), torch.nn.Identity())  # a sequence, too
    torch.testing.assert_close(load_teacher(layers, classes=CLASSES).logits(points), expected)
    both = load_teacher([toys.moments(), teacher], classes=CLASSES)
    torch.testing.assert_close(both.logits(points), expected)
    assert load_teacher(teacher, classes=CLASSES) is teacher


def test_a_module_takes_weights(tmp_path: Path, points: torch.Tensor) -> None:
    torch.manual_seed(3)
    trained = toys.Moments()
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    teacher = load_teacher(toys.moments(), weights=tmp_path / "w.pth", classes=CLASSES)
    torch.testing.assert_close(teacher.logits(points), trained(points).detach())
    with pytest.raises(UsageError, match="of which Moments may take some") as caught:
        load_teacher([toys.moments()], weights=["a", "b"], classes=CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", [toys.Moments, 3, None, [None], {"a": 1}, toys.moments, b"x"])
def test_what_is_no_teacher(spec: object) -> None:
    with pytest.raises(UsageError, match=r"is no teacher: give a name, a path"):
        load_teacher(spec, classes=CLASSES)  # type: ignore[arg-type]


def test_a_module_that_cannot_be_copied() -> None:
    module = toys.moments()
    module.lines = (line for line in "abc")  # type: ignore[assignment]
    with pytest.raises(TeacherError, match="teacher Moments cannot be copied"):
        load_teacher(module, classes=CLASSES)


def test_weights_drawn_at_random_are_warned_of(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"toys:Moments has weights that are drawn .*\(2 of 2 ten"):
        load_teacher("toys:Moments", classes=CLASSES)
    torch.save(toys.moments().state_dict(), tmp_path / "w.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_teacher("toys:Moments", weights=tmp_path / "w.pth", classes=CLASSES)
        load_teacher("toys:moments", classes=CLASSES)
        load_teacher("toys:ready", classes=CLASSES)
