"""Negative-weight self-distillation: towards the teacher, away from the student's own past.

    loss = CE + alpha T^2 KL(p || q) - beta T^2 KL(s || q)

p, q, s are softmax(. / T) of the teacher, the student and the student's past on the same view.
This is our formulation, after Zheng, Zhang and Sun, arXiv 2409.02020 (2024).

Its gradient with respect to the logits of a sample, where q1 is q at T = 1 and y the label, is

    (q1 - y) + T [(alpha - beta) q - (alpha p - beta s)]

that is, distillation of weight alpha - beta towards p + beta / (alpha - beta) (p - s): the student
aims past the teacher. For alpha > beta the loss is convex, and it is bounded below exactly when

    y_c + T (alpha p_c - beta s_c) >= 0    for every class c,

where y is smoothed if the cross-entropy is. Otherwise the logits run away. Each function below is
one way of keeping, or not keeping, that condition; `FORMS` names them. All take logits (B, C), the
targets, the beta of every sample (B,), and the options, and return `Terms` for every sample.
With beta < 0 the student is pulled towards its past (ordinary self-distillation): nothing can run
away then, and `raw`, `guard`, `floor` and `hinge` have the same gradient.

Where the student is its members (`past` is `members`), the push is theirs: see `members_apart`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import TrainingError
from . import kd
from .cross_entropy import label_loss, label_probabilities, precise
from .options import Form, NWSDOptions
from .targets import Targets, required, standardised

GUARD = 0.9  # part of the largest bounded beta that `guard` allows itself
FLOOR = 0.1  # part of alpha p that `floor` leaves to every class
SPREAD = 0.1  # uniform part of the past in `reverse`
PLAUSIBLE = 0.1  # part of the teacher's best below which `contrast` leaves a class out
MARGIN = 0.5  # nats of KL(s || q) beyond which `hinge` stops pushing


class Terms(NamedTuple):
    """What a form makes of a batch."""

    distillation: Tensor  # (B,) added to the cross-entropy; takes the gradient
    repulsion: Tensor  # (B,) the distance to the past, before its weight beta
    limited: Tensor  # (B,) bool: the form held its push back


class _Soft(NamedTuple):
    """Softened distributions of one batch, each (B, C)."""

    p: Tensor
    s: Tensor
    log_s: Tensor
    log_q: Tensor


def _soften(logits: Tensor, targets: Targets, temperature: float) -> _Soft:
    log_p = kd.log_soft(required(targets.teacher, "teacher"), temperature)
    log_s = kd.log_soft(required(targets.past, "past"), temperature)
    return _Soft(log_p.exp(), log_s.exp(), log_s, kd.log_soft(logits, temperature))


def _push(soft: _Soft, distance: Tensor, beta: Tensor, options: NWSDOptions) -> Terms:
    """Return `alpha T^2 KL(p || q) - beta T^2 distance`, with distance and beta per sample (B,)."""
    pull = options.temperature**2 * kd.kl(soft.p, soft.log_q)
    repulsion = options.temperature**2 * distance
    unlimited = torch.zeros_like(distance, dtype=torch.bool)
    return Terms(options.alpha * pull - beta * repulsion, repulsion, unlimited)


def _kl_from(log_q: Tensor, log_m: Tensor) -> Tensor:
    """Return KL(q || m), (B,), with a gradient through both (log q is finite)."""
    return (log_q.exp() * (log_q - log_m)).sum(dim=-1)


def raw(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Push by the literal formula, `- beta T^2 KL(s || q)`: unbounded below, for diagnosis."""
    soft = _soften(logits, targets, options.temperature)
    return _push(soft, kd.kl(soft.s, soft.log_q), beta, options)


