"""Stores out of stores: `merge` joins what was recorded apart, `subset` takes a part."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..augment import Clouds, Pipeline
from ..data import Dataset, Split
from ..data.selection import limited
from ..errors import RecordsError, UsageError
from .attributes import DIGEST
from .codec import divergence
from .fingerprint import MAY_DECIDE, deciding
from .folder_or_bucket import locate
from .layout import Tile
from .matching import check_made, check_same
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
        raise UsageError("merge joins two stores or more", fix="name them all")
    first = stores[0]
    for other in stores[1:]:
        fix = f"merge only what was recorded as {first.path} was"
        now = dict.fromkeys(MAY_DECIDE) | deciding(first.attributes)
        now |= {"codec": first.coding.name}
        made = other.attributes | {"codec": other.coding.name}
        check_same(other.path, made, now, fix)
        if not np.array_equal(other.shapes, first.shapes):
            raise RecordsError(f"has other shapes than {first.path}", where=other.path, fix=fix)
    views = max(store.views for store in stores)
    done = [store.recorded_tiles() for store in stores]
    with _new(out) as draft:
        joined = Store.begin(draft, _inherited(first), views, first.shapes, first.labels)
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
    sound, broken = [], []
    for store in owners:
        try:
            sound.append((store, store.stored(tile)))
        except RecordsError as error:
            broken.append(error)
    if not sound:
        raise broken[0]
    (origin, content), *others = sound
    for other, there in others:
        if all(np.array_equal(content[name], there[name]) for name in content):
            continue
        worst = divergence(origin.tile_logits(tile), other.tile_logits(tile)).max()
        raise RecordsError(
            f"{origin.path} and {other.path} differ in {tile} (largest KL {worst:.1e} nats at T=1)",
            fix="merge what was recorded on one kind of machine, or leave one of them out",
        )
    joined.copy(tile, content)
    return origin


def subset(
    path: str | Path,
    out: str | Path,
    data: Dataset | None = None,
    *,
    views: int | None = None,
    limit: int | None = None,
    classes: Sequence[str] | None = None,
) -> Store:
    """Take a part of a store into a new one; records keep every bit.

    Args:
        path: the store; what is taken must be recorded.
        out: the new store.
        data: the data that it was made with; needed with `limit` and `classes`.
        views: take so many views, the first ones, as a view's number is its key; by default all.
        limit: take the shapes that `--limit` chooses when training.
        classes: take the shapes of these classes only; logits keep all classes.

    Raises:
        RecordsError: other data than the store's, or something that is not recorded, is damaged or
            does not replay.
        UsageError: options that make no sense, more views than there are, or no shapes.
    """
    source = Store.open(path)
    views = source.views if views is None else views
    if not 1 <= views <= source.views:
        fix = f"choose 1 to {source.views}"
        raise UsageError(f"has {source.views} views", where=source.path, fix=fix)
    shapes, clouds = source.shapes, None
    if limit is not None or classes is not None:
        if data is None:
            raise UsageError("subset by --limit or --classes makes probes anew", fix="give --data")
        pipeline = check_made(source, data.train)
        shapes = _chosen(source, data.train, limit, classes)
        clouds = Clouds.of(data.train, version=pipeline.normalization)
    with _new(out) as draft:
        labels = source.labels[np.searchsorted(source.shapes, shapes)]
        part = Store.begin(draft, _inherited(source), views, shapes, labels)
        for view in range(views):
            _copy_view(source, part, view, clouds)
    return Store.open(out)


def _chosen(
    source: Store, split: Split, limit: int | None, classes: Sequence[str] | None
) -> np.ndarray:
    """Shapes of a store, as indices in the split, sorted."""
    shapes = source.shapes
    if limit is not None:
        if limit < 1:
            raise UsageError(f"limit is {limit}", fix="choose 1 or more")
        shapes = np.intersect1d(limited(split, limit), source.shapes)
        if len(shapes) < min(limit, len(split)):
            what = f"has not recorded the shapes of --limit {limit}"
            raise RecordsError(what, where=source.path, fix="take fewer")
    if classes is not None:
        if unknown := set(classes) - set(split.classes):
            what = f"no class {', '.join(sorted(unknown))}"
            raise UsageError(what, fix="see `pointstill data info`")
        labels = [split.classes.index(name) for name in classes]
        shapes = shapes[np.isin(split.labels[shapes], labels)]
    if not len(shapes):
        raise UsageError("no shapes are left", fix="choose other classes or a larger limit")
    return shapes


def _copy_view(source: Store, part: Store, view: int, clouds: Clouds | None) -> None:
    """Copy a view: tile by tile where tiles are the same, or else row by row."""
    if part.rows == source.rows and part.attributes["tile"] == source.attributes["tile"]:
        for tile in source.tiles_of(view):
            part.copy(tile, source.stored(tile))
        return
    assert clouds, "the probes of other tiles are made from the clouds"
    _copy_rows(source, part, view, clouds)


def _copy_rows(source: Store, part: Store, view: int, clouds: Clouds) -> None:
    """Copy some rows of a view, after a proof that they replay, and prove them anew."""
    rows = np.searchsorted(source.shapes, part.shapes)
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


def _inherited(store: Store) -> dict[str, Any]:
    """The attributes that a store of the same records has as well."""
    own = ("pointstill", "tile", DIGEST)
    return {name: value for name, value in store.attributes.items() if name not in own}


@contextmanager
def _new(out: str | Path) -> Iterator[Path]:
    """A folder to build a store in, which gets its name at the end, or goes."""
    location = locate(out)
    if location.taken():
        raise RecordsError("exists", where=out, fix="choose another --out")
    with location.lock():
        location.sweep()
        with location.new() as draft:
            yield draft
