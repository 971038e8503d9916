"""Knowledge distillation against loops in plain Python, and against torch."""

import math

import pytest
import torch
from torch import Tensor

from pointstill.errors import TrainingError
from pointstill.losses import LOSSES, kd
from pointstill.losses.options import KDOptions
from pointstill.losses.targets import Targets

CLASSES = 6


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def oracle(student: list[float], teacher: list[float], temperature: float) -> float:
    """KL(p || q) of one sample, the long way."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    return sum(p_c * math.log(p_c / q_c) for p_c, q_c in zip(p, q, strict=True))


def batch(seed: int = 0, samples: int = 4) -> tuple[Tensor, Targets]:
    draw = torch.Generator().manual_seed(seed)
    student, teacher = 3 * torch.randn(2, samples, CLASSES, generator=draw, dtype=torch.float64)
    labels = torch.randint(CLASSES, (samples,), generator=draw)
    return student, Targets(labels, teacher)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 10.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 5.0])
def test_equals_the_loop(temperature: float, alpha: float) -> None:
    student, targets = batch()
    assert targets.teacher is not None
    rows = zip(student.tolist(), targets.teacher.tolist(), strict=True)
    expected = [oracle(z, t, temperature) for z, t in rows]
    actual = kd.divergence(student, targets.teacher, temperature)
    assert actual.tolist() == pytest.approx(expected, abs=1e-9)

    options = KDOptions(alpha=alpha, temperature=temperature, smoothing=0.2)
    parts = LOSSES["kd"].parts(student, targets, options)
    mean = temperature**2 * sum(expected) / len(expected)
    assert parts["kd"].item() == pytest.approx(mean, abs=1e-9)
    ce = torch.nn.functional.cross_entropy(student, targets.labels, label_smoothing=0.2).item()
    assert parts["ce"].item() == pytest.approx(ce, abs=1e-9)
    assert parts["loss"].item() == pytest.approx(ce + alpha * mean, abs=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_equals_torch(temperature: float) -> None:
    student, targets = batch(1)
    assert targets.teacher is not None
    expected = torch.nn.functional.kl_div(
        (student / temperature).log_softmax(1),
        (targets.teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    actual = kd.divergence(student, targets.teacher, temperature).mean()
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0)


def test_is_not_divided_by_the_classes() -> None:
    """The same distributions over twice as many classes, half of them empty, cost the same."""
    student, targets = batch()
    assert targets.teacher is not None
    empty = torch.full_like(student, -1e3)
    wide = kd.divergence(
        torch.cat([student, empty], 1), torch.cat([targets.teacher, empty], 1), temperature=1.0
    )
    torch.testing.assert_close(wide, kd.divergence(student, targets.teacher, temperature=1.0))


def test_log_probabilities_are_as_good_as_logits() -> None:
    student, targets = batch()
    assert targets.teacher is not None
    expected = kd.divergence(student, targets.teacher, 4.0)
    shift = torch.tensor([[-7.0], [0.0], [3.0], [100.0]])
    for same in (targets.teacher.log_softmax(1), targets.teacher + shift):
        torch.testing.assert_close(kd.divergence(student, same, 4.0), expected)
        torch.testing.assert_close(kd.divergence(student + shift, same, 4.0), expected)


def test_gradient() -> None:
    student, targets = batch()
    assert targets.teacher is not None
    student.requires_grad_()
    targets.teacher.requires_grad_()
    options = KDOptions(alpha=0.7, temperature=3.0)

    def loss(logits: Tensor) -> Tensor:
        return LOSSES["kd"].parts(logits, targets, options)["loss"]

    assert torch.autograd.gradcheck(loss, student)
    loss(student).backward()
    assert targets.teacher.grad is None
    q1, q = student.softmax(1), (student / 3).softmax(1)
    y = torch.eye(CLASSES, dtype=torch.float64)[targets.labels]
    expected = (q1 - y + 0.7 * 3 * (q - (targets.teacher / 3).softmax(1))) / len(student)
    torch.testing.assert_close(student.grad, expected.detach(), atol=1e-9, rtol=0)


def test_parts() -> None:
    student, _ = batch()
    teacher = student.clone()
    teacher[0] = -teacher[0]  # one of four names another class
    student.requires_grad_()
    parts = LOSSES["kd"].parts(student, Targets(student.argmax(1), teacher), KDOptions())
    assert set(parts) == {"loss", "ce", "kd", "agreement", "max_logit"}
    assert all(part.shape == () for part in parts.values())
    assert [name for name, part in parts.items() if part.requires_grad] == ["loss"]
    assert parts["agreement"].item() == 0.75
    assert parts["max_logit"].item() == student.abs().max().item()


def test_refuses_targets_without_a_teacher() -> None:
    student, targets = batch()
    with pytest.raises(TrainingError, match="logits of the teacher"):
        LOSSES["kd"].parts(student, Targets(targets.labels), KDOptions())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype: torch.dtype) -> None:
    student, targets = batch()
    assert targets.teacher is not None
    student, teacher = student.to(dtype), targets.teacher.half()
    actual = kd.divergence(student, teacher, 4.0)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, kd.divergence(student.float(), teacher.float(), 4.0))


def test_extreme_logits_and_ruled_out_classes_stay_finite() -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [0.0, -torch.inf, 0.0]]).half()
    targets = Targets(torch.tensor([0, 1]), teacher)
    loss = LOSSES["kd"].parts(student, targets, KDOptions(temperature=1.0))["loss"]
    loss.backward()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