def guard(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Push as `raw` does, with the `guarded_beta` of every sample in place of beta."""
    soft = _soften(logits, targets, options.temperature)
    y = options.labels * label_probabilities(targets, soft.p, options.smoothing)
    bounded = guarded_beta(soft.p, soft.s, y, beta, options)
    terms = _push(soft, kd.kl(soft.s, soft.log_q), bounded, options)
    return terms._replace(limited=bounded < beta)


def guarded_beta(p: Tensor, s: Tensor, y: Tensor, beta: Tensor, options: NWSDOptions) -> Tensor:
    """Return the largest weights up to beta that keep the loss bounded with a margin of 10 %.

    That is `min(beta, 0.9 min_c (y_c / T + alpha p_c) / s_c)`; a beta below 0 is kept.

    Args:
        p: (B, C) teacher, at temperature T.
        s: (B, C) past student, at temperature T.
        y: (B, C) labels as probabilities, smoothed if the cross-entropy is, times its weight.
        beta: (B,) the weight that is wanted.
        options: alpha and temperature.

    Returns:
        (B,)

    >>> p, s, y = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]], [[1.0, 0.0]]])
    >>> guarded_beta(p, s, y, torch.tensor([0.5]), NWSDOptions(temperature=1.0))  # 0.9 / 3
    tensor([0.3000])
    """
    # A class that the past rules out cannot be pushed away from: it sets no limit.
    limit = torch.where(s > 0, (y / options.temperature + options.alpha * p) / s, math.inf)
    return torch.minimum(GUARD * limit.amin(dim=-1), beta)


def floor(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Pull by `(alpha - beta) T^2 KL(t || q)` to the `floored_target` t: convex, at least 0.

    Where nothing is floored this differs from `raw` by a constant, so its gradient is the same;
    at beta = 0 it is KD. The push is inside t; `repulsion` is T^2 KL(s || q), as for `raw`.
    """
    soft = _soften(logits, targets, options.temperature)
    t, floored = floored_target(soft.p, soft.s, beta, options)
    terms = _push(soft, kd.kl(soft.s, soft.log_q), beta, options)
    weight = (options.alpha - beta) * options.temperature**2
    return terms._replace(distillation=weight * kd.kl(t, soft.log_q), limited=floored.any(dim=-1))


def floored_target(
    p: Tensor, s: Tensor, beta: Tensor, options: NWSDOptions
) -> tuple[Tensor, Tensor]:
    """Return t, proportional to `max(alpha p - beta s, 0.1 alpha p)`, and which classes it floors.

    Args:
        p: (B, C) teacher, at temperature T.
        s: (B, C) past student, at temperature T.
        beta: (B,) weight of the push.
        options: alpha.

    Returns:
        t (B, C), which sums to 1 (to 0 where alpha = beta = 0, as there is nothing to aim at),
        and a mask (B, C).

    >>> p, s = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]])
    >>> floored_target(p, s, torch.tensor([0.1]), NWSDOptions())[0]  # (0.725, 0.175) / 0.9
    tensor([[0.8056, 0.1944]])
    >>> floored_target(p, s, torch.tensor([0.5]), NWSDOptions())  # 0.625, -0.125 -> 0.025
    (tensor([[0.9615, 0.0385]]), tensor([[False,  True]]))
    """
    aim = options.alpha * p - beta[:, None] * s
    least = FLOOR * options.alpha * p
    t = torch.maximum(aim, least)  # sums to alpha - beta if nothing is floored
    total = t.sum(dim=-1, keepdim=True)
    return t / total.clamp(min=torch.finfo(t.dtype).tiny), aim < least


