"""Job 1: run a teacher once over many augmented views of each shape, and keep its logits."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..augment import Clouds, Pipeline, parse
from ..data import Dataset, Split
from ..data.selection import limited
from ..data.source import UNLABELLED
from ..errors import UsageError
from ..progress import Track, console, size
from ..recipe import POINTS, RecordRecipe
from ..records import Store, Tile
from ..records import codec as codecs
from ..records.codec import Coding
from ..records.folder_or_bucket import locate
from ..records.layout import check_range
from ..records.matching import check_features, check_same, made_from
from ..teachers import Teacher
from ..teachers.axes_search import check_axes
from ..teachers.compatibility import check_fits
from ..teachers.trial import CLOUDS, check_independence, check_views
from .engine import Engine, fill, one_process
from .tiles import Recorder, TileContent, parse_part, record_tile, records_of, spread, wanted


def record(
    teacher: Teacher,
    data: Dataset,
    *,
    out: str | Path,
    recipe: RecordRecipe | None = None,
    part: str | None = None,
    engine: Engine = one_process,
    source: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Store:
    """Record a teacher's logits over augmented views of the training split.

    Killed at any moment, the same call goes on after the last whole tile, and ends with the same
    bytes (given the same torch, kind of CPU and number of threads).

    Args:
        teacher: from `load_teacher`, for the classes of `data`.
        data: from `open_dataset`; only its training split is opened.
        out: folder of the store, or its URL.
        recipe: what is recorded, and how it is stored; the defaults if nothing is said.
        part: record a share of the tiles only, such as `2/3`, the second of three; `merge` joins
            the stores.
        engine: who computes the tiles after the first: this process, or a `RayEngine`.
        source: how the teacher was named, for a new store to keep; see `records.attributes`.
        quiet: report nothing.

    Returns:
        The store: finished, or with all tiles of the part.

    Warns:
        UserWarning: a new teacher does on training shapes as if its axes were wrong; see
            `check_axes`, also for what that costs; or augmentation ruins it, see `check_views`.

    Raises:
        TeacherError: its answers depend on the rest of a batch, or on chance.
        DataError: fewer than two classes, or a damaged cache of the data.
        RecordsError: `out` holds records of something else, is being written by another process or
            cannot be written; or the codec loses too much of this teacher.
        UsageError: options that make no sense, or a run of another fold as teacher.
    """
    recipe = recipe or RecordRecipe()
    # 1. The teacher must fit the data: its classes, its fold, its features.
    check_fits(teacher, data)
    share, shares = parse_part(part)

    # 2. Name what decides every record: data, shapes, operations, seed, teacher, codec.
    plan = StorePlan.of(teacher, data.train, recipe)

    # 3. A store that is there must be of the same; one that lacks nothing is the answer.
    location = locate(out)
    if location.taken():
        plan = plan.as_begun(location.path)
    if location.taken() and not wanted(there := plan.opened(location.path), share, shares):
        return there

    # 4. From here on, be the only one that writes it.
    with location.lock():
        location.sweep()
        store = plan.opened(location.path) if location.taken() else None
        if not quiet:
            console.print(plan.announcement(store))

        # 5. A new store is made around its first tile, when it is known what the codec costs.
        clouds = Clouds.of(plan.split, teacher.device, plan.pipeline.normalization)
        if store is None:
            plan.split.check()  # the fingerprint goes into the store
            check_axes(teacher, plan.split, clouds, recipe.batch_size, quiet)
            check_independence(teacher, plan.unlike(clouds, CLOUDS), recipe.batch_size)
            store = new_store(location.path, plan, clouds, quiet, source)

        # 6. Record the tiles that are missing.
        recorder = Recorder(store, teacher, clouds, plan.pipeline)
        fill(recorder, wanted(store, share, shares), engine=engine, quiet=quiet)
    return store


@dataclass(frozen=True)
class StorePlan:
    """What a store is to be made of; it decides every record, whoever computes it."""

    teacher: Teacher
    split: Split
    recipe: RecordRecipe
    shapes: np.ndarray  # (S,) indices in the split of the shapes that are recorded
    pipeline: Pipeline
    points: int
    """Points per view."""
    coding: Coding

    @classmethod
    def of(cls, teacher: Teacher, split: Split, recipe: RecordRecipe) -> "StorePlan":
        """Read the recipe, for a split.

        Raises:
            UsageError: no such operation or codec, or a mix with shapes beyond a limit.
        """
        pipeline = Pipeline(parse(recipe.augment, split.up), recipe.seed)
        if pipeline.mix and recipe.limit is not None and recipe.limit < len(split):
            raise UsageError(
                f"limit is {recipe.limit}, and mix takes partners from all {len(split):,} shapes",
                fix="leave out one of them",
            )
        return cls(
            teacher=teacher,
            split=split,
            recipe=recipe,
            shapes=limited(split, recipe.limit),
            pipeline=pipeline,
            points=recipe.points or teacher.points or POINTS,
            coding=codecs.parse(recipe.codec, len(split.classes)),
        )

    def as_begun(self, path: Path | str) -> "StorePlan":
        """The plan with the normalisation of the store that is there: what was begun goes on so.

        Raises:
            RecordsError: it is none, or is damaged; or has a normalisation of a later version.
        """
        made = Pipeline.restore(Store.open(path).attributes["augment"])
        return replace(self, pipeline=replace(self.pipeline, normalization=made.normalization))

    @property
    def attributes(self) -> dict[str, Any]:
        """What a store of it says, as far as that is known before anything is computed."""
        return made_from(self.split) | {
            "teacher": {"fingerprint": self.teacher.fingerprint},
            "augment": self.pipeline.describe(),
            "columns": list(self.pipeline.columns),
            "points": self.points,
            "keyed": self.recipe.keyed,
        }

    def unlike(self, clouds: Clouds, count: int) -> torch.Tensor:
        """The first view of some shapes, of as many classes as can be: (B, points, 3 + F)."""
        rows = torch.from_numpy(limited(self.split, min(count, len(self.shapes))))
        drawn = self.pipeline.sample(0, rows).to(clouds.device)
        return self.pipeline.replay(clouds, 0, rows.to(clouds.device), drawn, self.points)

    def opened(self, path: Path | str) -> Store:
        """The store that is there.

        Raises:
            RecordsError: it is none, it is damaged, or it was made from something else.
        """
        store, views = Store.open(path), self.recipe.views
        fix = "choose another --out, or give the options it was made with"
        check_features(store, self.split)
        check_same(path, store.attributes, self.attributes, fix)
        made = {"views": store.views, "shapes": store.rows, "codec": store.coding.name}
        now = {"views": views, "shapes": len(self.shapes), "codec": self.coding.name}
        if views > store.views and now == made | {"views": views}:
            fix = f"`pointstill records extend {path} --views {views}` adds views"
        check_same(path, made, now, fix)
        return store

    def announcement(self, store: Store | None) -> str:
        """What is about to be recorded, and how much of it is there."""
        views, shapes = self.recipe.views, len(self.shapes)
        parameters = 0 if self.recipe.keyed else 4 * len(self.pipeline.columns)
        total = size(views * shapes * (self.coding.record_bytes + parameters))
        done = shapes * views - records_of(store.missing()) if store else 0
        unlabelled = np.count_nonzero(self.split.labels[self.shapes] == UNLABELLED)
        without = f", {unlabelled:,} of them without a label" if unlabelled else ""
        return (
            f"recording {views * shapes:,} records ({shapes:,} shapes x {views} views{without}), "
            f"{total}; {done:,} are there already"
        )


def new_store(
    path: Path | str,
    plan: StorePlan,
    clouds: Clouds,
    quiet: bool,
    source: dict[str, Any] | None = None,
) -> Store:
    """Make a store around its first tile; nothing is left where that fails.

    Raises:
        RecordsError: the codec loses too much of this teacher, or the store cannot be written.
    """
    shapes, recipe = plan.shapes, plan.recipe
    first, others = Tile.first(len(shapes)), spread(shapes)
    with Track("first tiles", first.stop + len(others), "records", quiet=quiet) as track:

        def computed(rows: np.ndarray, tile: Tile) -> TileContent:
            points, batch = plan.points, recipe.batch_size
            return record_tile(
                plan.teacher, plan.pipeline, clouds, rows, tile, points, batch, track
            )

        started = time.monotonic()
        content = computed(shapes, first)
        seconds = time.monotonic() - started
        check_range(content.logits, first)
        logits = content.logits
        if len(others):
            more = computed(others, replace(first, stop=len(others))).logits
            check_range(more, replace(first, start=first.stop, stop=len(shapes)))
            logits = np.concatenate((logits, more))
    seen = np.concatenate((shapes[: first.stop], others))
    check_views(
        plan.teacher,
        plan.pipeline,
        clouds,
        seen,
        plan.split.labels[seen],
        logits,
        points=plan.points,
        batch_size=recipe.batch_size,
        quiet=quiet,
    )
    measured = plan.coding.measure(logits)
    plan.coding.check(measured)
    attributes = plan.attributes | {
        "teacher_spec": plan.teacher.spec,
        "codec": measured,
        "batch": recipe.batch_size,
    }
    if source:
        attributes["teacher_source"] = source
    store = Store.create(path, attributes, recipe.views, shapes, plan.split.labels[shapes])
    store.write(first, *content)
    store.note(first, seconds, **plan.coding.measure(content.logits))
    return store
