"""Every form of NWSD against loops in plain Python, and the claims made about each."""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from pointstill.errors import TrainingError
from pointstill.losses import LOSSES, nwsd
from pointstill.losses.options import Form, NWSDOptions, PastOptions
from pointstill.losses.targets import Targets

FORMS = [form for form in get_args(Form) if form != "contrast"]  # which has no beta
SETTINGS = [  # alpha, beta, T, smoothing
    (1.0, 0.1, 4.0, 0.0),
    (1.0, 0.5, 4.0, 0.2),
    (1.0, 0.05, 1.0, 0.0),
    (2.0, 1.5, 1.0, 0.1),
    (0.7, 0.3, 2.0, 0.2),
    (1.0, 0.0, 4.0, 0.0),
    (1.0, -0.4, 4.0, 0.1),
    (0.0, -0.5, 2.0, 0.0),
]
CLASSES = 6


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(p[c] * math.log(p[c] / q[c]) for c in range(len(p)) if p[c] > 0)


def smoothed(label: int, smoothing: float) -> list[float]:
    return [smoothing / CLASSES + (1 - smoothing if c == label else 0.0) for c in range(CLASSES)]


def oracle(
    z: list[float], label: int, teacher: list[float], past: list[float], options: NWSDOptions
) -> tuple[float, float, bool]:
    """Loss, repulsion and whether it was limited, of one sample, the long way."""
    alpha, beta, temperature = options.alpha, options.beta, options.temperature
    y = smoothed(label, options.smoothing)
    p, q, s = (softmax(logits, temperature) for logits in (teacher, z, past))
    ce = -sum(y[c] * math.log(softmax(z, 1)[c]) for c in range(CLASSES))
    kd = ce + alpha * temperature**2 * kl(p, q)
    repulsion, limited = temperature**2 * kl(s, q), False
    match options.form:
        case "raw":
            loss = kd - beta * repulsion
        case "guard":
            # Binary search for the largest bounded weight, straight from the two conditions.
            low, high = 0.0, 1e6
            for _ in range(200):
                middle = (low + high) / 2
                if holds(p, s, y, alpha, middle, temperature):
                    low = middle
                else:
                    high = middle
            limited = 0.9 * low < beta
            loss = kd - (0.9 * low if limited else beta) * repulsion
        case "floor":
            aims = []
            for c in range(CLASSES):
                aims.append(max(alpha * p[c] - beta * s[c], 0.1 * alpha * p[c]))
                limited = limited or alpha * p[c] - beta * s[c] < 0.1 * alpha * p[c]
            t = [aim / sum(aims) for aim in aims] if sum(aims) else p
            loss = ce + (alpha - beta) * temperature**2 * kl(t, q)
        case "js":
            m = [(s[c] + q[c]) / 2 for c in range(CLASSES)]
            repulsion = temperature**2 * (kl(s, m) + kl(q, m)) / 2
            loss = kd - beta * repulsion
        case "reverse":
            repulsion = temperature**2 * kl(q, [0.9 * s_c + 0.1 / CLASSES for s_c in s])
            loss = kd - beta * repulsion
        case "hinge":
            limited = kl(s, q) > 0.5 and beta > 0
            repulsion = temperature**2 * 0.5 if limited else repulsion
            loss = kd - beta * repulsion
    return loss, repulsion, limited


def holds(
    p: list[float], s: list[float], y: list[float], alpha: float, beta: float, temperature: float
) -> bool:
    """Whether a loss of weight beta is bounded below."""
    return all(y[c] + temperature * (alpha * p[c] - beta * s[c]) >= 0 for c in range(len(p)))


def batch(seed: int = 0, samples: int = 8, spread: float = 3.0) -> tuple[Tensor, Targets]:
    draw = torch.Generator().manual_seed(seed)
    student, teacher, past = spread * torch.randn(
        3, samples, CLASSES, generator=draw, dtype=torch.float64
    )
    return student, Targets(torch.randint(CLASSES, (samples,), generator=draw), teacher, past)


def gradient(logits: Tensor, targets: Targets, options: NWSDOptions) -> Tensor:
    logits = logits.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(nwsd.parts(logits, targets, options)["loss"], logits)
    return result


