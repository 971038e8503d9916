"""Job 1: run a teacher once over many augmented views of each shape, and keep what it said."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..augment import Clouds, Pipeline, moments, parse
from ..data import Dataset, Split
from ..data.selection import check_classes, limited
from ..errors import RecordsError, UsageError
from ..points.features import XYZ, Features, format_features
from ..progress import Track, console, size
from ..recipe import check_seed
from ..records import Store, Tile
from ..records import codec as codecs
from ..records.fingerprint import check_same
from ..records.layout import check_range
from ..records.location import locate
from ..records.probe import sketch
from ..teachers import Teacher
from ..teachers.axes_search import check_axes
from ..teachers.compatibility import check_data_features, check_folds
from .engine import Engine
from .local_engine import one_process

TileContent = tuple[np.ndarray, np.ndarray, np.ndarray, bytes]
"""Logits, parameters, sketch of the moments and proof of a tile."""


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
    codec: str = "float16",
    keyed: bool = False,
    part: str | None = None,
    engine: Engine = one_process,
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
        codec: how logits are stored: `float16`, `int8` or `topk:16` (see `records.codec`).
        keyed: draw the parameters again instead of storing them.
        part: record a share of the tiles only, such as `2/3`, the second of three; `merge` joins
            the stores.
        engine: who computes the tiles after the first: this process, or an
            `engines.ray.RayEngine`.
        quiet: report nothing.

    Returns:
        The finished store.

    Warns:
        UserWarning: a new teacher does on training shapes as if its axes were wrong; see
            `describing.check_axes`, also for what that costs.

    Raises:
        DataError: fewer than two classes, or a damaged cache of the data.
        RecordsError: `out` holds records of something else, is being written by another process or
            cannot be written; or the codec loses too much of this teacher.
        UsageError: options that make no sense, or a run of another fold as teacher.
    """
    # 1. Name the views: data, operations, seed and shapes decide every one of them.
    if min(number for number in (views, points, batch_size, limit) if number is not None) < 1:
        raise UsageError("views, points, limit and batch size must be 1 or more")
    check_seed(seed)
    check_classes(data)
    check_folds(teacher, data)
    check_data_features(teacher, data.features)
    split = data.train
    pipeline = Pipeline(parse(augment, split.up), seed)
    shapes = limited(split, limit)
    count = points or teacher.points or 1024
    coding = codecs.parse(codec, len(split.classes))
    share, shares = parse_part(part)
    attributes: dict[str, Any] = {
        "classes": list(split.classes),
        "data": _data(split),
        "teacher": {"fingerprint": teacher.fingerprint},
        "augment": pipeline.describe(),
        "columns": list(pipeline.columns),
        "points": count,
        "keyed": keyed,
    } | _features(split)
    place = locate(out)
    path = place.path

    # 2. Go on with the store that is there, if it was made from the same.
    def opened() -> Store:
        store = Store.open(path)
        fix = "choose another --out, or give the options it was made with"
        check_features(store, split)
        check_same(path, store.attributes, attributes, fix)
        extent = {"views": store.views, "shapes": store.rows, "codec": store.coding.name}
        now = {"views": views, "shapes": len(shapes), "codec": coding.name}
        if views > store.views and now == extent | {"views": views}:
            fix = f"`pointstill records extend {path} --views {views}` adds views"
        check_same(path, extent, now, fix)
        return store

    if place.taken() and not wanted(there := opened(), share, shares):
        return there
    with place.lock():
        place.sweep()
        store = opened() if place.taken() else None
        if not quiet:
            each = coding.record_bytes + (0 if keyed else 4 * len(pipeline.columns))
            done = store.rows * views - records_of(store.missing()) if store else 0
            console.print(
                f"recording {views * len(shapes):,} records ({len(shapes):,} shapes x {views} "
                f"views), {size(views * len(shapes) * each)}; {done:,} are there already"
            )

        # 3. A new store is made around its first tile, when it is known what the codec costs.
        clouds = Clouds.of(split, teacher.device)
        if store is None:
            split.check()  # the fingerprint goes into the store
            check_axes(teacher, split, clouds, batch_size, quiet)
            first, others = Tile.first(len(shapes)), spread(shapes)
            with Track("first tiles", first.stop + len(others), "records", quiet=quiet) as track:

                def computed(rows: np.ndarray, tile: Tile) -> TileContent:
                    return record_tile(
                        teacher, pipeline, clouds, rows, tile, count, batch_size, track
                    )

                started = time.monotonic()
                content = computed(shapes, first)
                seconds = time.monotonic() - started
                check_range(content[0], first)
                logits = content[0]
                if len(others):
                    more, *_ = computed(others, replace(first, stop=len(others)))
                    check_range(more, replace(first, start=first.stop, stop=len(shapes)))
                    logits = np.concatenate((logits, more))
            measured = coding.measure(logits)
            coding.check(measured)
            attributes |= {"teacher_spec": teacher.spec, "codec": measured, "batch": batch_size}
            store = Store.create(path, attributes, views, shapes, split.labels[shapes])
            store.write(first, *content)
            store.note(first, seconds, **coding.measure(content[0]))

        # 4. Record the tiles that are missing.
        fill(store, wanted(store, share, shares), teacher, split, clouds, quiet, engine)
    return store


