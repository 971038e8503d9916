"""What a recording will cost: bytes from its shape, hours and memory from a few batches."""

import resource
import time
from dataclasses import dataclass

import numpy as np
import torch

from ..augment import Clouds, Pipeline, parse
from ..data import Dataset
from ..errors import UsageError
from ..points.features import width
from ..recipe import POINTS, RecordRecipe
from ..records import Tile, codec, probe
from ..records.layout import tile_length
from ..teachers import Teacher
from .tiles import record_tile

SECONDS = 10.0
"""For so long, about, a teacher is timed."""
CHECKSUM = 4
"""Bytes of CRC-32C after each chunk."""
HEADERS = 12_000
"""Bytes of headers and their backup, about, besides shapes and labels."""
BLOCK = 4096
"""Bytes that a file is rounded up to on a common disk."""


@dataclass(frozen=True)
class StoreSize:
    """Sizes of a store, in bytes."""

    records: int
    """How many."""
    logits: int
    """Of one record."""
    parameters: int
    """Of one record; 0 if keyed."""
    total: int
    """Of all files, within a few per cent; exact for logits and parameters."""
    blocks: int
    """The same on a disk that gives whole blocks of 4,096 bytes to each file."""
    files: int
    """How many."""
    largest: int
    """Of the largest file."""


@dataclass(frozen=True)
class Timing:
    """A teacher that was timed on a few batches."""

    points: int
    """Of a view."""
    batch_size: int
    records_a_second: float
    memory: int
    """Bytes of this process at its highest."""
    device: str
    device_memory: int | None
    """Bytes of the GPU at its highest; None on a CPU."""


@dataclass(frozen=True)
class Estimate:
    """What a recording will cost."""

    size: StoreSize
    timing: Timing | None = None
    """None where no teacher was timed."""

    @property
    def seconds(self) -> float | None:
        """Of the whole recording, as far as the teacher decides it."""
        return self.size.records / self.timing.records_a_second if self.timing else None


def estimate_recording(
    data: Dataset | None = None,
    teacher: Teacher | None = None,
    *,
    recipe: RecordRecipe | None = None,
    shapes: int | None = None,
    classes: int | None = None,
) -> Estimate:
    """Tell what `record` of a recipe will cost.

    Args:
        data: gives shapes and classes that are not given.
        teacher: is timed on a few batches of the data.
        recipe: as for `record`; the defaults if nothing is said.
        shapes: number of shapes.
        classes: number of classes.

    Raises:
        UsageError: shapes or classes are not known, or there are none.
    """
    recipe = recipe or RecordRecipe()
    shapes = len(data.train) if shapes is None and data else shapes
    classes = len(data.classes) if classes is None and data else classes
    if shapes is None or classes is None:
        raise UsageError(
            "shapes and classes are not known", fix="give --shapes and --classes, or --data"
        )
    for name, value in (("shapes", shapes), ("classes", classes)):
        if value < 1:
            raise UsageError(f"{name} is {value}", fix="choose 1 or more")
    pipeline = Pipeline(parse(recipe.augment, data.up if data else "z"), recipe.seed)
    size = store_size(
        min(shapes, recipe.limit or shapes),
        recipe.views,
        classes,
        recipe.codec,
        columns=len(pipeline.columns),
        keyed=recipe.keyed,
        features=width(data.features) - 3 if data else 0,
    )
    timed = time_teacher(teacher, data, pipeline, recipe) if teacher and data else None
    return Estimate(size, timed)


def store_size(
    shapes: int,
    views: int,
    classes: int,
    codec_name: str,
    *,
    columns: int,
    keyed: bool,
    features: int = 0,
) -> StoreSize:
    """Sizes of a store of so many shapes, views, classes and parameter columns.

    With `features` numbers a point beside xyz, which are in the probes.

    >>> found = store_size(9843, 20, 40, "int8", columns=6, keyed=True)
    >>> found.logits, found.parameters, found.files
    (44, 0, 1571)
    """
    coding, length = codec.parse(codec_name, classes), tile_length(shapes)
    tiles = views * -(-shapes // length)
    parameters = 0 if keyed else 4 * columns
    sealed = 3 if parameters else 2
    chunks = [coding.record_bytes * length, parameters * length, probe.length(features, sealed)]
    files = [chunk + CHECKSUM for chunk in chunks if chunk]
    headers = HEADERS + 4 * 4 * shapes
    return StoreSize(
        records=shapes * views,
        logits=coding.record_bytes,
        parameters=parameters,
        total=tiles * sum(files) + headers,
        blocks=tiles * sum(-(-file // BLOCK) * BLOCK for file in files) + headers,
        files=tiles * len(files) + 11,
        largest=max(files),
    )


def time_teacher(
    teacher: Teacher, data: Dataset, pipeline: Pipeline, recipe: RecordRecipe
) -> Timing:
    """Time a teacher on batches of the first shapes, after one to warm up."""
    split, points = data.train, recipe.points or teacher.points or POINTS
    clouds, device = Clouds.of(split, teacher.device), teacher.device
    rows = min(recipe.batch_size, len(split))
    shapes, tile = np.arange(rows), Tile(0, 0, 0, rows)

    def ask() -> None:
        record_tile(teacher, pipeline, clouds, shapes, tile, points, recipe.batch_size)

    ask()
    started, done = time.monotonic(), 0
    while done < 2 * rows or (time.monotonic() - started < SECONDS and done < 20 * rows):
        ask()
        done += rows
    on_gpu = device.type == "cuda"
    return Timing(
        points=points,
        batch_size=recipe.batch_size,
        records_a_second=done / (time.monotonic() - started),
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        device=str(device),
        device_memory=torch.cuda.max_memory_allocated(device) if on_gpu else None,
    )
