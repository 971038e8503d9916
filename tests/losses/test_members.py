"""NWSD with the members as their own past: against NumPy, and the claims made about each form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pointstill.errors import TrainingError, UsageError
from pointstill.losses import nwsd
from pointstill.losses.options import NWSDOptions
from pointstill.losses.targets import Targets

CLASSES, MEMBERS = 6, 3
FORMS = ["raw", "floor", "js", "reverse", "hinge"]


def batch(seed: int = 0, samples: int = 8) -> tuple[Tensor, Targets]:
    """The logits of each member, which take a gradient, and what they are compared with."""
    draw = torch.Generator().manual_seed(seed)
    members = 3 * torch.randn(samples, MEMBERS, CLASSES, generator=draw, dtype=torch.float64)
    teacher = 3 * torch.randn(samples, CLASSES, generator=draw, dtype=torch.float64)
    return members, Targets(torch.randint(CLASSES, (samples,), generator=draw), teacher)


def parts(members: Tensor, targets: Targets, options: NWSDOptions) -> dict[str, Tensor]:
    return nwsd.parts(members.mean(1), replace(targets, members=members), options)


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.exp(logits / temperature)
    return powers / powers.sum()


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum())


def distance(m: np.ndarray, q: np.ndarray, form: str, beta: float) -> float:
    """How far a member is from the mean of all."""
    if form == "floor" and beta > 0:
        return float((m * np.log(m / np.maximum(q, 0.1 * m))).sum())
    if form == "hinge" and beta > 0:
        return min(kl(m, q), 0.5)
    if form == "js":
        return (kl(m, (m + q) / 2) + kl(q, (m + q) / 2)) / 2
    if form == "reverse":
        return kl(q, 0.9 * m + 0.1 / CLASSES)
    return kl(m, q)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta", [0.3, 0.0, -0.3])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_equals_the_loop(form: str, beta: float, temperature: float) -> None:
    members, targets = batch()
    assert targets.teacher is not None
    options = NWSDOptions(  # type: ignore[arg-type]
        past="members", form=form, alpha=0.7, beta=beta, temperature=temperature, smoothing=0.1
    )
    losses, repulsions, far = [], [], []
    rows = zip(members.numpy(), targets.labels, targets.teacher.numpy(), strict=True)
    for own, label, teacher in rows:
        mean = own.mean(0)
        y = np.full(CLASSES, 0.1 / CLASSES)
        y[label] += 0.9
        p, m = softmax(teacher, temperature), softmax(mean, temperature)
        each = [softmax(z, temperature) for z in own]
        pushed = temperature**2 * np.mean([distance(m, q, form, beta) for q in each])
        ce = -(y * np.log(softmax(mean, 1.0))).sum()
        losses.append(ce + 0.7 * temperature**2 * kl(p, m) - beta * pushed)
        repulsions.append(pushed)
        far.append(np.mean([kl(m, q) for q in each]))
    actual = parts(members, targets, options)
    assert actual["loss"].item() == pytest.approx(np.mean(losses), abs=1e-9)
    assert actual["repulsion"].item() == pytest.approx(np.mean(repulsions), abs=1e-9)
    assert actual["kl_past"].item() == pytest.approx(np.mean(far), abs=1e-9)


@pytest.mark.parametrize("form", ["raw", "floor"])
def test_the_gradient_of_each_member(form: str) -> None:
    """(1 / K) [(q1 - y) + T alpha (q - p) - T beta (q_k - m)], where nothing is floored."""
    members, targets = batch()
    members = (members / 10).requires_grad_()
    assert targets.teacher is not None
    options = NWSDOptions(past="members", form=form, beta=0.2, temperature=2.0)  # type: ignore[arg-type]
    found = parts(members, targets, options)
    assert found["floored"] == 0
    (actual,) = torch.autograd.grad(found["loss"], members)
    with torch.no_grad():
        mean = members.mean(1)
        y = torch.eye(CLASSES, dtype=torch.float64)[targets.labels]
        q, p = (mean / 2).softmax(1), (targets.teacher / 2).softmax(1)
        pull = mean.softmax(1) - y + 2 * (q - p)
        push = 2 * 0.2 * ((members / 2).softmax(2) - q[:, None])
        torch.testing.assert_close(actual, (pull[:, None] - push) / MEMBERS / len(members))


def test_the_push_is_the_ambiguity_of_the_ensemble() -> None:
    """mean_k KL(p || q_k) = KL(p || q) + mean_k KL(q || q_k), of averaged logits (Heskes 1998).

    So at beta = alpha more would be taken off than each member is worse by than all together, and
    at beta = -alpha the members are taught one by one.
    """
    members, targets = batch()
    assert targets.teacher is not None
    options = NWSDOptions(past="members", form="raw", beta=-1.0, labels=0.0)
    each = torch.stack(
        [
            nwsd.parts(member, targets, NWSDOptions(past="none", form="contrast", labels=0.0))["kd"]
            for member in members.unbind(1)
        ]
    )
    torch.testing.assert_close(parts(members, targets, options)["loss"], each.mean())


@pytest.mark.parametrize("form", FORMS)
def test_which_forms_are_bounded(form: str) -> None:
    """Members that part along a line: only the mean is held, so raw falls for ever."""
    members, targets = batch()
    mean = members.mean(1, keepdim=True)
    options = NWSDOptions(past="members", form=form, beta=0.5, temperature=1.0)  # type: ignore[arg-type]
    losses = [
        parts(mean + far * (members - mean), targets, options)["loss"].item()
        for far in (1e2, 1e4, 1e6)
    ]
    most = {"floor": np.log(10), "hinge": 0.5, "js": np.log(2), "reverse": np.log(10 * CLASSES)}
    if form == "raw":
        assert losses[2] < 90 * losses[1] < 0
    else:
        assert min(losses) >= -0.5 * most[form]


def test_floored_members_come_to_rest() -> None:
    """Descent on free logits: those of raw part at a steady rate, and those of floor settle."""
    members, targets = batch(samples=2)
    parted = {}
    for form in ("raw", "floor"):
        options = NWSDOptions(  # type: ignore[arg-type]
            past="members", form=form, beta=0.5, temperature=1.0, labels=0.0
        )
        own, widths = members.clone(), []
        for step in range(1500):
            own.requires_grad_()
            (slope,) = torch.autograd.grad(parts(own, targets, options)["loss"], own)
            own = (own - slope).detach()
            if step in (749, 1499):
                widths.append((own - own.mean(1, keepdim=True)).abs().max().item())
        parted[form] = widths
    assert parted["raw"][1] > 1.5 * parted["raw"][0] > 40
    assert parted["floor"][1] < 1.05 * parted["floor"][0] < 12


def test_the_push_follows_the_schedule() -> None:
    members, targets = batch()
    options = NWSDOptions(past="members", beta=0.3)
    for progress in (0.1, 0.3, 0.5, 0.95):
        told = parts(members, replace(targets, progress=progress), options)["loss"]
        now = replace(options, beta=options.beta_at(progress))
        torch.testing.assert_close(told, parts(members, targets, now)["loss"], rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_ruled_out_classes_and_huge_logits_stay_finite(form: str) -> None:
    members, targets = batch()
    members = (1e3 * members).float().requires_grad_()
    assert targets.teacher is not None
    targets = replace(targets, teacher=targets.teacher.half())
    options = NWSDOptions(past="members", form=form, standardise=False)  # type: ignore[arg-type]
    loss = parts(members, targets, options)["loss"]
    (slope,) = torch.autograd.grad(loss, members)
    assert loss.isfinite()
    assert slope.isfinite().all()


def test_standardised_members_do_not_depend_on_their_size() -> None:
    members, targets = batch()
    options = NWSDOptions(past="members", standardise=True, labels=0.0)
    one = parts(members, targets, options)["loss"]
    scale = torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(parts(5 + scale * members, targets, options)["loss"], one)


@pytest.mark.parametrize("form", ["guard", "contrast"])
def test_forms_of_a_single_student_are_refused(form: str) -> None:
    with pytest.raises(UsageError, match=f"past is members, and form {form}: choose form floor"):
        NWSDOptions(past="members", form=form)  # type: ignore[arg-type]


def test_members_are_wanted() -> None:
    members, targets = batch()
    with pytest.raises(TrainingError, match="logits of each member"):
        nwsd.parts(members.mean(1), targets, NWSDOptions(past="members"))