def js(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Push by `- beta T^2 JS(s, q)`, the Jensen-Shannon divergence, which is at most ln 2."""
    soft = _soften(logits, targets, options.temperature)
    return _push(soft, _js(soft), beta, options)


def _js(soft: _Soft) -> Tensor:
    log_m = torch.logaddexp(soft.log_s, soft.log_q) - math.log(2)  # finite where s or q is 0
    return (kd.kl(soft.s, log_m) + _kl_from(soft.log_q, log_m)) / 2


def reverse(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Push by `- beta T^2 KL(q || s_eps)`, `s_eps = 0.9 s + 0.1 / C`: at most ln 10 C."""
    soft = _soften(logits, targets, options.temperature)
    return _push(soft, _reverse(soft), beta, options)


def _reverse(soft: _Soft) -> Tensor:
    log_s_eps = ((1 - SPREAD) * soft.s + SPREAD / soft.s.shape[-1]).log()
    return _kl_from(soft.log_q, log_s_eps)


def hinge(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Push by `- beta T^2 min(KL(s || q), 0.5)`: not at all from a past that is already far.

    A beta below 0 pulls from any distance, as in `raw`.
    """
    soft = _soften(logits, targets, options.temperature)
    distance = kd.kl(soft.s, soft.log_q)
    far = (distance > MARGIN) & (beta > 0)
    distance = torch.where(far, MARGIN, distance)
    return _push(soft, distance, beta, options)._replace(limited=far)


def contrast(logits: Tensor, targets: Targets, push: Tensor, options: NWSDOptions) -> Terms:
    """Pull by `alpha T^2 KL(t || q)` to the `contrasted_target` t: convex, bounded for every push.

    `limited` are the samples of which a class was left out.
    """
    soft = _soften(logits, targets, options.temperature)
    teacher, past = required(targets.teacher, "teacher"), required(targets.past, "past")
    t, left_out = contrasted_target(teacher, past, push, options)
    terms = _push(soft, kd.kl(soft.s, soft.log_q), push, options)
    pull = options.alpha * options.temperature**2 * kd.kl(t, soft.log_q)
    return terms._replace(distillation=pull, limited=left_out.any(dim=-1))


def contrasted_target(
    teacher: Tensor, past: Tensor, push: Tensor, options: NWSDOptions
) -> tuple[Tensor, Tensor]:
    """Return `softmax(((1 + w) z - w z_past) / T)`, and which classes are left out of it.

    Left out is what the teacher finds a tenth as likely as its answer, or less (at temperature T):
    there the two differ by chance. After contrastive decoding (Li et al., arXiv 2210.15097).

    Args:
        teacher: (B, C) logits z.
        past: (B, C) logits of the student's past; all equal: it says nothing.
        push: (B,) the weight w; NaN: there is no past, and the target is the teacher's p.
        options: the temperature.

    Returns:
        t (B, C), which sums to 1, and a mask (B, C).

    >>> z, past = torch.tensor([[2.0, 1.0, -9.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    >>> contrasted_target(z, past, torch.tensor([0.5]), NWSDOptions(temperature=1.0))
    (tensor([[0.8176, 0.1824, 0.0000]]), tensor([[False, False,  True]]))
    """
    z, past = precise(teacher), precise(past)
    log_p = kd.log_soft(z, options.temperature)
    absent = push.isnan()[:, None]
    left_out = (log_p < log_p.amax(dim=-1, keepdim=True) + math.log(PLAUSIBLE)) & ~absent
    least = past.masked_fill(past.isinf(), math.inf).amin(dim=-1, keepdim=True)
    past = torch.maximum(past, least)  # what the past rules out is pushed as far as its least
    w = push.nan_to_num()[:, None]
    aim = ((1 + w) * z - w * past).masked_fill(left_out, -math.inf)
    return kd.log_soft(aim, options.temperature).exp(), left_out


def members_apart(logits: Tensor, targets: Targets, beta: Tensor, options: NWSDOptions) -> Terms:
    """Pull the mean of the members by `alpha T^2 KL(p || q)`, and push each of them off it.

    The push is `- beta T^2 mean_k d_k`. With m = q, detached, and q_k of member k, d_k is

        raw      KL(m || q_k), which has no end: no pull of the mean is felt by a difference
        floor    sum_c m_c log(m_c / max(q_kc, 0.1 m_c)), at most ln 10
        hinge    min(KL(m || q_k), 0.5)
        js       JS(m, q_k), at most ln 2
        reverse  KL(q_k || 0.9 m + 0.1 / C), at most ln 10 C

    The mean of KL(m || q_k) is the ambiguity of the ensemble: as the logits are averaged, it is
    exactly what the members' KL(p || q_k) are worse by, on average, than KL(p || q) (Heskes 1998).
    Its gradient by the logits of member k is (q_k - m) / (K T), with m detached or not. To reward
    it is negative correlation learning (Liu and Yao, 1999). With beta < 0, `floor` and `hinge` are
    `raw`.

    Args:
        logits: (B, C), the mean of the members'.
        targets: teacher, and members (B, K, C), which take the gradient of the push.
        beta: (B,) weight of the push.
        options: alpha, temperature and form.
    """
    if targets.members is None:
        raise TrainingError(
            "this loss needs the logits of each member of the student and was given none",
            fix="pass Targets(..., members=logits), or choose another past",
        )
    pulled = _soften(logits, replace(targets, past=logits), options.temperature)
    log_m = pulled.log_s[:, None]
    soft = _Soft(pulled.p, log_m.exp(), log_m, kd.log_soft(targets.members, options.temperature))
    distance = kd.kl(soft.s, soft.log_q)  # (B, K)
    limited = torch.zeros_like(distance, dtype=torch.bool)
    pushed = beta[:, None] > 0
    if options.form == "floor":
        least = log_m + math.log(FLOOR)
        limited = ((soft.log_q < least) & pushed[..., None]).any(dim=-1)
        floored = kd.kl(soft.s, torch.maximum(soft.log_q, least))
        distance = torch.where(pushed, floored, distance)
    elif options.form == "hinge":
        limited = (distance > MARGIN) & pushed
        distance = torch.where(limited, MARGIN, distance)
    elif options.form == "js":
        distance = _js(soft)
    elif options.form == "reverse":
        distance = _reverse(soft)
    terms = _push(pulled, distance.mean(dim=1), beta, options)
    return terms._replace(limited=limited.any(dim=1))


FORMS: dict[Form, Callable[[Tensor, Targets, Tensor, NWSDOptions], Terms]] = {
    "raw": raw,
    "guard": guard,
    "floor": floor,
    "js": js,
    "reverse": reverse,
    "hinge": hinge,
    "contrast": contrast,
}


def parts(logits: Tensor, targets: Targets, options: NWSDOptions) -> dict[str, Tensor]:
    """Return the loss in the form `options.form`, a mean over the batch, and parts for the log.

    The parts, without gradient: `ce`; `kd` = T^2 KL(p || q) before its weight alpha; `repulsion`,
    what the form subtracts before its weight beta (for `floor` and `contrast`, T^2 KL(s || q));
    `floored`, the fraction of samples with a class floored or left out, or whose push `guard` or
    `hinge` limited; `kl_past` = KL(s || q), without T^2; `agreement` with the teacher; `max_logit`.

    A sample without a past has beta 0, and while beta is 0 for all, none need have one: that is KD.

    Args:
        logits: (B, C) of the student.
        targets: labels, teacher and past, and the time of the run, for which beta is scheduled.
        options: alpha, beta, temperature, form and smoothing.

    Raises:
        TrainingError: the targets hold no teacher, or no past though beta is not 0.
    """
    scheduled = options.push_at(targets.progress)
    if options.past == "members":  # their mean is the past of each of them
        targets = replace(targets, past=logits.detach())
    if targets.past is None and scheduled == 0:
        distilled = kd.parts(logits, targets, options)
        nothing = torch.zeros_like(distilled["ce"])
        return distilled | {"repulsion": nothing, "floored": nothing, "kl_past": nothing}
    if options.past == "none":  # of form contrast alone: a past that says nothing
        targets = replace(targets, past=torch.zeros_like(precise(logits.detach())))
    past = required(targets.past, "past")
    absent = past.isnan().any(dim=-1)
    past = torch.where(absent[:, None], logits.detach().to(past.dtype), past)
    targets = replace(targets, past=past)
    without = math.nan if options.form == "contrast" else 0.0
    beta = torch.full_like(precise(logits.detach())[:, 0], scheduled).masked_fill(absent, without)
    seen = standardised(logits, targets) if options.standardise else (logits, targets)
    form = members_apart if options.past == "members" else FORMS[options.form]
    terms = form(*seen, beta, options)
    ce = label_loss(logits, targets, options.smoothing)
    with torch.no_grad():
        distilled = kd.parts(logits, targets, options)
        present = logits
        if targets.members is not None:
            present, past = targets.members, past[:, None]
        kl_past = kd.divergence(present, past, options.temperature).mean()
    return distilled | {
        "loss": (options.labels * ce + terms.distillation).mean(),
        "repulsion": terms.repulsion.detach().mean(),
        "floored": terms.limited.float().mean(),
        "kl_past": kl_past,
    }
