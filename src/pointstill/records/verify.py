"""Proof that the views made now are the views that were recorded."""

import numpy as np
import torch

from ..augment import Clouds, Pipeline, moments
from ..errors import RecordsError
from ..points.features import Features, columns
from .layout import Tile
from .probe import moment_sums
from .store import Store

TOLERANCE = 1e-5
"""Largest difference of a moment sum, in unit-sphere radii: so much may the mean point or
mean norm of any one view differ, or of all of them on average. Of features whose sums are beyond 1,
as channels have units of their own, it is the part of the largest."""


def replay(
    store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds, parameters: np.ndarray
) -> tuple[bytes, np.ndarray]:
    """Make the views of a tile again and measure them: the proof, and the moment sums (9, 4 + F).

    Clouds of other features than the teacher saw, as a student may have, are measured on those that
    both have, in the order of the store.
    """
    shapes = torch.from_numpy(store.shapes[tile.start : tile.stop]).to(clouds.device)
    drawn = torch.from_numpy(parameters).to(clouds.device)
    count = store.attributes["points"]
    indices = pipeline.indices(clouds, tile.view, shapes, count)
    points = pipeline.replay(clouds, tile.view, shapes, drawn, count, indices)
    if clouds.features != store.features:
        here = columns(clouds.features)
        both = [points[..., here[name]] for name in _shared(store, clouds)]
        points = torch.cat(both, dim=2)
    proof = pipeline.proof(indices, tile.view, shapes, drawn)
    return proof, moment_sums(moments(points).cpu().numpy())


def check_replay(store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds) -> float:
    """Replay one tile and compare it with its probe.

    Returns:
        Largest difference of a moment sum; see `TOLERANCE`.

    Raises:
        RecordsError: integer draws, point indices or parameters differ in any bit, or a moment sum
            by more than `TOLERANCE`.
    """
    proof, sums = store.probe(tile)
    now, measured = replay(store, tile, pipeline, clouds, store.tile_parameters(tile))
    if now != proof:
        raise RecordsError(
            "does not replay, as its points or parameters are not those that the teacher saw",
            where=store.where(tile),
            fix=store.remedy,
        )
    sums = sums[:, _places(store, clouds)]
    beyond = np.abs(sums).max(axis=0).clip(min=1)
    beyond[:4] = 1
    worst = float((np.abs(measured - sums) / beyond).max())
    if not worst <= TOLERANCE:
        raise RecordsError(
            f"replays {worst:.1e} away from what the teacher saw (tolerance {TOLERANCE}), as the "
            "data or the store changed",
            where=store.where(tile),
            fix="record again",
        )
    return worst


def _shared(store: Store, clouds: Clouds) -> Features:
    """The features that the teacher saw and clouds have."""
    return tuple(name for name in store.features if name in clouds.features)


def _places(store: Store, clouds: Clouds) -> list[int]:
    """Where moments of these are among those of the store: xyz and the norm, then features."""
    there = columns(store.features)
    others = [there[name] for name in _shared(store, clouds)[1:]]
    return [0, 1, 2, 3, *(place + 1 for each in others for place in range(each.start, each.stop))]
