"""Looking after a record store: repair what broke, verify what is there, add views."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..augment import Clouds
from ..data import Dataset
from ..data.selection import limited
from ..errors import RecordsError, UsageError
from ..progress import Track
from ..recipe import check_seed
from ..records import Store, Tile, derive, headers
from ..records.codec import divergence
from ..records.location import locate, no_store
from ..records.verify import check_replay, replay
from ..teachers import Teacher
from .engine import Engine
from .job import check_made, fill, record_tile, records_of
from .local_engine import one_process

TOLERANCE = 0.01
"""Largest KL(teacher now || records) of any one record at T = 1, in nats. On the same kind of
machine it is 0; on another, float error may tip a logit to the next step of the codec."""


class Repaired(NamedTuple):
    """What was mended."""

    heads: list[str]
    """Files that were copied back from the spare."""
    tiles: list[Tile]
    """Tiles that were recorded again."""

    def __str__(self) -> str:
        parts = [f"copied back {', '.join(self.heads)}"] if self.heads else []
        parts += [f"recorded again {'; '.join(map(str, self.tiles))}"] if self.tiles else []
        return ", ".join(parts) or "nothing was damaged"


class Verified(NamedTuple):
    """How far a store is from what is at hand."""

    tiles: int
    """Tiles that were looked at."""
    sketch: float
    """Largest difference in a sketch of moments, in unit-sphere radii."""
    kl: float | None
    """Largest KL(teacher now || records) of any record, in nats; None without a teacher."""
    logit: float | None
    """Largest difference of a stored logit."""

    def __str__(self) -> str:
        text = f"{self.tiles} tiles replay within {self.sketch:.1e}"
        if self.kl is not None:
            text += f"; the teacher says the same within KL {self.kl:.1e}, {self.logit:.1e} a logit"
        return text


def repair(
    path: str | Path,
    teacher: Teacher | None = None,
    data: Dataset | None = None,
    *,
    quiet: bool = False,
) -> Repaired:
    """Mend a store: copy back damaged heads, record damaged tiles again, and no others.

    Args:
        path: the store.
        teacher: the one that it was made with; not needed for the heads.
        data: the data that it was made with; with it, tiles that do not replay are damaged too.
        quiet: report nothing.

    Raises:
        RecordsError: a damaged tile and no teacher, or another teacher or data than the store's.
    """
    place = locate(path)
    if not place.holds():
        raise no_store(place)
    with place.lock():
        place.sweep()
        mended = headers.restore(place)
        store = Store.open(path)
        bad = dict(store.damaged())
        if data is not None:
            pipeline = check_made(store, teacher, data.train)
            clouds = Clouds.of(data.train)
            for tile in sorted(store.recorded_tiles() - bad.keys()):
                try:
                    check_replay(store, tile, pipeline, clouds)
                except RecordsError as error:
                    bad[tile] = str(error)
        if bad and (teacher is None or data is None):
            raise RecordsError(
                f"{path}: {len(bad)} tiles are damaged ({'; '.join(map(str, list(bad)[:5]))}"
                f"{' and more' if len(bad) > 5 else ''}): give --teacher and --data to record "
                "them again"
            )
        if bad and teacher and data:
            clouds = Clouds.of(data.train, teacher.device)
            fill(store, list(bad), teacher, data.train, clouds, quiet)
    return Repaired(mended, list(bad))


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
    place = locate(path)
    if not place.holds():
        raise no_store(place)
    with place.lock():
        place.sweep()
        headers.restore(place)  # ends an extension that was killed
        store = Store.open(path)
        if views < store.views:
            raise UsageError(
                f"{path} has {store.views} views: give more, or take fewer by "
                "`pointstill records subset`"
            )
        check_made(store, teacher, data.train)
        if views > store.views:
            store = store.lengthen(views)
        clouds = Clouds.of(data.train, teacher.device)
        fill(store, store.missing(), teacher, data.train, clouds, quiet, engine)
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
    pipeline = check_made(store, teacher, data.train)
    if not np.array_equal(store.labels, data.train.labels[store.shapes]):
        raise RecordsError(f"{store.path}: labels are not those of the data: record again")
    there = sorted(store.recorded_tiles())
    if not there:
        raise RecordsError(f"{store.path} holds no tile yet: run the same `pointstill record`")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(there))[:tiles]
    chosen = [there[number] for number in sorted(order)]
    clouds = Clouds.of(data.train)
    mine = Clouds.of(data.train, teacher.device) if teacher else clouds
    wrong, sketches, kls, logits = [], [0.0], [0.0], [0.0]
    with Track("verify", records_of(chosen), "records", quiet=quiet) as track:
        for tile in chosen:
            try:
                store.check(tile)
                check_replay(store, tile, pipeline, clouds)
                _, sums = replay(store, tile, pipeline, clouds, store.tile_parameters(tile))
                sketches.append(float(np.abs(sums - store.probe(tile)[1]).max()))
                if teacher:
                    about = store.attributes
                    points, batch = about["points"], about["batch"]
                    content = record_tile(
                        teacher, pipeline, mine, store.shapes, tile, points, batch
                    )
                    now = store.coding.decode(store.coding.encode(content[0]))
                    then = store.tile_logits(tile)
                    kls.append(float(divergence(now, then).max()))
                    logits.append(float(np.abs(now - then).max()))
                    if not kls[-1] <= tolerance:
                        wrong.append(
                            f"{tile}: the teacher now says otherwise, KL {kls[-1]:.1e} (tolerance "
                            f"{tolerance:g}), a logit differs by {logits[-1]:.2g}"
                        )
            except RecordsError as error:
                # Store and fix are said once, for all tiles.
                wrong.append(store.bare(error))
            track.advance(tile.stop - tile.start)
    if wrong:
        raise RecordsError(
            f"{store.path}: {len(wrong)} of {len(chosen)} tiles are wrong ({'; '.join(wrong[:3])}"
            f"{'; and more' if len(wrong) > 3 else ''}): run `pointstill records repair` with its "
            "teacher and data"
        )
    asked = teacher is not None
    worst = (max(kls), max(logits)) if asked else (None, None)
    return Verified(len(chosen), max(sketches), *worst)


def subset(
    path: str | Path,
    out: str | Path,
    data: Dataset | None = None,
    *,
    views: int | None = None,
    limit: int | None = None,
    classes: Sequence[str] | None = None,
) -> Store:
    """Take a part of a store into a new one.

    Args:
        path: the store.
        out: the new store.
        data: the data that it was made with; needed with `limit` and `classes`.
        views: take the first views only.
        limit: take the shapes that `--limit` chooses when training.
        classes: take the shapes of these classes only; logits keep all classes.

    Raises:
        RecordsError: other data than the store's, or something that is not recorded.
        UsageError: options that make no sense.
    """
    store, shapes = Store.open(path), None
    if limit is None and classes is None:
        return derive.subset(store, out, views=views)
    if data is None:
        raise UsageError("subset by --limit or --classes makes probes anew: give --data")
    split = data.train
    check_made(store, None, split)
    shapes = np.intersect1d(limited(split, limit), store.shapes) if limit else store.shapes
    if limit and len(shapes) < min(limit, len(split)):
        raise RecordsError(f"{path} has not recorded the shapes of --limit {limit}: take fewer")
    if classes is not None:
        if unknown := set(classes) - set(split.classes):
            raise UsageError(f"no class {', '.join(sorted(unknown))}: see `pointstill data info`")
        labels = [split.classes.index(name) for name in classes]
        shapes = shapes[np.isin(split.labels[shapes], labels)]
    clouds = Clouds.of(split)
    return derive.subset(store, out, views=views, shapes=shapes, clouds=clouds)


def tiles_of(text: str) -> int | None:
    """Read a number of tiles, or `all` (None).

    Raises:
        UsageError: neither.
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"tiles {text!r} is no number: give 1 or more, or all")
    return int(text)
