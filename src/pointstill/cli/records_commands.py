"""The verbs of `pointstill records`: one function each, no logic; heavy imports inside."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from ..errors import UsageError
from ..recipe import RecordRecipe
from .shared_options import (
    ENGINE,
    RECORD,
    TEACHER,
    DataOptions,
    EngineOptions,
    Flat,
    MaybeData,
    RecipeFile,
    TeacherOptions,
    needs_torch,
)

if TYPE_CHECKING:
    from ..data import Dataset
    from ..recording.estimate import Estimate
    from ..teachers import Teacher

records_app = App(name="records", help="Look at record stores, and after them.")

NO_DATA = MaybeData()
Teachers = Annotated[TeacherOptions, Flat]
EngineFlags = Annotated[EngineOptions, Flat]


@records_app.command
def info(store: str, /) -> None:
    """Say what a record store holds, how far it is, what it was made from, and what it tells.

    **Examples**

        pointstill records info records.zarr

    Parameters
    ----------
    store:
        Folder or URL of the record store.
    """
    needs_torch()
    from .listing import describe_store

    describe_store(store)


@records_app.command
def estimate(
    *,
    shapes: int | None = None,
    classes: int | None = None,
    options: Annotated[RecordRecipe, Flat] = RECORD,
    data: Annotated[MaybeData, Flat] = NO_DATA,
    teacher: list[str] | None = None,
    teacher_options: Teachers = TEACHER,
    recipe: RecipeFile = None,
) -> None:
    """Say how many bytes a recording will take; with a teacher, how many hours and how much memory.

    **Examples**

        pointstill records estimate --shapes 9843 --views 20 --classes 40 --codec int8 --keyed
        pointstill records estimate --data modelnet40/ --teacher gdanet --weights gdanet.t7

    Parameters
    ----------
    shapes:
        Number of shapes; by default those of the data.
    classes:
        Number of classes; by default those of the data.
    teacher:
        Time this one, as `record` takes it, on a few batches of the data; several are an ensemble.
    recipe:
        YAML file of these options; a flag overrides what it says.
    """
    needs_torch()
    from ..recording.estimate import estimate_recording as job

    opened = data.open()
    if teacher and not opened:
        raise UsageError("a teacher is timed on data", fix="give --data as well")
    loaded = teacher_options.load(teacher, opened) if teacher and opened else None
    _print_estimate(job(opened, loaded, recipe=options, shapes=shapes, classes=classes))


def _print_estimate(estimate: "Estimate") -> None:
    from ..progress import clock, size
    from ..recording.estimate import BLOCK
    from ..records.layout import TILE

    store, timing = estimate.size, estimate.timing
    print(f"{store.records:,} records of {store.logits} B logits + {store.parameters} B parameters")
    print(
        f"{size(store.total)} in {store.files:,} files, {store.total / store.records:.1f} B a "
        f"record; {size(store.blocks)} on a disk of {BLOCK:,}-byte blocks"
    )
    print(f"a tile is {TILE} shapes of one view at most, its largest file {size(store.largest)}")
    if timing and estimate.seconds:
        print(
            f"{timing.records_a_second:,.3g} records/s with batches of {timing.batch_size} views "
            f"of {timing.points:,} points: {clock(estimate.seconds)} in all"
        )
        memory = f"{size(timing.memory)} of memory at its highest"
        if timing.device_memory is not None:
            memory += f", {size(timing.device_memory)} on {timing.device}"
        print(memory)


@records_app.command
def verify(
    store: str,
    /,
    *,
    data: Annotated[DataOptions, Flat],
    tiles: str = "16",
    ask: bool = False,
    teacher: list[str] | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
    teacher_options: Teachers = TEACHER,
) -> None:
    """Make recorded views again and compare them; with --ask, ask the teacher too. Exit 1 if wrong.

    **Examples**

        pointstill records verify records.zarr --data modelnet40/ --tiles all
        pointstill records verify records.zarr --data modelnet40/ --ask --weights moved/gdanet.t7
        pointstill records verify records.zarr --data scans/ --teacher runs/teacher

    Parameters
    ----------
    store:
        Folder or URL of the record store.
    tiles:
        How many tiles to look at, at random; all for all.
    ask:
        Run the teacher again that the store names.
    teacher:
        Run this one again, named with its options as for `record`: where the store does not say,
        or names code.
    tolerance:
        Largest KL(teacher now || records) of a record at T = 1, in nats.
    seed:
        Seed of the choice of tiles.
    """
    needs_torch()
    from ..recording.maintenance import tiles_of
    from ..recording.maintenance import verify as job
    from ..records import Store

    opened, there = data.open(), Store.open(store)
    wanted = ask or teacher or teacher_options.weights
    found = job(
        there,
        opened,
        tiles=tiles_of(tiles),
        teacher=_load(store, teacher, teacher_options, opened) if wanted else None,
        tolerance=tolerance,
        seed=seed,
    )
    print(f"{store}: {found}")
    if there.caveat:
        print(f"{store} {there.caveat}")


@records_app.command
def repair(
    store: str,
    /,
    *,
    data: Annotated[MaybeData, Flat] = NO_DATA,
    teacher: list[str] | None = None,
    teacher_options: Teachers = TEACHER,
) -> None:
    """Mend a damaged store: copy back headers, record damaged tiles again, and no others.

    With the data that was recorded, tiles that do not replay count as damaged too. The teacher is
    the one that the store names, unless another is given.

    **Examples**

        pointstill records repair records.zarr
        pointstill records repair records.zarr --data primitives
        pointstill records repair records.zarr --teacher my.nets:build --data scans/

    Parameters
    ----------
    store:
        Folder or URL of the record store.
    teacher:
        The teacher that was recorded, with its options, where the store does not say or names code.
    """
    needs_torch()
    from ..recording.maintenance import repair as job

    opened = data.open()
    if teacher and not opened:
        raise UsageError("a teacher needs the data that was recorded", fix="give --data as well")
    load = partial(_load, store, teacher, teacher_options, opened) if opened else None
    print(f"{store}: {job(store, load() if teacher and load else None, opened, load=load)}")


@records_app.command
def extend(
    store: str,
    /,
    *,
    views: int,
    data: Annotated[DataOptions, Flat],
    teacher: list[str] | None = None,
    teacher_options: Teachers = TEACHER,
    engine: EngineFlags = ENGINE,
) -> None:
    """Add views to a store, as if they had been asked for from the start.

    The teacher is the one that the store names, unless another is given.

    **Examples**

        pointstill records extend records.zarr --views 40 --data primitives
        pointstill records extend records.zarr --views 40 --teacher my.nets:build --data scans/

    Parameters
    ----------
    store:
        Folder or URL of the record store.
    views:
        How many views it shall have in all.
    teacher:
        The teacher that was recorded, with its options, where the store does not say or names code.
    """
    needs_torch()
    from ..recording.maintenance import extend as job

    specs, options = _named(store, teacher, teacher_options)
    chosen = engine.ready(specs, data, options)
    opened = data.open()
    loaded = options.load(specs, opened, many=engine.many)
    longer = job(store, loaded, opened, views=views, engine=chosen)
    print(f"{store} has {longer.views} views, {longer.views * longer.rows:,} records")


def _named(
    store: str, teacher: list[str] | None, options: TeacherOptions
) -> tuple[list[str], TeacherOptions]:
    """The teachers that are typed, or else those that a store names, and how they are loaded."""
    if teacher:
        return teacher, options
    from ..recording.teacher_source import recorded_source

    return options.completed(recorded_source(store, options.weights))


def _load(
    store: str, teacher: list[str] | None, options: TeacherOptions, data: "Dataset"
) -> "Teacher":
    """Load the same."""
    specs, options = _named(store, teacher, options)
    return options.load(specs, data)


@records_app.command
def merge(stores: list[str], /, *, out: str) -> None:
    """Join stores that were recorded apart from the same teacher and data into a new one.

    **Examples**

        pointstill records merge part-1.zarr part-2.zarr --out records.zarr

    Parameters
    ----------
    stores:
        Folders or URLs of the stores; they stay as they are.
    out:
        Folder or URL of the new store.
    """
    needs_torch()
    from ..records.merge_and_subset import merge as job

    joined = job(stores, out)
    missing = len(joined.missing())
    left = f"; {missing} tiles are in none of them, and `pointstill record` adds them"
    print(f"merged {len(stores)} stores into {out}{left if missing else ''}")


@records_app.command
def subset(
    store: str,
    /,
    *,
    out: str,
    views: int | None = None,
    limit: int | None = None,
    classes: list[str] | None = None,
    data: Annotated[MaybeData, Flat] = NO_DATA,
) -> None:
    """Take some views, or some shapes, of a store into a new one.

    --limit and --classes need the data that was recorded.

    **Examples**

        pointstill records subset records.zarr --views 5 --out small.zarr
        pointstill records subset records.zarr --limit 1000 --data modelnet40/ --out small.zarr

    Parameters
    ----------
    store:
        Folder or URL of the record store; it stays as it is.
    out:
        Folder or URL of the new store.
    views:
        Take so many views, the first ones.
    limit:
        Take so many shapes (stratified): those of the same --limit in training.
    classes:
        Take the shapes of these classes; logits keep all classes.
    """
    needs_torch()
    from ..records.merge_and_subset import subset as job

    opened = data.open()
    part = job(store, out, opened, views=views, limit=limit, classes=classes)
    print(f"{out} has {part.views} views of {part.rows:,} shapes")


@records_app.command
def export(store: str, /, *, parquet: Path) -> None:
    """Write a store as one Parquet file, a row a record, for pandas, DuckDB and the like.

    **Examples**

        pointstill records export records.zarr --parquet records.parquet

    Parameters
    ----------
    store:
        Folder or URL of the record store.
    parquet:
        The file to write.
    """
    needs_torch()
    from ..progress import size
    from ..records import Store
    from ..records.parquet import export_parquet

    path = export_parquet(Store.open(store), parquet)
    print(f"wrote {path} ({size(path.stat().st_size)})")
