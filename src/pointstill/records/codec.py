"""How logits are stored: pure functions from (R, C) float32 to rows of bytes and back.

What is shift-invariant to every softmax is not so to every loss, so all codecs keep the logits
themselves, not probabilities. A chunk that is missing reads as bytes of 255, which every
codec decodes to NaN: absence cannot pass for data.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import RecordsError, UsageError

FEW = 2
"""Flipped classes that are always forgiven: in a short tile one tie is already a large fraction."""


class Codec(NamedTuple):
    """One way to store logits."""

    dtype: str
    """Of the stored array, little-endian."""
    width: Callable[[int, int], int]
    """Classes and k -> numbers stored for a record."""
    encode: Callable[[np.ndarray, int], np.ndarray]
    """Logits (R, C) float32 and k -> (R, width)."""
    decode: Callable[[np.ndarray, int, int], np.ndarray]
    """Stored (R, width), classes and k -> logits (R, C) float32."""
    kl: float
    """Gate: largest mean KL(teacher || stored) at T = 1 and at T = 4, in nats."""
    flips: float
    """Gate: largest fraction of records whose class changes."""
    remedy: str
    """What to choose where the gate is shut."""


def _float16(logits: np.ndarray, k: int) -> np.ndarray:
    return logits.astype("<f2")


def _from_float16(stored: np.ndarray, classes: int, k: int) -> np.ndarray:
    return stored.astype(np.float32)


def _int8(logits: np.ndarray, k: int) -> np.ndarray:
    """Scale and zero (float16), then C int8: logit = zero + scale * q, |q| <= 127.

    The zero is the middle of the record's range, rounded; the scale is rounded up, so that both
    ends of the range are within reach of the rounded zero. The error is at most scale / 2.
    """
    logits = logits.astype(np.float64)
    low, high = logits.min(1, keepdims=True), logits.max(1, keepdims=True)
    zero = ((low + high) / 2).astype("<f2")
    reach = np.maximum(high - zero, zero - low)
    scale = (reach / 127).astype("<f2")
    short = scale.astype(np.float64) * 127 < reach
    scale = np.where(short, np.nextafter(scale, np.float16(np.inf)), scale).astype("<f2")
    step = np.where(scale > 0, scale, 1).astype(np.float64)
    q = np.clip(np.rint((logits - zero) / step), -127, 127).astype(np.int8)
    return np.concatenate((scale.view(np.uint8), zero.view(np.uint8), q.view(np.uint8)), axis=1)


def _from_int8(stored: np.ndarray, classes: int, k: int) -> np.ndarray:
    stored = np.ascontiguousarray(stored)
    head = np.ascontiguousarray(stored[:, :4]).view("<f2").astype(np.float32)
    q = np.ascontiguousarray(stored[:, 4:]).view(np.int8).astype(np.float32)
    return head[:, 1:] + head[:, :1] * q


def _topk(logits: np.ndarray, k: int) -> np.ndarray:
    """The k largest logits (float16) and their classes (uint16), then the tail (float16).

    The tail is one logit for all other classes, such that their mass at T = 1 is theirs:
    t = log(sum of exp z_i / (C - k)).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    top, rest = order[:, :k], order[:, k:]
    values = np.take_along_axis(logits, top, 1).astype("<f2")
    others = np.take_along_axis(logits, rest, 1).astype(np.float64)
    highest = others.max(1, keepdims=True)
    tail = highest + np.log(np.exp(others - highest).mean(1, keepdims=True))
    parts = values, top.astype("<u2"), tail.astype("<f2")
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)


def _from_topk(stored: np.ndarray, classes: int, k: int) -> np.ndarray:
    values = np.ascontiguousarray(stored[:, : 2 * k]).view("<f2").astype(np.float32)
    top = np.ascontiguousarray(stored[:, 2 * k : 4 * k]).view("<u2").astype(np.int64)
    tail = np.ascontiguousarray(stored[:, 4 * k :]).view("<f2").astype(np.float32)
    logits = np.repeat(tail, classes, axis=1)
    top = np.where(np.isfinite(tail), top, 0)  # what is absent names no class, and stays NaN
    np.put_along_axis(logits, top, values, 1)
    return logits


