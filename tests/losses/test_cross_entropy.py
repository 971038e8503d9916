"""Cross-entropy against a loop in plain Python."""

import math

import pytest
import torch
from torch import Tensor

from pointstill.losses import LOSSES
from pointstill.losses.cross_entropy import cross_entropy, smoothed
from pointstill.losses.options import LabelOptions
from pointstill.losses.targets import Targets


def oracle(logits: list[float], label: int, smoothing: float) -> float:
    """-sum_c y_c log softmax(logits)_c, the long way."""
    total = sum(math.exp(z) for z in logits)
    loss = 0.0
    for c, z in enumerate(logits):
        target = smoothing / len(logits) + (1 - smoothing if c == label else 0)
        loss -= target * math.log(math.exp(z) / total)
    return loss


def batch(seed: int = 0, samples: int = 5, classes: int = 7) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(samples, classes, generator=draw, dtype=torch.float64)
    return logits, torch.randint(classes, (samples,), generator=draw)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.2, 0.9])
def test_equals_the_loop(smoothing: float) -> None:
    logits, labels = batch()
    expected = [
        oracle(row, int(y), smoothing) for row, y in zip(logits.tolist(), labels, strict=True)
    ]
    assert cross_entropy(logits, labels, smoothing).tolist() == pytest.approx(expected, abs=1e-9)
    parts = LOSSES["ce"].parts(logits, Targets(labels), LabelOptions(smoothing=smoothing))
    assert parts["loss"].item() == pytest.approx(sum(expected) / len(expected), abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_torch(smoothing: float) -> None:
    logits, labels = batch(1)
    expected = torch.nn.functional.cross_entropy(
        logits, labels, label_smoothing=smoothing, reduction="none"
    )
    torch.testing.assert_close(cross_entropy(logits, labels, smoothing), expected)


def test_smoothed_labels_by_hand() -> None:
    target = smoothed(torch.tensor([2, 0]), torch.empty(2, 5, dtype=torch.float64), 0.5)
    assert target[0].tolist() == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1])
    assert target.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_gradient() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, labels, 0.1), logits)
    parts = LOSSES["ce"].parts(logits, Targets(labels), LabelOptions())
    (gradient,) = torch.autograd.grad(parts["loss"], logits)
    expected = (logits.softmax(1) - torch.eye(7, dtype=torch.float64)[labels]) / len(labels)
    torch.testing.assert_close(gradient, expected.detach(), atol=1e-9, rtol=0)


def test_parts() -> None:
    logits, labels = batch()
    logits[2, 3] = -50.0
    logits.requires_grad_()
    parts = LOSSES["ce"].parts(logits, Targets(labels), LabelOptions())
    assert set(parts) == {"loss", "ce", "max_logit"}
    assert all(part.shape == () for part in parts.values())
    assert [name for name, part in parts.items() if part.requires_grad] == ["loss"]
    assert parts["ce"].item() == parts["loss"].item()
    assert parts["max_logit"].item() == 50


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype: torch.dtype) -> None:
    logits, labels = batch()
    loss = cross_entropy(logits.to(dtype), labels, 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(logits.to(dtype).float(), labels, 0.2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_extreme_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0], [-1e4, -1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1, 2]), 0.1).mean()
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
