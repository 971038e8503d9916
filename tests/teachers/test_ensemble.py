"""Ensembles, against NumPy in double precision."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from pointstill.errors import UsageError
from pointstill.models import build_model
from pointstill.teachers import Ensemble, NetworkTeacher, Teacher, load_teacher
from pointstill.teachers.resolve import share_weights
from pointstill.teachers.torch_module import TorchNetwork

CLASSES = ("bed", "car", "chair", "desk")


def member(seed: int, points: int | None = None, classes: tuple[str, ...] = CLASSES) -> Teacher:
    torch.manual_seed(seed)
    network = TorchNetwork(toys.Moments(len(classes)).eval(), torch.device("cpu"))
    return NetworkTeacher(
        spec=f"m{seed}",
        classes=classes,
        network=network,
        points=points,
        layout="bn3",
        output="logits",
        axes=None,
        columns=None,
        names=classes,
        fingerprint=f"f{seed}",
    )


def said(teacher: Teacher, points: Tensor) -> np.ndarray:
    return teacher.logits(points).double().numpy()


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_the_mean_of_logits(points: Tensor) -> None:
    members = [member(1), member(2), member(3)]
    each = [said(teacher, points) for teacher in members]
    np.testing.assert_allclose(said(Ensemble(members), points), np.mean(each, 0), atol=1e-6)
    weighted = Ensemble(members, weights=[2, 1, 0])
    expected = (2 * each[0] + each[1]) / 3
    np.testing.assert_allclose(said(weighted, points), expected, atol=1e-6)


def test_the_mean_of_probabilities(points: Tensor) -> None:
    members = [member(1), member(2)]
    p = [softmax(said(teacher, points)) for teacher in members]
    found = Ensemble(members, "probabilities", [3, 1])
    np.testing.assert_allclose(np.exp(said(found, points)), 0.75 * p[0] + 0.25 * p[1], rtol=1e-5)
    alone = Ensemble(members, "probabilities", [0, 1])
    np.testing.assert_allclose(np.exp(said(alone, points)), p[1], rtol=1e-5)


def test_each_member_sees_its_own_number_of_points(points: Tensor) -> None:
    members = [member(1, points=20), member(2, points=50), member(3)]
    found = Ensemble(members)
    assert found.points == 1024
    assert Ensemble(members[:2]).points == 50
    assert Ensemble(members[2:]).points is None
    fewer = points[:, [i * 50 // 20 for i in range(20)]]
    expected = np.mean(
        [said(members[0], fewer), said(members[1], points), said(members[2], points)], 0
    )
    np.testing.assert_allclose(said(found, points), expected, atol=1e-6)


def test_the_fingerprint_names_all_that_decides(points: Tensor) -> None:
    a, b = member(1), member(2)
    ensembles = [
        Ensemble([a, b]),
        Ensemble([b, a], weights=[1, 2]),
        Ensemble([a, b], weights=[1, 2]),
        Ensemble([a, b], "probabilities"),
        Ensemble([a]),
        Ensemble([a, member(2, points=20)]),
        Ensemble([a, Ensemble([b])]),
    ]
    assert len({each.fingerprint for each in ensembles}) == len(ensembles)
    assert Ensemble([a, b], weights=[2, 2]).fingerprint == ensembles[0].fingerprint


def test_what_it_says_of_itself() -> None:
    found = Ensemble([member(1), member(2)], "probabilities")
    assert found.spec == "m1 + m2 (mean of probabilities)"
    assert (found.parameters, found.nbytes, found.counted, found.votes) == (56, 224, True, 1)
    assert found.classes == CLASSES


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "1 ensemble weights for 2 teachers"),
        ([0, 0], "not all of them 0"),
        ([-1, 2], "from 0 up"),
        ([float("nan"), 1], "from 0 up"),
        ([float("inf"), 1], "from 0 up"),
    ],
)
def test_weights_that_are_none(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Ensemble([member(1), member(2)], weights=weights)


def test_members_must_agree() -> None:
    with pytest.raises(UsageError, match="load them for the same classes"):
        Ensemble([member(1), member(2, classes=("a", "b", "c", "d"))])
    with pytest.raises(UsageError, match="has no teachers"):
        Ensemble([])
    with pytest.raises(UsageError, match="choose logits or probabilities"):
        Ensemble([member(1)], "median")  # type: ignore[arg-type]


# By load_teacher.


def test_a_list_of_all_kinds(in_file: Callable[..., Path], points: Tensor) -> None:
    specs = ["toys:ChannelsFirst", in_file("pt"), in_file("pt2"), in_file("onnx"), member(7)]
    found = load_teacher(specs, classes=CLASSES, ensemble_weights=[1, 1, 1, 1, 4])
    with torch.inference_mode():
        expected = (toys.moments()(points) + member(7).logits(points)) / 2
    torch.testing.assert_close(found.logits(points), expected, rtol=1e-5, atol=1e-6)
    assert found.spec.startswith("toys:ChannelsFirst + ")
    assert not found.counted
    assert found.parameters == 5 * 28


def test_weights_are_handed_out_in_order(tmp_path: Path, points: Tensor) -> None:
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(build_model("stillnet-n", 4).state_dict(), tmp_path / f"{seed}.pt")
    torch.manual_seed(3)
    torch.save(toys.Moments().state_dict(), tmp_path / "3.pt")
    one, two, three = (tmp_path / f"{seed}.pt" for seed in (1, 2, 3))
    alone = [
        load_teacher(spec, weights=file, classes=CLASSES)
        for spec, file in (("stillnet-n", one), ("toys:moments", three), ("stillnet-n", two))
    ]
    specs = ["stillnet-n", "toys:moments", "stillnet-n"]
    found = load_teacher(specs, weights=[one, three, two], classes=CLASSES)
    assert found.fingerprint == Ensemble(alone).fingerprint
    fewer = load_teacher(specs, weights=[one, two], classes=CLASSES)  # the callable has its own
    alone[1] = load_teacher("toys:moments", classes=CLASSES)
    assert fewer.fingerprint == Ensemble(alone).fingerprint


@pytest.mark.parametrize(
    ("specs", "files", "expected"),
    [
        (["gdanet"], ["a"], ["a"]),
        (["toys:f"], [], [None]),
        (["run", "gdanet", "m.onnx"], ["a"], [None, "a", None]),
        (["gdanet", "x:y", "pointnet"], ["a", "b"], ["a", None, "b"]),
        (["gdanet", "x:y"], ["a", "b"], ["a", "b"]),
    ],
)
def test_sharing(specs: list[str], files: list[str], expected: list[str | None]) -> None:
    found = share_weights(specs, files)
    assert [file and str(file) for file in found] == expected


@pytest.mark.parametrize(
    ("specs", "files"),
    [(["run"], ["a"]), (["gdanet"], ["a", "b"]), (["gdanet", "x:y", "pointnet"], ["a"])],
)
def test_weights_that_do_not_go_round(specs: list[str], files: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{len(files)} --weights for {len(specs)} teachers"):
        share_weights(specs, files)


def test_interfaces_of_several_are_refused() -> None:
    specs = ["toys:moments", "toys:ready"]
    for option in ({"axes": "x,z,y"}, {"layout": "bn3"}, {"class_names": CLASSES}):
        with pytest.raises(UsageError, match=r"2 teachers would share .*: describe each"):
            load_teacher(specs, classes=CLASSES, **option)
    with pytest.raises(UsageError, match="needs several teachers"):
        load_teacher("toys:moments", classes=CLASSES, ensemble_weights=[1])
    with pytest.raises(UsageError, match="no teacher is named"):
        load_teacher([], classes=CLASSES)
    with pytest.raises(UsageError, match="no teacher is named"):
        load_teacher("", classes=CLASSES)
