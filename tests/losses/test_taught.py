"""DKD, NKD, DIST and MSE against loops in plain Python, and what is common to them and KD."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pointstill.errors import TrainingError, UsageError
from pointstill.losses import LOSSES, kd
from pointstill.losses.options import (
    DISTOptions,
    DKDOptions,
    KDOptions,
    MSEOptions,
    NKDOptions,
    NWSDOptions,
    TaughtOptions,
)
from pointstill.losses.targets import UNLABELLED, Targets

CLASSES = 5
TAUGHT = [name for name, loss in LOSSES.items() if issubclass(loss.options, TaughtOptions)]
Row = list[float]


def batch(seed: int = 0, samples: int = 6) -> tuple[Tensor, Targets]:
    draw = torch.Generator().manual_seed(seed)
    z, teacher, past = 3 * torch.randn(3, samples, CLASSES, generator=draw, dtype=torch.float64)
    return z, Targets(torch.randint(CLASSES, (samples,), generator=draw), teacher, past)


def softmax(logits: Row, temperature: float = 1.0) -> Row:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def kl(p: Row, q: Row) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def others(p: Row, label: int) -> Row:
    rest = [value for place, value in enumerate(p) if place != label]
    return [value / sum(rest) for value in rest]


def dkd(z: Row, t: Row, y: int, o: DKDOptions) -> float:
    q, p = softmax(z, o.temperature), softmax(t, o.temperature)
    target = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
    rest = kl(others(p, y), others(q, y))
    return o.temperature**2 * (o.alpha * target + o.non_target * rest)


def nkd(z: Row, t: Row, y: int, o: NKDOptions) -> float:
    q, p = others(softmax(z, o.temperature), y), others(softmax(t, o.temperature), y)
    rest = -sum(a * math.log(b) for a, b in zip(p, q, strict=True))
    target = -softmax(t)[y] * math.log(softmax(z)[y])
    return o.alpha * target + o.non_target * o.temperature**2 * rest


def mse(z: Row, t: Row, y: int, o: MSEOptions) -> float:
    shift = sum(a - b for a, b in zip(z, t, strict=True)) / CLASSES
    return o.alpha * sum((a - b - shift) ** 2 for a, b in zip(z, t, strict=True)) / CLASSES


def pearson(a: Row, b: Row) -> float:
    a, b = ([each - sum(row) / len(row) for each in row] for row in (a, b))
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        ("dkd", DKDOptions(), dkd),
        ("dkd", DKDOptions(alpha=0.3, non_target=0.5, temperature=1.0, smoothing=0.1), dkd),
        ("nkd", NKDOptions(), nkd),
        ("nkd", NKDOptions(alpha=2.0, non_target=0.7, temperature=3.0, labels=0.2), nkd),
        ("mse", MSEOptions(), mse),
        ("mse", MSEOptions(alpha=0.1, labels=0.0), mse),
    ],
)
def test_equals_the_loop(name: str, options: Any, oracle: Callable[..., float]) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    rows = zip(z.tolist(), targets.teacher.tolist(), targets.labels.tolist(), strict=True)
    expected = sum(oracle(*row, options) for row in rows) / len(z)
    ce = torch.nn.functional.cross_entropy(
        z, targets.labels, label_smoothing=options.smoothing
    ).item()
    actual = LOSSES[name].parts(z, targets, options)
    assert actual["loss"].item() == pytest.approx(options.labels * ce + expected, abs=1e-9)
    assert actual["ce"].item() == pytest.approx(ce, abs=1e-9)
    assert actual[name].item() * getattr(options, "alpha", 1.0) == pytest.approx(
        expected if name == "mse" else expected * getattr(options, "alpha", 1.0), abs=1e-9
    )


@pytest.mark.parametrize("options", [DISTOptions(), DISTOptions(inter=1.0, temperature=4.0)])
def test_dist_equals_the_loop(options: DISTOptions) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    q = [softmax(row, options.temperature) for row in z.tolist()]
    p = [softmax(row, options.temperature) for row in targets.teacher.tolist()]
    inter = sum(1 - pearson(a, b) for a, b in zip(q, p, strict=True)) / len(q)
    columns = zip(zip(*q, strict=True), zip(*p, strict=True), strict=True)
    intra = sum(1 - pearson(list(a), list(b)) for a, b in columns) / CLASSES
    expected = options.temperature**2 * (options.inter * inter + options.intra * intra)
    actual = LOSSES["dist"].parts(z, targets, options)
    # The norms are kept from 0 by 1e-8.
    assert actual["dist"].item() == pytest.approx(expected, abs=1e-5)


def test_dkd_is_kd_where_the_weights_are_its_own() -> None:
    """Equation 6 of the paper: KD = target + (1 - p_y) others."""
    z, targets = batch(samples=1)
    assert targets.teacher is not None
    y = targets.labels.item()
    rest = 1 - kd.log_soft(targets.teacher, 4.0).exp()[0, int(y)].item()
    decoupled = LOSSES["dkd"].parts(z, targets, DKDOptions(non_target=rest))
    whole = LOSSES["kd"].parts(z, targets, KDOptions())
    assert decoupled["loss"].item() == pytest.approx(whole["loss"].item(), abs=1e-9)


def test_mse_is_the_limit_of_kd() -> None:
    z, targets = batch()
    hot = LOSSES["kd"].parts(z, targets, KDOptions(temperature=1e4, labels=0.0))
    squared = LOSSES["mse"].parts(z, targets, MSEOptions(alpha=0.5, labels=0.0))
    assert hot["loss"].item() == pytest.approx(squared["loss"].item(), rel=1e-3)


def test_dkd_rises_from_nothing() -> None:
    z, targets = batch()
    at = {
        progress: LOSSES["dkd"]
        .parts(z, replace(targets, progress=progress), DKDOptions(labels=0.0))["loss"]
        .item()
        for progress in (None, 0.0, 0.083 / 2, 0.083, 1.0)
    }
    assert at[0.0] == 0
    assert at[0.083 / 2] == pytest.approx(at[None] / 2)
    assert at[0.083] == pytest.approx(at[1.0]) == pytest.approx(at[None])


@pytest.mark.parametrize("name", TAUGHT)
def test_without_a_teacher_it_is_refused(name: str) -> None:
    z, targets = batch()
    with pytest.raises(TrainingError, match="needs the logits of the teacher"):
        LOSSES[name].parts(z, replace(targets, teacher=None), LOSSES[name].options())


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("standardise", [False, True])
def test_a_teacher_shifted_by_a_constant_is_the_same_teacher(name: str, standardise: bool) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    options = LOSSES[name].options(standardise=standardise)
    shifted = replace(targets, teacher=targets.teacher + 7)
    torch.testing.assert_close(
        LOSSES[name].parts(z, targets, options)["loss"],
        LOSSES[name].parts(z, shifted, options)["loss"],
    )


@pytest.mark.parametrize("name", TAUGHT)
def test_gradcheck(name: str) -> None:
    z, targets = batch(samples=3)
    for standardise in (False, True):
        options = LOSSES[name].options(standardise=standardise)
        assert torch.autograd.gradcheck(
            lambda z, name=name, options=options: LOSSES[name].parts(z, targets, options)["loss"],
            (z.clone().requires_grad_(),),
        )


@pytest.mark.parametrize("name", TAUGHT)
def test_standardised_logits_have_no_size(name: str) -> None:
    """Sun et al. 2024: logits of student and teacher may each be of any size and place."""
    z, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    options = LOSSES[name].options(standardise=True, labels=0.0)
    larger = replace(targets, teacher=3 * targets.teacher - 1, past=2 * targets.past)
    torch.testing.assert_close(
        LOSSES[name].parts(z, targets, options)["loss"],
        LOSSES[name].parts(5 * z + 2, larger, options)["loss"],
        rtol=1e-5,
        atol=1e-6,
    )


def test_standardised_kd_equals_the_loop() -> None:
    z, targets = batch()
    assert targets.teacher is not None

    def scored(row: Row) -> Row:
        mean = sum(row) / CLASSES
        spread = math.sqrt(sum((each - mean) ** 2 for each in row) / CLASSES)
        return [(each - mean) / spread for each in row]

    rows = zip(z.tolist(), targets.teacher.tolist(), strict=True)
    expected = sum(4 * kl(softmax(scored(t), 2), softmax(scored(s), 2)) for s, t in rows) / len(z)
    options = KDOptions(standardise=True, temperature=2.0, alpha=9.0, labels=0.1)
    actual = LOSSES["kd"].parts(z, targets, options)
    assert actual["kd"].item() == pytest.approx(expected, abs=1e-6)
    ce = torch.nn.functional.cross_entropy(z, targets.labels).item()
    assert actual["loss"].item() == pytest.approx(0.1 * ce + 9 * expected, abs=1e-5)


@pytest.mark.parametrize("name", TAUGHT)
def test_a_sample_without_a_label_has_its_teacher_alone(name: str) -> None:
    z, targets = batch()
    some = targets.labels.clone()
    some[1::2] = UNLABELLED
    options = LOSSES[name].options(smoothing=0.1)
    with_some = LOSSES[name].parts(z, replace(targets, labels=some), options)
    ce = torch.nn.functional.cross_entropy(
        z[::2], targets.labels[::2], label_smoothing=0.1, reduction="sum"
    )
    assert with_some["ce"].item() == pytest.approx(ce.item() / len(z))
    none = replace(targets, labels=torch.full_like(some, UNLABELLED))
    without = LOSSES[name].parts(z, none, options)
    assert without["ce"].item() == 0
    assert without["loss"].isfinite()
    # Where the teacher names the label, having it or not is the same to the teacher's part.
    assert targets.teacher is not None
    named = replace(targets, labels=targets.teacher.argmax(1))
    alone = LOSSES[name].options(smoothing=0.1, labels=0.0)
    torch.testing.assert_close(
        LOSSES[name].parts(z, named, alone)["loss"], LOSSES[name].parts(z, none, alone)["loss"]
    )


@pytest.mark.parametrize("name", TAUGHT)
def test_no_weight_of_the_labels_is_no_label(name: str) -> None:
    z, targets = batch()
    options = LOSSES[name].options(labels=0.0)
    doubled = LOSSES[name].options(labels=2.0)
    none, two = (LOSSES[name].parts(z, targets, each) for each in (options, doubled))
    assert (two["loss"] - none["loss"]).item() == pytest.approx(2 * two["ce"].item())


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(name: str, dtype: torch.dtype) -> None:
    z, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    half = replace(targets, teacher=targets.teacher.to(dtype), past=targets.past.to(dtype))
    actual = LOSSES[name].parts(z.to(dtype), half, LOSSES[name].options())
    assert actual["loss"].dtype == torch.float32
    assert actual["loss"].isfinite()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (lambda: KDOptions(labels=-1.0), "labels is -1.0"),
        (lambda: DKDOptions(non_target=-1.0), "non_target is -1.0"),
        (lambda: DKDOptions(ramp=2.0), "ramp is 2.0"),
        (lambda: NKDOptions(non_target=-1.0), "non_target is -1.0"),
        (lambda: DISTOptions(inter=-1.0), "inter is -1.0"),
        (lambda: DISTOptions(temperature=0.0), "temperature is 0.0"),
        (lambda: MSEOptions(alpha=-1.0), "alpha is -1.0"),
        (lambda: NWSDOptions(form="contrast", push=-1.0), "push is -1.0"),
        (lambda: NWSDOptions(form="contrast", beta=0.2), "beta is not used by form contrast"),
        (lambda: NWSDOptions(push=0.2), "push is not used by form floor"),
        (lambda: NWSDOptions(past="none"), "past is none, and form floor"),
    ],
)
def test_refused_options(options: Callable[[], Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        options()