CODECS: dict[str, Codec] = {
    "float16": Codec(
        "<f2", lambda c, k: c, _float16, _from_float16, 1e-4, 0.005, "scale the teacher's logits"
    ),
    "int8": Codec("|u1", lambda c, k: c + 4, _int8, _from_int8, 1e-3, 0.01, "use --codec float16"),
    "topk": Codec(
        "|u1", lambda c, k: 4 * k + 2, _topk, _from_topk, 0.1, 0.01, "use a larger k, or int8"
    ),
}


class Coding(NamedTuple):
    """A codec with its k, for a number of classes."""

    name: str
    """As `--codec` takes it: float16, int8, topk:16."""
    codec: Codec
    classes: int
    k: int

    @property
    def width(self) -> int:
        """Numbers stored for a record."""
        return self.codec.width(self.classes, self.k)

    @property
    def record_bytes(self) -> int:
        """Bytes stored for a record."""
        return self.width * np.dtype(self.codec.dtype).itemsize

    def encode(self, logits: np.ndarray) -> np.ndarray:
        """Logits (R, C) float32, finite and within float16 -> (R, width)."""
        return self.codec.encode(logits, self.k)

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """(R, width) -> logits (R, C) float32; NaN where nothing is stored."""
        return self.codec.decode(stored, self.classes, self.k)

    def measure(self, logits: np.ndarray) -> dict[str, Any]:
        """Name and error of this codec on (R, C) logits: what a store keeps of it."""
        return {
            "name": self.name,
            "records": len(logits),
            **error(logits, self.decode(self.encode(logits))),
        }

    def check(self, found: dict[str, Any]) -> None:
        """Refuse a codec that costs more than it may.

        Raises:
            RecordsError: the figures, the gate and the fix.
        """
        codec, flipped = self.codec, found["argmax_flips"] * found["records"]
        good = max(found["kl_t1"], found["kl_t4"]) <= codec.kl
        if good and flipped <= max(FEW, codec.flips * found["records"]):
            return
        raise RecordsError(
            f"loses too much of this teacher: KL {found['kl_t1']:.1e} at T=1 and "
            f"{found['kl_t4']:.1e} at T=4 (at most {codec.kl:g}), {found['argmax_flips']:.2%} of "
            f"{found['records']} classes flipped (at most {codec.flips:.1%})",
            where=f"codec {self.name}",
            fix=codec.remedy,
        )


def parse(text: str, classes: int) -> Coding:
    """Read `float16`, `int8`, `topk` or `topk:16` (k is 16 unless given).

    Raises:
        UsageError: no such codec, or a k that makes no sense for so many classes.

    >>> parse("int8", 40).record_bytes, parse("topk:8", 1000).record_bytes
    (44, 34)
    """
    name, colon, number = text.partition(":")
    if name not in CODECS or (colon and (name != "topk" or not number.isdecimal())):
        raise UsageError(f"unknown codec {text!r}", fix="choose from float16, int8, topk:16")
    k, codec = int(number or 16) if name == "topk" else 0, f"codec {text}"
    if name == "topk" and classes < 2:
        what = f"keeps fewer than all classes, and there is {classes}"
        raise UsageError(what, where=codec, fix="choose float16")
    if name == "topk" and not 1 <= k < min(classes, 2**16):
        raise UsageError(
            f"keeps {k} of {classes} classes",
            where=codec,
            fix=f"choose a k from 1 to {classes - 1}, or float16 or int8 for all of them",
        )
    if name == "topk" and classes > 2**16:
        what = f"numbers 65,536 classes, and the data has {classes}"
        raise UsageError(what, where=codec, fix="use int8")
    return Coding(f"topk:{k}" if k else name, CODECS[name], classes, k)


def error(logits: np.ndarray, stored: np.ndarray) -> dict[str, float]:
    """Error of a codec on (R, C) logits, in nats and as a fraction.

    Returns:
        `kl_t1` and `kl_t4`, the mean KL(original || stored) at temperatures 1 and 4, and
        `argmax_flips`, the fraction of records whose class changes.
    """
    result = {
        f"kl_t{temperature}": float(np.mean(divergence(logits / temperature, stored / temperature)))
        for temperature in (1, 4)
    }
    result["argmax_flips"] = float(np.mean(logits.argmax(1) != stored.argmax(1)))
    return result


def divergence(logits: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """KL(logits || stored) of each record at T = 1: (R, C), (R, C) -> (R,) float64, in nats."""
    log_p, log_q = _log_softmax(logits), _log_softmax(stored)
    kl: np.ndarray = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return kl


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
