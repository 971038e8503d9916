"""The label term of mixed views, of every loss, against one with probabilities for labels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pointstill.losses import LOSSES, nwsd
from pointstill.losses.cross_entropy import label_loss, label_probabilities
from pointstill.losses.options import NWSDOptions
from pointstill.losses.targets import UNLABELLED, Targets, target_classes

CLASSES = 6


def batch() -> tuple[Tensor, Targets]:
    draw = torch.Generator().manual_seed(0)
    z, teacher, past = 3 * torch.randn(3, 8, CLASSES, generator=draw, dtype=torch.float64)
    labels, second = torch.randint(CLASSES, (2, 8), generator=draw)
    share = 0.5 * torch.rand(8, generator=draw, dtype=torch.float64)
    share[:3] = 0
    return z, Targets(labels, teacher, past, second=second, share=share)


def mixture(targets: Targets, smoothing: float) -> Tensor:
    assert targets.share is not None
    y = torch.zeros(8, CLASSES, dtype=torch.float64)
    for row in range(8):
        y[row, targets.labels[row]] += 1 - targets.share[row]
        y[row, targets.second[row]] += targets.share[row]
    return (1 - smoothing) * y + smoothing / CLASSES


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_label_term_is_that_of_both_labels(loss: str, smoothing: float) -> None:
    z, targets = batch()
    expected = F.cross_entropy(z, mixture(targets, smoothing))
    parts = LOSSES[loss].parts(z, targets, LOSSES[loss].options(smoothing=smoothing))
    torch.testing.assert_close(parts["ce"], expected)
    # What is added to it does not know of a second label.
    single = replace(targets, second=None, share=None)
    without = LOSSES[loss].parts(z, single, LOSSES[loss].options(smoothing=smoothing))
    torch.testing.assert_close(parts["loss"] - parts["ce"], without["loss"] - without["ce"])


def test_the_guard_counts_both_labels() -> None:
    z, targets = batch()
    torch.testing.assert_close(label_probabilities(targets, z, 0.1), mixture(targets, 0.1))
    assert targets.teacher is not None
    assert targets.past is not None
    options = NWSDOptions(form="guard", beta=0.9, temperature=1.0)
    p, s = targets.teacher.softmax(1), targets.past.softmax(1)
    wanted = torch.full((8,), 0.9, dtype=torch.float64)
    bounded = nwsd.guarded_beta(p, s, mixture(targets, 0.0), wanted, options)
    terms = nwsd.guard(z, targets, wanted, options)
    assert torch.equal(terms.limited, bounded < 0.9)


def test_nothing_is_said_where_a_label_is_not_known() -> None:
    z, targets = batch()
    known = label_loss(z, targets)
    assert targets.second is not None
    labels, second = targets.labels.clone(), targets.second.clone()
    labels[4], second[5], second[0] = UNLABELLED, UNLABELLED, UNLABELLED
    told = label_loss(z, replace(targets, labels=labels, second=second))
    assert told[4] == told[5] == 0
    rest = [0, 1, 2, 3, 6, 7]  # nothing is mixed into 0, so what it is of does not count
    assert torch.equal(told[rest], known[rest])
    soft = label_probabilities(replace(targets, labels=labels, second=second), z, 0.1)
    torch.testing.assert_close(
        soft.sum(1), torch.tensor([1, 1, 1, 1, 0, 0, 1, 1], dtype=torch.float64)
    )


def test_the_class_set_apart_is_that_of_the_larger_share() -> None:
    _, targets = batch()
    assert torch.equal(target_classes(targets), targets.labels)
