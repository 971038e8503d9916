"""Proof that the views made now are the views that were recorded."""

import numpy as np
import torch

from ..augment import Clouds, Pipeline, moments
from ..errors import RecordsError
from .store import Store, Tile

TOLERANCE = 1e-5
"""Largest difference of a cloud's mean point or mean norm, in unit-sphere radii."""


def replay(
    store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds, parameters: np.ndarray
) -> tuple[bytes, np.ndarray]:
    """Make the views of a tile again and measure them: the proof, and moments (rows, 4)."""
    shapes = torch.from_numpy(store.shapes[tile.start : tile.stop]).to(clouds.points.device)
    drawn = torch.from_numpy(parameters).to(clouds.points.device)
    count = store.attributes["points"]
    points = pipeline.replay(clouds, tile.view, shapes, drawn, count)
    proof = pipeline.proof(clouds, tile.view, shapes, drawn, count)
    return proof, moments(points).cpu().numpy()


def check_replay(store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds) -> None:
    """Replay one tile and compare it with its probe.

    Raises:
        RecordsError: integer draws, point indices or parameters differ in any bit, or a cloud's
            moments by more than `TOLERANCE`.
    """
    parameters = store.parameters(tile.view)[tile.start : tile.stop]
    proof, measured = replay(store, tile, pipeline, clouds, parameters)
    if proof != store.proof(tile):
        raise RecordsError(
            f"{store.path}: {tile} does not replay: its points or parameters are not those that "
            "the teacher saw; the store is damaged, record it again"
        )
    worst = float(np.abs(measured - store.moments(tile)).max())
    if not worst <= TOLERANCE:
        raise RecordsError(
            f"{store.path}: {tile} replays {worst:.1e} away from what the teacher saw "
            f"(tolerance {TOLERANCE}): the data or the store changed, record again"
        )
