import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from pointstill.losses.outlier_exposure import exposed, outlier_exposure


def test_it_is_its_formula():
    draw = np.random.default_rng(0)
    known, nothing = draw.normal(size=(5, 4)), draw.normal(size=(3, 4))
    uniform = np.mean([-np.log(4) - np.mean(z - logsumexp(z)) for z in nothing])
    inside = np.mean([np.log1p(np.exp(-(logsumexp(z) - np.log(4)))) for z in known])
    outside = np.mean([np.log1p(np.exp(logsumexp(z) - np.log(4))) for z in nothing])
    found = outlier_exposure(torch.from_numpy(known), torch.from_numpy(nothing))
    assert float(found) == pytest.approx(uniform + inside + outside)


def test_a_step_makes_known_views_better_known_and_nothing_worse():
    known, nothing = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    outlier_exposure(known, nothing).backward()
    assert (known.grad < 0).all()
    assert (nothing.grad > 0).all()


def test_it_is_added_by_its_weight():
    parts = exposed(torch.tensor(1.0), torch.zeros(1, 2), torch.zeros(1, 2), 0.5)
    assert float(parts["loss"]) == pytest.approx(1 + 0.5 * 2 * np.log(2))
    assert float(parts["outliers"]) == pytest.approx(2 * np.log(2))
