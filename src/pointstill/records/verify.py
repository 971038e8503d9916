"""Proof that the views made now are the views that were recorded."""

import numpy as np
import torch

from ..augment import Clouds, Pipeline, moments
from ..errors import RecordsError
from .layout import Tile
from .probe import sketch
from .store import Store

TOLERANCE = 1e-5
"""Largest difference of a number in the sketch, in unit-sphere radii: so much may the mean point or
mean norm of any one view differ, or of all of them on average."""


def replay(
    store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds, parameters: np.ndarray
) -> tuple[bytes, np.ndarray]:
    """Make the views of a tile again and measure them: the proof, and the sketch (9, 4 + F).

    Clouds of other features than the teacher saw, as a student may have, are measured on xyz alone.
    """
    shapes = torch.from_numpy(store.shapes[tile.start : tile.stop]).to(clouds.device)
    drawn = torch.from_numpy(parameters).to(clouds.device)
    count = store.attributes["points"]
    indices = pipeline.indices(clouds, tile.view, shapes, count)
    points = pipeline.replay(clouds, tile.view, shapes, drawn, count, indices)
    if clouds.features != store.features:
        points = points[..., :3]
    proof = pipeline.proof(indices, tile.view, shapes, drawn)
    return proof, sketch(moments(points).cpu().numpy())


def check_replay(store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds) -> None:
    """Replay one tile and compare it with its probe.

    Raises:
        RecordsError: integer draws, point indices or parameters differ in any bit, or the sketch of
            the moments by more than `TOLERANCE`.
    """
    proof, sums = store.probe(tile)
    now, measured = replay(store, tile, pipeline, clouds, store.tile_parameters(tile))
    if now != proof:
        raise RecordsError(
            f"{store.path}: {tile} does not replay: its points or parameters are not those that "
            f"the teacher saw: {store.remedy}"
        )
    worst = float(np.abs(measured - sums[:, : measured.shape[1]]).max())
    if not worst <= TOLERANCE:
        raise RecordsError(
            f"{store.path}: {tile} replays {worst:.1e} away from what the teacher saw "
            f"(tolerance {TOLERANCE}): the data or the store changed, record again"
        )
