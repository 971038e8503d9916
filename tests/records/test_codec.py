"""Codecs against their definition, and the error of storing logits against SciPy."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp, rel_entr, softmax

from pointstill.errors import RecordsError, UsageError
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


# Codecs, against what their definition says in float64, a record at a time.

rows = st.integers(1, 4)
numbers = st.floats(-65504, 65504, width=32)


def matrices(classes: int) -> st.SearchStrategy[np.ndarray]:
    """Logits (R, classes) within float16, wild ones included."""
    wild = arrays(np.float32, st.tuples(rows, st.just(classes)), elements=numbers)
    near = arrays(
        np.float32, st.tuples(rows, st.just(classes)), elements=st.floats(-20, 20, width=32)
    )
    return st.one_of(wild, near)


@given(matrices(7))
def test_float16_rounds_to_the_nearest(logits):
    coding = codec.parse("float16", 7)
    stored = coding.encode(logits)
    assert stored.tobytes() == b"".join(struct.pack("<7e", *row.tolist()) for row in logits)
    np.testing.assert_array_equal(coding.decode(stored), np.float16(logits).astype(np.float32))


@given(matrices(7))
def test_int8_is_off_by_half_a_step_at_most(logits):
    coding = codec.parse("int8", 7)
    stored = coding.encode(logits)
    assert (stored.shape, stored.dtype) == ((len(logits), 11), np.uint8)
    decoded = coding.decode(stored)
    for row, record, back in zip(logits.astype(np.float64), stored, decoded, strict=True):
        scale, zero, *q = struct.unpack("<ee7b", record.tobytes())
        wanted = [zero + scale * number for number in q]
        np.testing.assert_allclose(back, wanted, rtol=1e-6, atol=1e-6 * (abs(zero) + 1e-6))
        assert (np.abs(row - wanted) <= scale / 2 + 1e-9).all()
        # No scale that float16 has one step smaller would reach both ends of the range.
        smaller = float(np.nextafter(np.float16(scale), np.float16(-1)))
        assert scale == 0 or smaller * 127 < np.abs(row - zero).max()


@given(matrices(9), st.integers(1, 8))
def test_topk_keeps_the_largest_and_the_mass_of_the_rest(logits, k):
    coding = codec.parse(f"topk:{k}", 9)
    stored = coding.encode(logits)
    assert stored.shape == (len(logits), 4 * k + 2)
    decoded = coding.decode(stored)
    for row, record, back in zip(logits.astype(np.float64), stored, decoded, strict=True):
        *parts, tail = struct.unpack(f"<{k}e{k}He", record.tobytes())
        order = sorted(range(9), key=lambda c: -row[c])[:k]  # stable: a tie goes to the first
        assert parts[k:] == order
        rest = [row[c] for c in range(9) if c not in order]
        mass = logsumexp(rest) - np.log(len(rest))
        assert tail == pytest.approx(mass, rel=2.0**-10, abs=1e-6)
        wanted = np.full(9, tail)
        wanted[order] = np.float16(row[order])
        np.testing.assert_array_equal(back, wanted.astype(np.float32))


def test_topk_is_exact_in_mass_at_temperature_1_and_too_heavy_above():
    logits = (3 * np.random.default_rng(1).normal(size=(50, 300))).astype(np.float32)
    decoded = codec.parse("topk:16", 300).decode(codec.parse("topk:16", 300).encode(logits))
    top = np.argsort(-logits, axis=1)[:, :16]
    for temperature, low, high in ((1, 0.99, 1.01), (4, 1.01, 2.0)):
        p, q = (softmax(z.astype(np.float64) / temperature, axis=1) for z in (logits, decoded))
        kept, found = (np.take_along_axis(z, top, 1).sum(1) for z in (p, q))
        ratio = (1 - found) / (1 - kept)
        assert ((low < ratio) & (ratio < high)).all()
        np.testing.assert_allclose(q.sum(1), 1)


@pytest.mark.parametrize("name", ["float16", "int8", "topk:3"])
def test_what_is_not_there_decodes_to_nan(name):
    coding = codec.parse(name, 8)
    there = coding.encode(np.zeros((3, 8), np.float32))
    there.view(np.uint8)[1] = 255
    found = coding.decode(there)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [("float16", 40, 80), ("int8", 40, 44), ("topk", 1000, 66), ("topk:8", 1000, 34)],
)
def test_bytes_of_a_record(name, classes, count):
    coding = codec.parse(name, classes)
    logits = np.random.default_rng(0).normal(size=(5, classes)).astype(np.float32)
    assert coding.encode(logits).nbytes == 5 * count == 5 * coding.record_bytes
    assert coding.name == ("topk:16" if name == "topk" else name)


@pytest.mark.parametrize(
    ("name", "classes", "said"),
    [
        ("int4", 40, "unknown codec 'int4': choose from float16, int8, topk:16"),
        ("int8:4", 40, "unknown codec"),
        ("topk:x", 40, "unknown codec"),
        ("topk:0", 40, "choose a k from 1 to 39"),
        ("topk:1", 1, "keeps fewer than all classes, and there is 1: choose float16"),
        ("topk:40", 40, "keeps 40 of 40 classes: choose a k from 1 to 39, or float16 or int8"),
        ("topk:8", 70_000, "numbers 65,536 classes, and the data has 70000: use int8"),
    ],
)
def test_codecs_that_make_no_sense(name, classes, said):
    with pytest.raises(UsageError) as caught:
        codec.parse(name, classes)
    assert said in str(caught.value)


def test_the_gate_names_figures_and_fix():
    far = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    far[:, 0] = -30_000  # one outlier takes all the steps of int8
    for name, fix in (("int8", "use --codec float16"), ("topk:2", "use a larger k, or int8")):
        coding = codec.parse(name, 40)
        measured = coding.measure(far)
        with pytest.raises(RecordsError) as caught:
            coding.check(measured)
        message = str(caught.value)
        assert f"codec {name} loses too much" in message
        assert f"KL {measured['kl_t1']:.1e} at T=1" in message
        assert message.endswith(fix)
    codec.parse("float16", 40).check(codec.parse("float16", 40).measure(far))


def test_a_tie_in_a_short_tile_passes():
    coding = codec.parse("float16", 2)
    logits = np.array([[10.0, 10.001]] * 2 + [[1.0, 2.0]] * 2, np.float32)
    measured = coding.measure(logits)
    assert measured["argmax_flips"] == 0.5
    coding.check(measured)
    with pytest.raises(RecordsError, match=r"50\.00% of 8 classes flipped"):
        coding.check(coding.measure(np.tile(logits, (2, 1))))
