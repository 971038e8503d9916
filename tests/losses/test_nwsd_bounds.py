"""Which forms of NWSD are bounded, and which is not: properties of random samples."""

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pointstill.losses import nwsd
from pointstill.losses.options import NWSDOptions
from pointstill.losses.targets import Targets

CLASSES = 6


def soft(targets: Targets, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """p, s and the labels as probabilities."""
    assert targets.teacher is not None
    assert targets.past is not None
    y = torch.eye(CLASSES, dtype=torch.float64)[targets.labels]
    return (targets.teacher / temperature).softmax(1), (targets.past / temperature).softmax(1), y


def gradient(logits: Tensor, targets: Targets, options: NWSDOptions) -> Tensor:
    logits = logits.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(nwsd.parts(logits, targets, options)["loss"], logits)
    return result


logit = st.floats(-6, 6)


@st.composite
def samples(draw: st.DrawFn, tempting: bool = False) -> tuple[Targets, NWSDOptions]:
    """One sample and options; a tempting one makes `raw` run away at T = 1.

    Class 0 is wrong and tempting: the past believes in it, and the teacher does not.
    """
    teacher = draw(st.lists(logit, min_size=CLASSES, max_size=CLASSES))
    past = draw(st.lists(logit, min_size=CLASSES, max_size=CLASSES))
    label = draw(st.integers(1, CLASSES - 1))
    if tempting:
        teacher[0], teacher[label], past[0] = -6.0, 6.0, 6.0
    options = NWSDOptions(
        alpha=1.0,
        beta=draw(st.floats(0.2, 0.9)),
        temperature=1.0 if tempting else draw(st.sampled_from([1.0, 2.0, 4.0])),
        smoothing=0.0 if tempting else draw(st.sampled_from([0.0, 0.2])),
    )
    logits = torch.tensor([teacher, past], dtype=torch.float64)
    return Targets(torch.tensor([label]), logits[:1], logits[1:]), options


def descend(targets: Targets, options: NWSDOptions, steps: int) -> Tensor:
    """Gradient descent at rate 1 on free logits, from zero.

    The curvature of the loss at T = 1 is at most (1 + alpha - beta) / 2 < 1, so a rate of 1 is
    stable wherever there is a minimum.
    """
    z = torch.zeros(1, CLASSES, dtype=torch.float64)
    for _ in range(steps):
        z = z - gradient(z, targets, options)
    return z[0]


@settings(max_examples=15, deadline=None)
@given(samples(tempting=True))
def test_floor_stays_bounded_where_raw_runs_away(sample: tuple[Targets, NWSDOptions]) -> None:
    targets, options = sample
    p, s, y = soft(targets, 1.0)
    weight = 1 - options.beta

    # raw: the logit of class 0 falls by at least a constant each step, for ever.
    fall = (options.beta * s - p)[0, 0].item()
    assert fall > 0
    steps = 40
    raw = descend(targets, replace(options, form="raw"), steps)
    assert raw[0] <= -steps * fall
    far = torch.zeros(1, CLASSES, dtype=torch.float64)
    far[0, 0] = -1e6
    assert nwsd.parts(far, targets, replace(options, form="raw"))["loss"] < -1e4

    # floor: the minimum is known in closed form at T = 1, and descent never leaves its distance.
    t = torch.maximum(p - options.beta * s, 0.1 * p)
    minimum = ((y + weight * t / t.sum()) / (1 + weight)).log()
    minimum = minimum - minimum.mean()
    slope = gradient(minimum, targets, options)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)
    floor = descend(targets, options, steps)
    assert (floor - minimum[0]).norm() <= minimum.norm() + 1e-9
    assert floor.abs().max() <= 2 * minimum.norm()
    assert nwsd.parts(far, targets, options)["loss"] >= 0


def test_the_logits_of_raw_grow_without_end_and_those_of_floor_settle() -> None:
    teacher = torch.tensor([[4.0, 0, -2, 0, 0, 0]], dtype=torch.float64)
    past = torch.tensor([[2.0, 0, 3, 0, 0, 0]], dtype=torch.float64)
    targets = Targets(torch.tensor([0]), teacher, past)
    options = NWSDOptions(beta=0.3, temperature=1.0)
    largest = {
        form: [
            descend(targets, replace(options, form=form), steps).abs().max().item()
            for steps in (200, 400)
        ]
        for form in ("raw", "floor", "guard")
    }
    assert largest["raw"][1] > 1.5 * largest["raw"][0] > 20
    for form in ("floor", "guard"):
        assert largest[form][1] < 1.1 * largest[form][0] < 10


@settings(max_examples=100, deadline=None)
@given(samples(), st.lists(st.floats(-20, 20), min_size=2 * CLASSES, max_size=2 * CLASSES))
def test_floor_is_convex_and_at_least_0(
    sample: tuple[Targets, NWSDOptions], ends: list[float]
) -> None:
    targets, options = sample
    a, b = torch.tensor(ends, dtype=torch.float64).view(2, 1, CLASSES)
    at_a, at_b, between = (
        nwsd.parts(z, targets, options)["loss"].item() for z in (a, b, (a + b) / 2)
    )
    assert between <= (at_a + at_b) / 2 + 1e-9
    assert min(at_a, at_b) >= -1e-12


@settings(max_examples=200, deadline=None)
@given(samples())
def test_guarded_beta_is_bounded_and_the_largest(sample: tuple[Targets, NWSDOptions]) -> None:
    targets, options = sample
    p, s, y = soft(targets, options.temperature)
    y = (1 - options.smoothing) * y + options.smoothing / CLASSES
    wanted = torch.tensor([options.beta], dtype=torch.float64)
    beta = nwsd.guarded_beta(p, s, y, wanted, options).item()

    def bounded(weight: float) -> bool:
        rows = zip(y[0].tolist(), p[0].tolist(), s[0].tolist(), strict=True)
        scale, alpha = options.temperature, options.alpha
        return all(y_c + scale * (alpha * p_c - weight * s_c) >= 0 for y_c, p_c, s_c in rows)

    assert 0 <= beta <= options.beta
    assert bounded(beta)
    if beta < options.beta:
        assert not bounded(1.2 * beta)
