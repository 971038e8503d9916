"""Stores out of stores: `merge` joins what was recorded apart, `subset` takes a part."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..augment import Clouds, Pipeline
from ..errors import RecordsError, UsageError
from .codec import divergence
from .fingerprint import MAY_DECIDE, check_same, deciding
from .layout import Tile
from .location import locate
from .probe import join
from .store import Store
from .verify import check_replay, replay


def merge(paths: Sequence[str | Path], out: str | Path) -> Store:
    """Join stores of the same fingerprint into a new one: each tile from the first that has it.

    They may have different numbers of views and any tiles of them; a tile that is damaged in one
    is taken from another. Killed before the end, nothing is at `out`.

    Raises:
        RecordsError: stores of something else, a tile that two of them tell differently, one that
            is damaged in all that have it, or a disk that refuses.
    """
    stores = [Store.open(each) for each in paths]
    if len(stores) < 2:
        raise UsageError("merge joins two stores or more: name them all")
    first = stores[0]
    for other in stores[1:]:
        fix = f"merge only what was recorded as {first.path} was"
        now = dict.fromkeys(MAY_DECIDE) | deciding(first.attributes)
        now |= {"codec": first.coding.name}
        made = other.attributes | {"codec": other.coding.name}
        check_same(other.path, made, now, fix)
        if not np.array_equal(other.shapes, first.shapes):
            raise RecordsError(f"{other.path} has other shapes than {first.path}: {fix}")
    views = max(store.views for store in stores)
    done = [store.recorded_tiles() for store in stores]
    with _new(out) as draft:
        joined = Store.create(draft, _head(first), views, first.shapes, first.labels)
        taken: dict[tuple[int, int], Store] = {}
        for tile in joined.tiles():
            owners = [each for each, has in zip(stores, done, strict=True) if tile in has]
            if owners:
                taken[tile.view, tile.number] = _copy_agreed(joined, tile, owners)
        for store in stores:
            for note in store.notes():
                if taken.get((note["view"], note["tile"])) is store:
                    joined.add_note(note)
    return Store.open(out)


def _copy_agreed(joined: Store, tile: Tile, owners: list[Store]) -> Store:
    """Copy a tile from the first of its owners in which it is whole; all that are must agree."""
    whole, broken = [], []
    for store in owners:
        try:
            whole.append((store, store.stored(tile)))
        except RecordsError as error:
            broken.append(error)
    if not whole:
        raise broken[0]
    (origin, content), *others = whole
    for other, there in others:
        if all(np.array_equal(content[name], there[name]) for name in content):
            continue
        worst = divergence(origin.tile_logits(tile), other.tile_logits(tile)).max()
        raise RecordsError(
            f"{origin.path} and {other.path} tell {tile} differently (largest KL {worst:.1e} nats "
            "at T=1): merge what was recorded on one kind of machine, or leave one of them out"
        )
    joined.copy(tile, content)
    return origin


def subset(
    source: Store,
    out: str | Path,
    *,
    views: int | None = None,
    shapes: np.ndarray | None = None,
    clouds: Clouds | None = None,
) -> Store:
    """Copy the first views, or some shapes, of a store into a new one; records keep every bit.

    Args:
        source: a store; what is taken must be recorded.
        out: the new store.
        views: how many views; by default all. They are the first, as a view's number is its key.
        shapes: (S,) indices in the split, sorted; by default all.
        clouds: of the split, needed with `shapes`: tiles of other shapes need other probes.

    Raises:
        RecordsError: something that is not recorded, is damaged, or does not replay.
        UsageError: more views than there are, or no shapes.
    """
    views = source.views if views is None else views
    if not 1 <= views <= source.views:
        raise UsageError(f"{source.path} has {source.views} views: choose 1 to {source.views}")
    shapes = source.shapes if shapes is None else shapes
    if not len(shapes):
        raise UsageError("no shapes are left: choose other classes or a larger limit")
    if len(absent := np.setdiff1d(shapes, source.shapes)):
        raise RecordsError(
            f"{source.path} has not recorded {len(absent):,} of the {len(shapes):,} shapes to take "
            f"(the first is {absent[0]}): choose among those it has"
        )
    rows = np.searchsorted(source.shapes, shapes)
    with _new(out) as draft:
        part = Store.create(draft, _head(source), views, shapes, source.labels[rows])
        for view in range(views):
            if len(shapes) == source.rows and part.attributes["tile"] == source.attributes["tile"]:
                for tile in source.tiles_of(view):
                    part.copy(tile, source.stored(tile))
            else:
                assert clouds, "the probes of other tiles are made from the clouds"
                _copy_rows(source, part, view, rows, clouds)
    return Store.open(out)


def _copy_rows(source: Store, part: Store, view: int, rows: np.ndarray, clouds: Clouds) -> None:
    """Copy some rows of a view, after a proof that they replay, and prove them anew."""
    pipeline = Pipeline.restore(source.attributes["augment"])
    for tile in source.tiles_of(view):
        check_replay(source, tile, pipeline, clouds)
    stored = [source.stored(tile) for tile in source.tiles_of(view)]
    names = source.arrays[:-1]
    taken = {name: np.concatenate([each[name] for each in stored])[rows] for name in names}
    for tile in part.tiles_of(view):
        mine = {name: taken[name][tile.rows[1]] for name in names}
        parameters = mine.get("augment", part.drawn_parameters(tile))
        proof, sums = replay(part, tile, pipeline, clouds, parameters)
        part.copy(tile, mine | {"probe": join(proof, sums)})


def _head(store: Store) -> dict[str, Any]:
    """The attributes that a store of the same records has as well."""
    own = ("format", "pointstill", "tile")
    return {name: value for name, value in store.attributes.items() if name not in own}


@contextmanager
def _new(out: str | Path) -> Iterator[Path]:
    """A folder to build a store in, which gets its name at the end, or goes."""
    place = locate(out)
    if place.taken():
        raise RecordsError(f"{out} exists: choose another --out")
    with place.lock():
        place.sweep()
        with place.new() as draft:
            yield draft
