"""Looking after a record store: repair what broke, verify what is there, add views."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..augment import Clouds, Pipeline
from ..data import Dataset
from ..errors import RecordsError, UsageError
from ..progress import Track
from ..recipe import check_seed
from ..records import Store, Tile, headers
from ..records.codec import divergence
from ..records.folder_or_bucket import locate, no_store
from ..records.location import Location
from ..records.matching import check_made
from ..records.verify import check_replay
from ..teachers import Teacher
from ..teachers.compatibility import check_data_features
from .engine import Engine, fill, one_process
from .tiles import Recorder, records_of

TOLERANCE = 0.01
"""Largest KL(teacher now || records) of any one record at T = 1, in nats. On the same kind of
machine it is 0; on another, float error may tip a logit to the next step of the codec."""


class Repaired(NamedTuple):
    """What was mended."""

    headers: list[str]
    """Files that were copied back from their backup."""
    tiles: list[Tile]
    """Tiles that were recorded again."""

    def __str__(self) -> str:
        parts = [f"copied back {', '.join(self.headers)}"] if self.headers else []
        parts += [f"recorded again {'; '.join(map(str, self.tiles))}"] if self.tiles else []
        return ", ".join(parts) or "nothing was damaged"


class Verified(NamedTuple):
    """How far a store is from what is at hand."""

    tiles: int
    """Tiles that were looked at."""
    moment_sums: float
    """Largest difference of a moment sum, in unit-sphere radii."""
    kl: float | None
    """Largest KL(teacher now || records) of any record, in nats; None without a teacher."""
    logit: float | None
    """Largest difference of a stored logit."""

    def __str__(self) -> str:
        text = f"{self.tiles} tiles replay within {self.moment_sums:.1e}"
        if self.kl is not None:
            text += f"; the teacher says the same within KL {self.kl:.1e}, {self.logit:.1e} a logit"
        return text


def repair(
    path: str | Path,
    teacher: Teacher | None = None,
    data: Dataset | None = None,
    *,
    load: Callable[[], Teacher] | None = None,
    quiet: bool = False,
) -> Repaired:
    """Mend a store: copy back damaged headers, record damaged tiles again, and no others.

    Args:
        path: the store.
        teacher: the one that it was made with; not needed for the headers.
        data: the data that it was made with; with it, tiles that do not replay are damaged too.
        load: makes the teacher, where one is needed and none is given.
        quiet: report nothing.

    Raises:
        RecordsError: a damaged tile and no teacher, or another teacher or data than the store's.
    """
    with _locked(path) as location:
        mended = headers.restore(location)
        store = Store.open(path)
        bad = store.damaged()
        if data is not None:
            pipeline = _check_made(store, data, teacher)
            clouds = Clouds.of(data.train, version=pipeline.normalization)
            sound = sorted(store.recorded_tiles() - set(bad))
            bad += [tile for tile in sound if not _replays(store, tile, pipeline, clouds)]
        damage = f"has {len(bad)} tiles that are damaged ({_some(bad, 5)})"
        if bad and data and teacher is None and load:
            try:
                teacher = load()
            except UsageError as error:
                what = f"{damage}, and {error.what}"
                raise RecordsError(what, where=path, fix=error.fix) from error
            pipeline = _check_made(store, data, teacher)
        if bad and (teacher is None or data is None):
            fix = "give --teacher and --data to record them again"
            raise RecordsError(damage, where=path, fix=fix)
        if bad and teacher and data:
            clouds = Clouds.of(data.train, teacher.device, pipeline.normalization)
            fill(Recorder(store, teacher, clouds, pipeline), bad, quiet=quiet)
    return Repaired(mended, bad)


def extend(
    path: str | Path,
    teacher: Teacher,
    data: Dataset,
    *,
    views: int,
    engine: Engine = one_process,
    quiet: bool = False,
) -> Store:
    """Add views to a store; what is recorded stays. Killed at any moment, the same call goes on.

    Args:
        path: the store.
        teacher: the one that it was made with.
        data: the data that it was made with.
        views: how many it shall have in all.
        engine: who computes the tiles, as for `record`.
        quiet: report nothing.

    Returns:
        The store, which is then the one that `record` would have made of so many views.

    Raises:
        RecordsError: another teacher or data than the store's, or a disk that refuses.
        UsageError: the store has more views.
    """
    with _locked(path) as location:
        headers.restore(location)  # ends an extension that was killed
        store = Store.open(path)
        if views < store.views:
            fix = "give more, or take fewer by `pointstill records subset`"
            raise UsageError(f"has {store.views} views", where=path, fix=fix)
        pipeline = _check_made(store, data, teacher)
        if views > store.views:
            store = store.lengthen(views)
        clouds = Clouds.of(data.train, teacher.device, pipeline.normalization)
        recorder = Recorder(store, teacher, clouds, pipeline)
        fill(recorder, store.missing(), engine=engine, quiet=quiet)
    return store


def verify(
    store: Store,
    data: Dataset,
    *,
    tiles: int | None = 16,
    teacher: Teacher | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    quiet: bool = False,
) -> Verified:
    """Make views of a store again, compare them with its probes, and ask the teacher once more.

    Args:
        store: the store.
        data: what it was made from; only its training split is opened.
        tiles: how many recorded tiles to look at, at random; None for all.
        teacher: run it again and compare logits, after the store's codec.
        tolerance: largest KL(teacher now || records) of a record at T = 1, in nats.
        seed: of the choice of tiles.
        quiet: report nothing.

    Raises:
        RecordsError: names the tiles that are wrong; or nothing is recorded.
    """
    check_seed(seed)
    pipeline = _check_made(store, data, teacher)
    if not np.array_equal(store.labels, data.train.labels[store.shapes]):
        what = "has labels that are not those of the data"
        raise RecordsError(what, where=store.path, fix="record again")
    chosen = _some_tiles(store, tiles, seed)
    version = pipeline.normalization
    clouds = Clouds.of(data.train, version=version)
    recorder = None
    if teacher:
        there = Clouds.of(data.train, teacher.device, version)
        recorder = Recorder(store, teacher, there, pipeline)
    wrong, sums, kls, logits = [], [0.0], [0.0], [0.0]
    with Track("verify", records_of(chosen), "records", quiet=quiet) as track:
        for tile in chosen:
            try:
                store.check(tile)
                sums.append(check_replay(store, tile, pipeline, clouds))
                if recorder:
                    kl, logit = _logit_difference(recorder, tile)
                    kls.append(kl)
                    logits.append(logit)
                    if not kl <= tolerance:
                        wrong.append(
                            f"{tile}: the teacher now says otherwise, KL {kl:.1e} (tolerance "
                            f"{tolerance:g}), a logit differs by {logit:.2g}"
                        )
            except RecordsError as error:
                if isinstance(error.__cause__, PermissionError):
                    raise  # nothing says that it is wrong
                wrong.append(f"{tile} {error.what}")  # store and fix are said once, for all
            track.advance(tile.stop - tile.start)
    if wrong:
        raise RecordsError(
            f"is wrong in {len(wrong)} of {len(chosen)} tiles ({_some(wrong, 3)})",
            where=store.path,
            fix="run `pointstill records repair` with its teacher and data",
        )
    worst = (max(kls), max(logits)) if recorder else (None, None)
    return Verified(len(chosen), max(sums), *worst)


def tiles_of(text: str) -> int | None:
    """Read a number of tiles, or `all` (None).

    Raises:
        UsageError: neither.
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"tiles {text!r} is no number", fix="give 1 or more, or all")
    return int(text)


