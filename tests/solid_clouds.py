"""Clouds of three kinds of solids."""

import numpy as np


def solid(name: str, points: int, seed: int) -> np.ndarray:
    """Points on a ball or a box, or in a rod: (points, 3) float32, about 2 units long."""
    draw = np.random.default_rng(seed)
    cloud = draw.uniform(-1, 1, (points, 3))
    if name == "ball":
        cloud = draw.normal(size=(points, 3))
        cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
    elif name == "box":
        cloud /= np.abs(cloud).max(axis=1, keepdims=True)
    else:
        cloud[:, :2] *= 0.1
    return cloud.astype(np.float32)