def soft(targets: Targets, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    assert targets.teacher is not None
    assert targets.past is not None
    y = torch.eye(CLASSES, dtype=torch.float64)[targets.labels]
    return (targets.teacher / temperature).softmax(1), (targets.past / temperature).softmax(1), y


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("alpha", "beta", "temperature", "smoothing"), SETTINGS)
def test_equals_the_loop(
    form: Form, alpha: float, beta: float, temperature: float, smoothing: float
) -> None:
    options = NWSDOptions(
        form=form, alpha=alpha, beta=beta, temperature=temperature, smoothing=smoothing
    )
    student, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    rows = (student.tolist(), targets.labels, targets.teacher.tolist(), targets.past.tolist())
    expected = [oracle(z, int(y), t, s, options) for z, y, t, s in zip(*rows, strict=True)]
    losses, repulsions, limited = zip(*expected, strict=True)
    parts = nwsd.parts(student, targets, options)
    assert parts["loss"].item() == pytest.approx(sum(losses) / 8, abs=1e-9)
    assert parts["repulsion"].item() == pytest.approx(sum(repulsions) / 8, abs=1e-9)
    assert parts["floored"].item() == sum(limited) / 8


def test_the_batch_above_meets_every_branch() -> None:
    student, targets = batch()
    for form in ("guard", "floor", "hinge"):
        fraction = nwsd.parts(student, targets, NWSDOptions(form=form, temperature=2.0))["floored"]
        assert 0 < fraction < 1


@pytest.mark.parametrize(("alpha", "beta", "temperature", "smoothing"), SETTINGS)
def test_gradient_of_raw(alpha: float, beta: float, temperature: float, smoothing: float) -> None:
    """(q1 - y) + T [(alpha - beta) q - (alpha p - beta s)], a mean over the batch."""
    options = NWSDOptions(
        form="raw", alpha=alpha, beta=beta, temperature=temperature, smoothing=smoothing
    )
    student, targets = batch()
    p, s, y = soft(targets, temperature)
    y = (1 - smoothing) * y + smoothing / CLASSES
    q1, q = student.softmax(1), (student / temperature).softmax(1)
    expected = q1 - y + temperature * ((alpha - beta) * q - (alpha * p - beta * s))
    actual = gradient(student, targets, options)
    torch.testing.assert_close(actual, expected / len(student), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("alpha", "beta", "temperature"), [(1, 0.1, 4), (1, 0.3, 8), (2, -1, 1), (1, 0, 2), (0, -1, 3)]
)
def test_floor_and_guard_have_the_gradient_of_raw_where_they_change_nothing(
    alpha: float, beta: float, temperature: float
) -> None:
    options = NWSDOptions(alpha=alpha, beta=beta, temperature=temperature)
    student, targets = batch(spread=1.0)
    expected = gradient(student, targets, replace(options, form="raw"))
    for form in ("floor", "guard"):
        changed = replace(options, form=form)
        assert nwsd.parts(student, targets, changed)["floored"] == 0
        actual = gradient(student, targets, changed)
        torch.testing.assert_close(actual, expected, atol=1e-9, rtol=0)


def test_gradient_of_floor_where_it_floors() -> None:
    options = NWSDOptions(alpha=1, beta=0.6, temperature=2)
    student, targets = batch()
    p, s, y = soft(targets, 2)
    t = torch.maximum(p - 0.6 * s, 0.1 * p)
    assert (t.sum(1) > 0.4 + 1e-3).any()
    q1, q = student.softmax(1), (student / 2).softmax(1)
    expected = q1 - y + 2 * 0.4 * (q - t / t.sum(1, keepdim=True))
    actual = gradient(student, targets, options)
    torch.testing.assert_close(actual, expected / len(student), atol=1e-9, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: Form) -> None:
    student, targets = batch(samples=3)
    student.requires_grad_()
    options = NWSDOptions(form=form, beta=0.3, temperature=3.0, smoothing=0.1)
    assert torch.autograd.gradcheck(lambda z: nwsd.parts(z, targets, options)["loss"], student)


@pytest.mark.parametrize("form", FORMS)
def test_targets_take_no_gradient(form: Form) -> None:
    student, targets = batch()
    for tensor in (student, targets.teacher, targets.past):
        assert tensor is not None
        tensor.requires_grad_()
    nwsd.parts(student, targets, NWSDOptions(form=form))["loss"].backward()
    assert targets.teacher is not None
    assert targets.past is not None
    assert targets.teacher.grad is None
    assert targets.past.grad is None