@contextmanager
def _locked(path: str | Path) -> Iterator[Location]:
    """Be the only one that writes what is there of a store, whole or damaged."""
    location = locate(path)
    if not location.holds():
        raise no_store(location)
    with location.lock():
        location.sweep()
        yield location


def _check_made(store: Store, data: Dataset, teacher: Teacher | None) -> Pipeline:
    """Refuse a teacher and data that are not those of the store."""
    if teacher:
        check_data_features(teacher, data.features)
    return check_made(store, data.train, teacher.fingerprint if teacher else None)


def _replays(store: Store, tile: Tile, pipeline: Pipeline, clouds: Clouds) -> bool:
    try:
        check_replay(store, tile, pipeline, clouds)
    except RecordsError:
        return False
    return True


def _some_tiles(store: Store, count: int | None, seed: int) -> list[Tile]:
    """Recorded tiles at random, in order."""
    there = sorted(store.recorded_tiles())
    if not there:
        fix = "run the same `pointstill record`"
        raise RecordsError("holds no tile yet", where=store.path, fix=fix)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(there))[:count]
    return [there[number] for number in sorted(order)]


def _logit_difference(recorder: Recorder, tile: Tile) -> tuple[float, float]:
    """Largest KL(teacher now || records) in a tile, and largest difference of a logit."""
    store = recorder.store
    content, _ = recorder.compute(tile)
    now = store.coding.decode(store.coding.encode(content.logits))
    then = store.tile_logits(tile)
    return float(divergence(now, then).max()), float(np.abs(now - then).max())


def _some(matters: Iterable[object], most: int) -> str:
    """The first of a list, for a message."""
    texts = [str(each) for each in matters]
    return "; ".join(texts[:most]) + ("; and more" if len(texts) > most else "")
