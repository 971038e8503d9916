"""NWSD's form contrast against loops in plain Python, and the claims made about it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pointstill.errors import TrainingError
from pointstill.losses import LOSSES, nwsd
from pointstill.losses.options import KDOptions, NWSDOptions
from pointstill.losses.targets import Targets

CLASSES = 6


def batch(seed: int = 0, samples: int = 8) -> tuple[Tensor, Targets]:
    draw = torch.Generator().manual_seed(seed)
    z, teacher, past = 3 * torch.randn(3, samples, CLASSES, generator=draw, dtype=torch.float64)
    return z, Targets(torch.randint(CLASSES, (samples,), generator=draw), teacher, past)


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def aimed_at(
    teacher: list[float], past: list[float], push: float, temperature: float
) -> list[float]:
    p = softmax(teacher, temperature)
    aim = [
        math.exp(((1 + push) * teacher[c] - push * past[c]) / temperature)
        if p[c] >= 0.1 * max(p)
        else 0.0
        for c in range(CLASSES)
    ]
    return [each / sum(aim) for each in aim]


@pytest.mark.parametrize("push", [0.25, 0.5, 1.0, -0.5])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("past", ["snapshot", "none"])
def test_equals_the_loop(push: float, temperature: float, past: str) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    options = NWSDOptions(  # type: ignore[arg-type]
        form="contrast", push=push, temperature=temperature, alpha=0.7, smoothing=0.1, past=past
    )
    pasts = targets.past.tolist() if past != "none" else [[0.0] * CLASSES] * len(z)
    expected = 0.0
    for own, teacher, before in zip(z.tolist(), targets.teacher.tolist(), pasts, strict=True):
        t, q = aimed_at(teacher, before, push, temperature), softmax(own, temperature)
        kl = sum(a * math.log(a / b) for a, b in zip(t, q, strict=True) if a > 0)
        expected += 0.7 * temperature**2 * kl / len(z)
    ce = torch.nn.functional.cross_entropy(z, targets.labels, label_smoothing=0.1).item()
    given = replace(targets, past=None) if past == "none" else targets
    actual = LOSSES["nwsd"].parts(z, given, options)
    assert actual["loss"].item() == pytest.approx(ce + expected, abs=1e-9)


def test_without_a_past_it_is_kd() -> None:
    z, targets = batch()
    absent = replace(targets, past=torch.full_like(z, float("nan")))
    actual = LOSSES["nwsd"].parts(z, absent, NWSDOptions(form="contrast"))
    expected = LOSSES["kd"].parts(z, targets, KDOptions())
    torch.testing.assert_close(actual["loss"], expected["loss"])


def test_a_push_of_nothing_keeps_the_mask() -> None:
    """With w = 0 the target is p without its unlikely classes, whatever the past says."""
    z, targets = batch()
    options = NWSDOptions(form="contrast", push=0.0, temperature=1.0)
    assert targets.teacher is not None
    assert targets.past is not None
    push = torch.zeros(len(z))
    t, left_out = nwsd.contrasted_target(targets.teacher, targets.past, push, options)
    p = targets.teacher.softmax(1)
    assert torch.equal(left_out, p < 0.1 * p.amax(1, keepdim=True))
    kept = p.masked_fill(left_out, 0)
    torch.testing.assert_close(t, kept / kept.sum(1, keepdim=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_ruled_out_classes_and_huge_logits_stay_finite(dtype: torch.dtype) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    teacher, past = 1e3 * targets.teacher, 1e3 * targets.past
    teacher[:, 0], past[:, 1], past[0, 2:] = -math.inf, -math.inf, -math.inf
    hard = Targets(targets.labels, teacher.to(dtype), past.to(dtype))
    own = z.clone().requires_grad_()
    parts = LOSSES["nwsd"].parts(own, hard, NWSDOptions(form="contrast"))
    parts["loss"].backward()
    assert own.grad is not None
    assert own.grad.isfinite().all()
    assert all(part.isfinite() for name, part in parts.items() if name != "kl_past")


def test_the_logits_do_not_run_away() -> None:
    """The target is a distribution: plain descent comes to rest at it, for a push of any size."""
    z, targets = batch()
    own = z.clone().requires_grad_()
    options = NWSDOptions(form="contrast", push=1.0, labels=0.0, temperature=1.0)
    optimizer = torch.optim.SGD([own], lr=4.0)
    for _ in range(3000):
        optimizer.zero_grad()
        LOSSES["nwsd"].parts(own, targets, options)["loss"].backward()
        optimizer.step()
    assert own.detach().abs().max() < 40
    assert targets.teacher is not None
    assert targets.past is not None
    t, _ = nwsd.contrasted_target(targets.teacher, targets.past, torch.ones(len(z)), options)
    torch.testing.assert_close(own.softmax(1).detach(), t, atol=5e-3, rtol=0)


def test_a_past_is_wanted_but_where_it_is_none() -> None:
    z, targets = batch()
    nowhere = replace(targets, past=None)
    with pytest.raises(TrainingError, match="needs the logits of the past"):
        LOSSES["nwsd"].parts(z, nowhere, NWSDOptions(form="contrast"))
    assert NWSDOptions(form="contrast").wants_past(0.0)
    assert not NWSDOptions(form="contrast", past="none").wants_past(0.5)
