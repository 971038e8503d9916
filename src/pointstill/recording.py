"""Job 1: run a teacher once over many augmented views of each shape, and keep what it said."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .augment import Clouds, Pipeline, moments, parse
from .data import Dataset
from .data.subset import limited
from .describing import check_frames
from .errors import UsageError
from .progress import Track, console, size
from .records import Store, Tile
from .records.codec import error as codec_error
from .records.fingerprint import check_same
from .records.store import check_range
from .teachers import Teacher

Recorded = tuple[np.ndarray, np.ndarray, np.ndarray, bytes]
"""Logits, parameters, moments and proof of a tile."""


def record(
    teacher: Teacher,
    data: Dataset,
    *,
    out: str | Path,
    views: int = 20,
    augment: str = "scale,shift",
    points: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 16,
    quiet: bool = False,
) -> Store:
    """Record a teacher's logits over augmented views of the training split.

    Killed at any moment, the same call goes on after the last whole tile, and ends with the same
    bytes (given the same torch, kind of CPU and number of threads).

    Args:
        teacher: from `load_teacher`, for the classes of `data`.
        data: from `open_dataset`; only its training split is opened.
        out: folder of the store.
        views: augmentation draws of each shape.
        augment: operations, such as `scale,shift` (see `augment.parse`).
        points: points per view; by default what the teacher was trained with, or 1,024.
        limit: record this many shapes only, stratified and seeded.
        seed: seed of the augmentation.
        batch_size: views the teacher sees at once; a store keeps the one it was made with.
        quiet: report nothing.

    Returns:
        The finished store.

    Warns:
        UserWarning: a new teacher does on training shapes as if its axes were wrong; see
            `describing.check_frames`, also for what that costs.

    Raises:
        RecordsError: `out` holds records of something else, or cannot be written.
        UsageError: options that make no sense.
    """
    # 1. Name the views: data, operations, seed and shapes decide every one of them.
    if min(number for number in (views, points, batch_size, limit) if number is not None) < 1:
        raise UsageError("views, points, limit and batch size must be 1 or more")
    split = data.train
    pipeline = Pipeline(parse(augment, split.up), seed)
    shapes = limited(split, limit)
    count = points or teacher.points or 1024
    attributes: dict[str, Any] = {
        "classes": list(split.classes),
        "data": {"fingerprint": split.fingerprint, "split": split.name, "shapes": len(split)},
        "teacher": {"fingerprint": teacher.fingerprint},
        "augment": pipeline.describe(),
        "columns": list(pipeline.columns),
        "points": count,
    }
    clouds = Clouds(split.points, split.offsets, teacher.device)

    # 2. Go on with the store that is there, if it was made from the same.
    path, store, done = Path(out), None, 0
    if path.exists():
        store = Store.open(path)
        fix = "choose another --out, or give the options it was made with"
        check_same(path, store.attributes, attributes, fix)
        extent = {"views": store.views, "shapes": store.rows}
        check_same(path, extent, {"views": views, "shapes": len(shapes)}, fix)
        store.sweep()
        done = store.rows * views - sum(tile.stop - tile.start for tile in store.missing())
    total = views * len(shapes)
    if not quiet:
        width = 2 * len(split.classes) + 4 * len(pipeline.columns)
        console.print(
            f"recording {total:,} records ({len(shapes):,} shapes x {views} views), "
            f"{size(total * width)} before compression; {done:,} are there already"
        )

    if store is None:
        check_frames(teacher, split, clouds, batch_size, quiet)

    with Track("record", total, "records", done=done, quiet=quiet) as track:
        # 3. A new store is made around its first tile, which tells what the codec costs.
        if store is None:
            first, started = Tile.first(len(shapes)), time.monotonic()
            content = record_tile(
                teacher, pipeline, clouds, shapes, first, count, batch_size, track
            )
            check_range(content[0], first)
            codec = {"name": "float16", **codec_error(content[0], content[0].astype(np.float16))}
            attributes |= {"teacher_spec": teacher.spec, "codec": codec, "batch": batch_size}
            store = Store.create(path, attributes, views, shapes, len(split.classes))
            store.write(first, *content)
            store.note(first, time.monotonic() - started)

        # 4. Record the tiles that are missing. The probe, written last, commits each.
        for tile in store.missing():
            started = time.monotonic()
            batch = store.attributes["batch"]
            content = record_tile(teacher, pipeline, clouds, shapes, tile, count, batch, track)
            store.write(tile, *content)
            store.note(tile, time.monotonic() - started)
    return store


@torch.inference_mode()
def record_tile(
    teacher: Teacher,
    pipeline: Pipeline,
    clouds: Clouds,
    shapes: np.ndarray,
    tile: Tile,
    count: int,
    batch_size: int,
    track: Track | None = None,
) -> Recorded:
    """Compute one tile. Batches never cross it, so it does not depend on who computes it."""
    mine = torch.from_numpy(shapes[tile.start : tile.stop])
    parameters = pipeline.sample(tile.view, mine)
    mine, drawn = mine.to(teacher.device), parameters.to(teacher.device)
    logits, measured = [], []
    for rows in torch.split(torch.arange(len(mine), device=mine.device), batch_size):
        points = pipeline.replay(clouds, tile.view, mine[rows], drawn[rows], count)
        logits.append(teacher.logits(points).float().cpu())
        measured.append(moments(points).cpu())
        if track:
            track.advance(len(rows))
    proof = pipeline.proof(clouds, tile.view, mine, drawn, count)
    return torch.cat(logits).numpy(), parameters.numpy(), torch.cat(measured).numpy(), proof
