"""The probe of a tile: the mark that it is recorded, and the proof of what was seen.

32 bytes SHA-256 of what a replay must hit exactly (`Pipeline.proof`), then the
moment sums, 9 x 4 float32, which a replay must hit within a tolerance; 9 x (4 + F) with features.
Then a seal of each chunk of the tile, the last of the probe itself; see `seals`.
"""

from collections.abc import Sequence

import numpy as np

from . import seals

HASH = 32
SIGNS = 8
LENGTH = HASH + 4 * 4 * (1 + SIGNS)
"""Bytes of proof and sums of xyz alone: 176, whatever the number of records in the tile."""


def length(features: int, sealed: int = 0) -> int:
    """Bytes of a probe with so many numbers a point beside xyz, and seals of so many arrays.

    >>> length(0), length(3), length(0, sealed=3)
    (176, 284, 272)
    """
    return LENGTH + 4 * features * (1 + SIGNS) + seals.LENGTH * sealed


def moment_sums(moments: np.ndarray) -> np.ndarray:
    """Nine sums in place of the moments of every view: (R, 4 + F) -> (9, 4 + F) float32.

    The first is the mean over the tile. The others add and subtract: sum k takes row r with the
    sign of bit k of r. A change of d in one view changes each of the eight by d, two views that
    change places change at least one, and a change of all views changes the mean; while float
    error, which has no sign of its own, grows as the root of the tile only.
    """
    rows = np.arange(len(moments))
    bits = (rows[None, :] >> np.arange(SIGNS)[:, None]) & 1
    sums = (1 - 2 * bits) @ moments.astype(np.float64)
    return np.vstack([moments.mean(0, dtype=np.float64), sums]).astype("<f4")


def join(proof: bytes, sums: np.ndarray) -> np.ndarray:
    """A hash and moment sums as (length,) uint8, not sealed yet."""
    return np.frombuffer(proof + sums.astype("<f4").tobytes(), np.uint8)


def with_seals(probe: np.ndarray, found: Sequence[bytes]) -> np.ndarray:
    """A probe (length,) uint8 with some seals behind it."""
    return np.frombuffer(probe.tobytes() + b"".join(found), np.uint8)


def split(probe: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The hash and the moment sums (9, 4 + F) of a probe (length,) without its seals."""
    content = probe.tobytes()
    return content[:HASH], np.frombuffer(content[HASH:], "<f4").reshape(1 + SIGNS, -1)
