"""Philox4x32-10, a counter-based random generator, vectorised over NumPy arrays or torch tensors.

A draw is a pure function of (key, counter): no state, no order, the same bits on every machine and
device. Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC'11. NumPy's own `Philox` is
the 4x64 variant and gives other numbers.
"""

from typing import Any, TypeVar, cast

Words = TypeVar("Words")  # int64 array or tensor that holds uint32 values

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF


def philox4x32(
    counter: tuple[Words, Words, Words, Words], key: tuple[int, int], rounds: int = 10
) -> tuple[Words, Words, Words, Words]:
    """Encrypt counters into four 32-bit words of noise each.

    Args:
        counter: four int64 arrays or tensors of values in [0, 2**32); they broadcast together.
        key: two integers in [0, 2**32).
        rounds: rounds of the bijection; 10 is the published, well-tested choice.

    Returns:
        Four int64 arrays or tensors of values in [0, 2**32).

    The 64-bit product of two 32-bit words may overflow int64; its bits are right all the same, and
    a shift followed by a mask recovers the high word.
    """
    c0, c1, c2, c3 = cast(Any, counter)
    k0, k1 = key
    for _ in range(rounds):
        left = c0 * _MULTIPLIERS[0]
        right = c2 * _MULTIPLIERS[1]
        # c1 and c3 keep the high words of their products: one mask takes those off with the rest.
        c0, c2 = ((right >> 32) ^ c1 ^ k0) & _MASK, ((left >> 32) ^ c3 ^ k1) & _MASK
        c1, c3 = right, left
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1 & _MASK, c2, c3 & _MASK
