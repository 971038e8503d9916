"""Arithmetic whose last bit is the same on every machine.

Sine, cosine and logarithm differ in the last bit between C libraries and SIMD widths, and so do
sums and matrix products, whose order is not fixed. Here only + - * / and the square root are used,
one element at a time: IEEE 754 rounds these correctly, so everyone gets the same bits.
"""

from functools import lru_cache
from math import copysign, factorial, floor

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TWO_PI = 6.283185307179586
_SINE_TERMS = [(1 - k % 2 * 2) / factorial(2 * k + 1) for k in reversed(range(11))]


def sine(turns: float) -> float:
    """Sine of an angle in turns (1 turn = 360 degrees), by its Taylor series, within 1e-15.

    >>> sine(0.25), sine(0.5)
    (1.0, 0.0)
    """
    angle = turns - floor(turns + 0.5)  # [-1/2, 1/2)
    if abs(angle) > 0.25:
        angle = copysign(0.5, angle) - angle  # [-1/4, 1/4]
    x = _TWO_PI * angle
    square = x * x
    series = 0.0
    for term in _SINE_TERMS:
        series = series * square + term
    return series * x


def cosine(turns: float) -> float:
    """Cosine of an angle in turns."""
    return sine(turns + 0.25)


@lru_cache
def circle(sides: int) -> Array:
    """Corners of a regular polygon on the unit circle, counter-clockwise, (sides, 2)."""
    corners = np.array([(cosine(i / sides), sine(i / sides)) for i in range(sides)])
    corners.flags.writeable = False
    return corners


def cross(a: Array, b: Array) -> Array:
    """Cross product of vectors along the last axis, (..., 3)."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def dot(a: Array, b: Array) -> Array:
    """Dot product of vectors along the last axis, (..., 3) -> (...)."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def unit(a: Array) -> Array:
    """Vectors of length one along the last axis, (..., 3); a zero vector stays zero."""
    length = np.sqrt(dot(a, a))
    return np.asarray(a / np.where(length > 0, length, 1.0)[..., None])


def rotate(points: Array, turns: float, axis: str = "z") -> Array:
    """Rotate points (..., 3) about the axis x, y or z, counter-clockwise, by an angle in turns."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    c, s = cosine(turns), sine(turns)
    out = points.copy()
    out[..., i] = c * points[..., i] - s * points[..., j]
    out[..., j] = s * points[..., i] + c * points[..., j]
    return out


def gaussian(uniforms: Array) -> Array:
    """Nearly normal draws (Irwin-Hall, mean 0, deviation 1) from uniforms (4, n) in [0, 1)."""
    a, b, c, d = uniforms
    return np.asarray((a + b + c + d - 2.0) * 1.7320508075688772)  # a sum of 4 has variance 1/3
