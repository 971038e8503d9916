"""The error of storing logits, against SciPy."""

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from pointstill.records import codec


def oracle(logits: np.ndarray, stored: np.ndarray, temperature: float) -> float:
    p = softmax(logits.astype(np.float64) / temperature, axis=1)
    q = softmax(stored.astype(np.float64) / temperature, axis=1)
    return float(rel_entr(p, q).sum(axis=1).mean())


@pytest.fixture
def logits() -> np.ndarray:
    return (6 * np.random.default_rng(0).normal(size=(200, 40))).astype(np.float32)


@pytest.mark.parametrize("step", [0.5, 0.02])
def test_equals_scipy(logits, step):
    stored = (np.round(logits / step) * step).astype(np.float32)
    found = codec.error(logits, stored)
    assert set(found) == {"kl_t1", "kl_t4", "argmax_flips"}
    assert found["kl_t1"] == pytest.approx(oracle(logits, stored, 1), rel=1e-4, abs=1e-12)
    assert found["kl_t4"] == pytest.approx(oracle(logits, stored, 4), rel=1e-4, abs=1e-12)
    flips = [np.argmax(a) != np.argmax(b) for a, b in zip(logits, stored, strict=True)]
    assert found["argmax_flips"] == sum(flips) / 200


def test_float16_costs_next_to_nothing(logits):
    stored = logits.astype(np.float16)
    found = codec.error(logits, stored)
    assert found["kl_t1"] == pytest.approx(oracle(logits, stored, 1), rel=1e-3, abs=1e-13)
    assert found["kl_t4"] == pytest.approx(oracle(logits, stored, 4), rel=1e-3, abs=1e-13)
    assert 0 < found["kl_t1"] < 1e-6
    assert found["kl_t4"] < found["kl_t1"]
    assert all(isinstance(value, float) for value in found.values())


def test_what_is_stored_exactly_costs_nothing():
    logits = np.array([[1.0, 2, 3], [0, 0, 0], [-1000, 0, 1000]], np.float32)
    assert codec.error(logits, logits.astype(np.float16)) == {
        "kl_t1": 0,
        "kl_t4": 0,
        "argmax_flips": 0,
    }


def test_by_hand():
    logits, stored = np.log([[0.5, 0.5], [0.75, 0.25]]), np.log([[0.25, 0.75], [0.75, 0.25]])
    found = codec.error(logits, stored)
    assert found["kl_t1"] == pytest.approx((0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2)
    assert found["argmax_flips"] == 0.5  # a tie goes to the first