@pytest.mark.parametrize("form", FORMS)
def test_is_kd_without_beta(form: Form) -> None:
    student, targets = batch()
    options = NWSDOptions(form=form, beta=0.0, smoothing=0.1)
    expected = LOSSES["kd"].parts(student, targets, options)
    actual = nwsd.parts(student, targets, options)
    for name, part in expected.items():
        torch.testing.assert_close(actual[name], part, atol=1e-12, rtol=0)
    without = nwsd.parts(student, replace(targets, past=None), options)
    assert without.items() >= expected.items()
    assert without.keys() == actual.keys()
    assert without["repulsion"] == without["floored"] == without["kl_past"] == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_sample_without_a_past_is_not_pushed(form: Form) -> None:
    """Its gradient is that of KD, to the last bit of a double; the others' is what it was."""
    student, targets = batch(spread=8.0)
    assert targets.past is not None
    options = NWSDOptions(form=form, beta=0.3, temperature=1.0)
    absent = torch.arange(len(student)) % 2 == 0
    past = torch.where(absent[:, None], torch.nan, targets.past)
    pushed, kd = (gradient(student, targets, replace(options, beta=b)) for b in (0.3, 0.0))
    actual = gradient(student, replace(targets, past=past), options)
    torch.testing.assert_close(actual, torch.where(absent[:, None], kd, pushed), rtol=0, atol=1e-15)
    parts = nwsd.parts(student, replace(targets, past=past), options)
    assert all(part.isfinite() for part in parts.values())


@pytest.mark.parametrize("form", ["guard", "floor", "hinge"])
def test_a_pull_towards_the_past_is_never_limited(form: Form) -> None:
    student, targets = batch()
    options = NWSDOptions(form=form, beta=-0.7, temperature=1.0)
    assert nwsd.parts(student, targets, options)["floored"] == 0
    expected = gradient(student, targets, replace(options, form="raw"))
    actual = gradient(student, targets, options)
    torch.testing.assert_close(actual, expected, atol=1e-9, rtol=0)


def test_the_present_student_as_its_own_past_gives_the_gradient_of_kd() -> None:
    student, targets = batch()
    own = replace(targets, past=student)
    expected = gradient(student, targets, NWSDOptions(form="raw", beta=0.0))
    torch.testing.assert_close(gradient(student, own, NWSDOptions(form="raw", beta=0.9)), expected)


def test_without_anything_to_distil_floor_is_cross_entropy() -> None:
    student, targets = batch()
    options = NWSDOptions()
    for name in ("alpha", "beta"):  # which would be refused
        object.__setattr__(options, name, 0.0)
    actual = nwsd.parts(student, targets, options)
    torch.testing.assert_close(actual["loss"].detach(), actual["ce"])


@pytest.mark.parametrize(("form", "limit"), [("js", math.log(2)), ("reverse", math.log(60))])
def test_bounded_distances(form: Form, limit: float) -> None:
    _, targets = batch(spread=10.0)
    options = NWSDOptions(form=form, temperature=1.0)
    for scale in (1.0, 1e2, 1e4):
        student = scale * batch(seed=3)[0]
        terms = nwsd.FORMS[form](student, targets, torch.full((8,), options.beta), options)
        assert (terms.repulsion <= limit + 1e-9).all()
        assert (terms.repulsion >= -1e-12).all()


def test_hinge_stops_pushing_beyond_its_margin() -> None:
    student, targets = batch()
    options = NWSDOptions(form="hinge", beta=0.4, temperature=2.0)
    far = nwsd.hinge(student, targets, torch.full((8,), 0.4), options).limited
    assert 0 < far.sum() < len(far)
    held = gradient(student, targets, options)
    raw = gradient(student, targets, replace(options, form="raw"))
    kd = gradient(student, targets, replace(options, beta=0.0))
    torch.testing.assert_close(held, torch.where(far[:, None], kd, raw))


def test_schedule() -> None:
    times = [0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8, 0.85, 0.9, 1]
    rises = [0, 0, 0, 0.25, 0.5, 1, 1, 1, 0.75, 0.5, 0]
    for beta in (0.1, 0.5, -0.3):
        expected = [beta * rise for rise in rises]
        options = NWSDOptions(beta=beta)
        assert [options.beta_at(t) for t in times] == pytest.approx(expected)
        assert [options.wants_past(t) for t in times] == [rise > 0 for rise in rises]
    assert NWSDOptions(beta=0.1).beta_at(0.5) == 0.1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("progress", "beta"), [(0.1, 0.0), (0.25, 0.1), (0.5, 0.4), (0.9, 0.2)])
