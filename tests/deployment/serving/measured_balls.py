"""Clouds with channels, of which one tells two classes."""

import numpy as np


def measured_ball(label: int, seed: int) -> np.ndarray:
    """One that comes nearer or goes away: a structured array of 60 points and more."""
    draw = np.random.default_rng(seed)
    count = 60 + seed % 7
    rows = np.zeros(
        count, [(name, "f8") for name in ("x", "y", "z", "nx", "ny", "nz", "v_r", "time")]
    )
    way = draw.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    for axis, each in zip("xyz", way.T, strict=True):
        rows[axis], rows["n" + axis] = 5 * each + 100, 3 * each
    rows["v_r"] = draw.normal(4 * label - 2, 1, count)
    rows["time"] = 1.7e9 + draw.uniform(0, 1, count)
    return rows
