"""What a recording will cost: bytes from its shape, hours and memory from a few batches."""

import resource
import time

import numpy as np
import torch

from ..augment import Clouds, Pipeline, parse
from ..data import Dataset
from ..errors import UsageError
from ..points.features import width
from ..progress import clock, size
from ..records import Tile
from ..records.estimate import estimate as sizes
from ..teachers import Teacher
from .job import record_tile

SECONDS = 10.0
"""For so long, about, a teacher is timed."""


def estimate(
    data: Dataset | None = None,
    teacher: Teacher | None = None,
    *,
    shapes: int | None = None,
    views: int = 20,
    classes: int | None = None,
    codec: str = "float16",
    keyed: bool = False,
    augment: str = "scale,shift",
    points: int | None = None,
    batch_size: int = 16,
) -> list[str]:
    """Say what a recording will cost, one line a matter.

    Args:
        data: gives shapes and classes that are not given.
        teacher: is timed on a few batches of the data.
        shapes: number of shapes.
        views: augmentation draws of each.
        classes: number of classes.
        codec: as for `record`.
        keyed: as for `record`.
        augment: as for `record`.
        points: as for `record`.
        batch_size: as for `record`.

    Raises:
        UsageError: shapes or classes are not known, or there are none.
    """
    shapes = len(data.train) if shapes is None and data else shapes
    classes = len(data.classes) if classes is None and data else classes
    if shapes is None or classes is None:
        raise UsageError("give --shapes and --classes, or --data to count them")
    for name, value in (("shapes", shapes), ("views", views), ("classes", classes)):
        if value < 1:
            raise UsageError(f"{name} is {value}; choose 1 or more")
    pipeline = Pipeline(parse(augment, data.up if data else "z"), 0)
    columns = len(pipeline.columns)
    features = width(data.features) - 3 if data else 0
    lines = sizes(shapes, views, classes, codec, columns, keyed, features).lines()
    if not (teacher and data):
        return lines
    count = points or teacher.points or 1024
    rate = _records_a_second(teacher, data, pipeline, count, batch_size)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines.append(
        f"{rate:,.3g} records/s with batches of {batch_size} views of {count:,} points: "
        f"{clock(shapes * views / rate)} in all"
    )
    line = f"{size(memory)} of memory at its highest"
    if teacher.device.type == "cuda":
        line += f", {size(torch.cuda.max_memory_allocated(teacher.device))} on {teacher.device}"
    return [*lines, line]


def _records_a_second(
    teacher: Teacher, data: Dataset, pipeline: Pipeline, count: int, batch_size: int
) -> float:
    """Time a teacher on batches of the first shapes, after one to warm up."""
    split = data.train
    clouds = Clouds.of(split, teacher.device)
    rows = min(batch_size, len(split))
    shapes, tile = np.arange(rows), Tile(0, 0, 0, rows)
    record_tile(teacher, pipeline, clouds, shapes, tile, count, batch_size)
    started, done = time.monotonic(), 0
    while done < 2 * rows or (time.monotonic() - started < SECONDS and done < 20 * rows):
        record_tile(teacher, pipeline, clouds, shapes, tile, count, batch_size)
        done += rows
    return done / (time.monotonic() - started)