def test_beta_is_that_of_the_time_of_the_run(form: Form, progress: float, beta: float) -> None:
    student, targets = batch()
    options = NWSDOptions(form=form, beta=0.4, temperature=2.0, smoothing=0.1)
    assert options.beta_at(progress) == pytest.approx(beta)
    told = nwsd.parts(student, replace(targets, progress=progress), options)
    expected = nwsd.parts(student, targets, replace(options, beta=options.beta_at(progress)))
    for name, value in expected.items():
        torch.testing.assert_close(told[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_parts(form: Form) -> None:
    student, targets = batch()
    student.requires_grad_()
    options = NWSDOptions(form=form)
    parts = nwsd.parts(student, targets, options)
    assert set(parts) == {
        "loss", "ce", "kd", "repulsion", "floored", "kl_past", "agreement", "max_logit"
    }  # fmt: skip
    assert all(part.shape == () for part in parts.values())
    assert [name for name, part in parts.items() if part.requires_grad] == ["loss"]
    kd = LOSSES["kd"].parts(student, targets, options)
    assert all(parts[name] == kd[name] for name in ("ce", "kd", "agreement", "max_logit"))
    _, s, _ = soft(targets, 4.0)
    q = (student.detach() / 4.0).softmax(1)
    expected = sum(kl(a, b) for a, b in zip(s.tolist(), q.tolist(), strict=True)) / 8
    assert parts["kl_past"].item() == pytest.approx(expected, abs=1e-9)


def test_refuses_targets_that_lack_something() -> None:
    student, targets = batch()
    with pytest.raises(TrainingError, match="logits of the past"):
        nwsd.parts(student, replace(targets, past=None), NWSDOptions())
    with pytest.raises(TrainingError, match="logits of the teacher"):
        nwsd.parts(student, replace(targets, teacher=None), NWSDOptions())


def test_the_table_of_losses() -> None:
    needs = {
        name: (loss.options.needs_teacher, issubclass(loss.options, PastOptions))
        for name, loss in LOSSES.items()
    }
    assert needs == {
        "ce": (False, False),
        "kd": (True, False),
        "dkd": (True, False),
        "nkd": (True, False),
        "dist": (True, False),
        "mse": (True, False),
        "nwsd": (True, True),
    }
    assert list(nwsd.FORMS) == list(get_args(Form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(form: Form, dtype: torch.dtype) -> None:
    student, targets = batch()
    assert targets.teacher is not None
    assert targets.past is not None
    student, teacher, past = student.to(dtype), targets.teacher.half(), targets.past.half()
    options = NWSDOptions(form=form, smoothing=0.1)
    actual = nwsd.parts(student, Targets(targets.labels, teacher, past), options)
    precise = Targets(targets.labels, teacher.double(), past.double())
    expected = nwsd.parts(student.double(), precise, options)
    assert actual["loss"].dtype == torch.float32
    assert actual["loss"].item() == pytest.approx(expected["loss"].item(), abs=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_autocast(form: Form) -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(8, 16, generator=draw)
    weights = torch.randn(16, CLASSES, generator=draw, requires_grad=True)
    _, targets = batch()
    options = NWSDOptions(form=form)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = features @ weights
        loss = nwsd.parts(logits, targets, options)["loss"]
    assert logits.dtype == torch.bfloat16
    expected = nwsd.parts(logits.float(), targets, options)["loss"]
    torch.testing.assert_close(loss.float(), expected.float())
    loss.backward()
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("beta", "smoothing"), [(0.5, 0.0), (0.5, 0.1), (0.0, 0.1), (-0.5, 0.0)])
def test_extreme_logits_and_ruled_out_classes_stay_finite(
    form: Form, dtype: torch.dtype, beta: float, smoothing: float
) -> None:
    peak, none = [1e4, -1e4, 0, 0], [0, -torch.inf, -torch.inf, 0]
    flat, valley = [0.0, 0, 0, 0], [-1e4, 1e4, -1e4, -1e4]
    rows = [peak, flat, valley]
    student = torch.tensor([z for z in rows for _ in range(16)], dtype=dtype, requires_grad=True)
    others = [*rows, none]
    teacher = torch.tensor([t for t in others for _ in others] * 3).half()
    past = torch.tensor([s for _ in others for s in others] * 3).half()
    targets = Targets(torch.arange(48) % 4, teacher, past)
    options = NWSDOptions(form=form, beta=beta, temperature=1.0, smoothing=smoothing)
    parts = nwsd.parts(student, targets, options)
    parts["loss"].backward()
    assert all(part.isfinite() for part in parts.values())
    assert student.grad is not None
    assert student.grad.isfinite().all()