@dataclass(frozen=True)
class Recorder:
    """All that it takes to record any tile of a store; a process loads it once."""

    store: Store
    teacher: Teacher
    clouds: Clouds
    """Of the split, on the teacher's device."""
    pipeline: Pipeline

    def __call__(self, tile: Tile, track: Track | None = None) -> None:
        """Compute a tile and commit it, whatever is there."""
        self.commit(tile, *self.compute(tile, track))

    def compute(self, tile: Tile, track: Track | None = None) -> tuple[TileContent, float]:
        """What a tile holds, and the seconds that it took."""
        store, made, started = self.store, self.store.attributes, time.monotonic()
        points, batch = made["points"], made["batch"]
        content = record_tile(
            self.teacher, self.pipeline, self.clouds, store.shapes, tile, points, batch, track
        )
        return content, time.monotonic() - started

    def commit(self, tile: Tile, content: TileContent, seconds: float) -> None:
        """Write a tile; the probe, written last, commits it."""
        self.store.write(tile, *content)
        self.store.note(tile, seconds, **self.store.coding.measure(content[0]))


def fill(
    store: Store,
    tiles: list[Tile],
    teacher: Teacher,
    split: Split,
    clouds: Clouds,
    quiet: bool,
    engine: Engine = one_process,
) -> None:
    """Record some tiles of a store, whatever is in them; hold its lock.

    The clouds are those of the split, on the teacher's device.

    Raises:
        RecordsError: the teacher or the data is not that of the store, or the disk refuses.
    """
    recorder = Recorder(store, teacher, clouds, check_made(store, teacher, split))
    with Track("record", records_of(tiles), "records", quiet=quiet) as track:
        engine(recorder, tiles, track)


def check_made(store: Store, teacher: Teacher | None, split: Split) -> Pipeline:
    """Refuse another teacher, other data or other operations than a store was made with.

    Returns:
        The pipeline that it was recorded with.

    Raises:
        RecordsError: names what differs, and the fix.
    """
    pipeline = Pipeline.restore(store.attributes["augment"])
    now: dict[str, Any] = {
        "classes": list(split.classes),
        "data": _data(split),
        "augment": pipeline.describe(),
    } | _features(split)
    if teacher:
        check_data_features(teacher, _shown(split))
        now["teacher"] = {"fingerprint": teacher.fingerprint}
    fix = "give the teacher and the data that it was made with"
    check_features(store, split)
    check_same(store.path, store.attributes, now, fix)
    return pipeline


def check_features(store: Store, split: Split) -> None:
    """Refuse data that was opened with other features than those that were recorded with it.

    Raises:
        RecordsError: names both, and the fix.
    """
    now = _shown(split)
    if now != store.features:
        raise RecordsError(
            f"{store.path} was recorded with features {format_features(store.features)}, and the data was "
            f"opened with {format_features(now)}: give --features {format_features(store.features)}, or another store"
        )


def wanted(store: Store, share: int, shares: int) -> list[Tile]:
    """The missing tiles of one share, dealt out in turn.

    >>> parse_part("2/3"), parse_part(None)
    ((1, 3), (0, 1))
    """
    each = len(store.tiles_of(0))
    return [tile for tile in store.missing() if (tile.view * each + tile.number) % shares == share]


def parse_part(text: str | None) -> tuple[int, int]:
    """Read a share such as `2/3`: its number, from 0, and how many there are.

    Raises:
        UsageError: no such share.
    """
    number, _, shares = (text or "1/1").partition("/")
    if not (number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
        raise UsageError(f"part {text!r} is no share: write 1/3, 2/3 and 3/3 for three")
    return int(number) - 1, int(shares)


def spread(shapes: np.ndarray) -> np.ndarray:
    """As many shapes as a tile has, at equal strides behind the first tile (S,) -> (at most T,).

    A codec is measured on them as well: in data that come class by class the first tile has a
    class or two.
    """
    length = Tile.first(len(shapes)).stop
    behind = shapes[length:]
    count = min(length, len(behind))
    chosen: np.ndarray = behind[np.arange(count) * len(behind) // max(count, 1)]
    return chosen


def records_of(tiles: Iterable[Tile]) -> int:
    """How many records some tiles have."""
    return sum(tile.stop - tile.start for tile in tiles)


def _shown(split: Split) -> Features:
    """What a point of its views has."""
    return split.extra.names if split.extra else XYZ


def _features(split: Split) -> dict[str, Any]:
    """The attribute that a store has where the teacher sees more than xyz."""
    extra = split.extra
    if extra is None:
        return {}
    return {"features": {"names": list(extra.names), "fingerprint": extra.fingerprint}}


def _data(split: Split) -> dict[str, Any]:
    return {"fingerprint": split.fingerprint, "split": split.name, "shapes": len(split)}


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
) -> TileContent:
    """Compute one tile. Batches never cross it, so it does not depend on who computes it."""
    mine = torch.from_numpy(shapes[tile.start : tile.stop])
    parameters = pipeline.sample(tile.view, mine)
    mine, drawn = mine.to(teacher.device), parameters.to(teacher.device)
    indices = pipeline.indices(clouds, tile.view, mine, count)
    points = pipeline.replay(clouds, tile.view, mine, drawn, count, indices)
    logits = []
    for batch in torch.split(points, batch_size):
        logits.append(teacher.logits(batch).float().cpu())
        if track:
            track.advance(len(batch))
    proof = pipeline.proof(indices, tile.view, mine, drawn)
    sums = sketch(moments(points).cpu().numpy())
    return torch.cat(logits).numpy(), parameters.numpy(), sums, proof
