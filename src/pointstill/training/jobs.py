"""Job 2: train a student from records and clouds; and, from labels alone, teachers and baselines.

Nothing here can load a teacher: its answers are in the records.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import torchrun
from .._version import __version__
from ..augment import Clouds, Pipeline, parse
from ..augment.student_only import StudentOnly
from ..data import Dataset, Split
from ..data.selection import check_classes, held_out, limited
from ..errors import RecordsError, TrainingError, UsageError
from ..losses import LOSSES
from ..losses.options import LabelOptions, PastOptions
from ..models import build_model
from ..points.features import XYZ, format_features, width
from ..progress import console, size
from ..recipe import POINTS, DistillRecipe, FitOptions, TrainRecipe
from ..records import Store
from ..records.layout import tile_length
from ..records.matching import check_past, check_records, recorded_pipeline
from ..records.verify import check_replay
from ..run import Run
from ..storage.paths import here, local
from .loop import NEVER, Objective, fit, start_fabric
from .past_student import Past, past_of
from .ranks import one_run
from .shuffling import Windows
from .stopping import Stop
from .views import FreshViews, Material, RecordedViews


def train(
    model: str,
    data: Dataset,
    *,
    out: str | Path,
    recipe: TrainRecipe,
    quiet: bool = False,
    stop: Stop = NEVER,
) -> Run:
    """Train a model from labels alone, on a fresh view of every shape in every epoch.

    Args:
        model: a name from `models.MODELS`.
        data: from `open_dataset`; only its training split is opened.
        out: run folder; one with an unfinished run of the same recipe is gone on with.
        recipe: the options.
        quiet: report nothing.
        stop: asked after every step whether to end there: see `loop.fit`.

    Returns:
        The finished run.

    Raises:
        DataError: fewer than two classes.
        TrainingError: see `loop.fit` and `Run.begin`.
        UsageError: a run folder that is not on this machine.
    """
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    pipeline = Pipeline(parse(recipe.augment, split.up), recipe.seed)
    student_only = StudentOnly.of(recipe.student_augment, recipe.seed)
    points = recipe.points or POINTS
    recipe = replace(recipe, points=points)
    shapes = training_shapes(split, recipe)
    fabric = start_fabric(recipe)
    network = _seeded(model, data, recipe.seed).to(fabric.device)
    objective = Objective("ce", LabelOptions(smoothing=recipe.smoothing), Past())
    with one_run(out, {"model": model} | _resolved(model, data, split, recipe)) as run:
        if run.finished:
            run.check_finished()
            return run
        clouds = Clouds.of(split, fabric.device)
        views = FreshViews(
            pipeline, torch.from_numpy(shapes[0]), _windows(*shapes, recipe), fabric.device
        )
        material = Material.of(
            clouds, pipeline, views, shapes, split.labels, points, student_only, recipe.seed
        )
        _announce(run, material, recipe, network, quiet)
        fit(fabric, run, network, material, objective, recipe, quiet, stop)
    return run


def distill(
    student: str,
    data: Dataset,
    *,
    records: str | Path,
    out: str | Path,
    recipe: DistillRecipe,
    past_records: str | Path | None = None,
    quiet: bool = False,
    stop: Stop = NEVER,
) -> Run:
    """Train a student from the records of a teacher, which is not loaded.

    Epoch e replays view e mod V of every shape, exactly as the teacher saw it (a student that
    takes fewer points sees a subset of them).

    Args:
        student: a name from `models.MODELS`.
        data: from `open_dataset`, the one that was recorded; only its training split is opened.
        records: the store that `record` made.
        out: run folder; one with an unfinished run of the same recipe is gone on with.
        recipe: the options.
        past_records: records of an earlier student, for `past="records"`.
        quiet: report nothing.
        stop: asked after every step whether to end there: see `loop.fit`.

    Returns:
        The finished run.

    Raises:
        DataError: fewer than two classes.
        RecordsError: the records are unfinished, damaged, or made from something else.
        TrainingError: see `loop.fit` and `Run.begin`.
        UsageError: past records that the recipe would not use, or a run folder that is not on
            this machine.
    """
    # 1. Records and data must belong together; the message names the fix.
    options = recipe.loss_options
    student_only = StudentOnly.of(recipe.student_augment, recipe.seed)
    if past_records:
        _check_past_is_used(recipe, past_records)
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    store = Store.open(records)
    shapes = training_shapes(split, recipe)
    rows = check_records(store, split, shapes[0])
    seen = int(store.attributes["points"])
    points = recipe.points or seen
    if points > seen:
        raise RecordsError(
            f"has views of {seen:,} points, and the student would see {points:,}: some that the "
            "teacher never saw",
            where=store.path,
            fix=f"give --points {seen} or fewer, or record again with --points {points}",
        )
    recipe = replace(recipe, points=points)
    past_store = Store.open(past_records) if past_records else None
    if past_store:
        check_past(past_store, store)
    pipeline = recorded_pipeline(store)

    # 2. The student, and what it learns from. What cannot be built leaves no run folder behind.
    fabric = start_fabric(recipe)
    network = _seeded(student, data, recipe.seed).to(fabric.device)
    windows = Windows(rows // store.attributes["tile"], recipe.window, recipe.seed)
    past = past_of(options, network, store, rows, windows, past_store, fabric.device)
    objective = Objective(recipe.loss, options, past)

    # 3. The run folder keeps what decides the result.
    resolved = {"student": student} | _resolved(student, data, split, recipe)
    resolved["records"] = _absolute(records)
    resolved["past_records"] = _absolute(past_records) if past_records else None
    resolved["origin"] |= _recorded(store, past_store)
    with one_run(out, resolved) as run:
        if run.finished:
            run.check_finished()
            return run

        # 4. Replay is proven on two tiles before it is relied on.
        clouds = Clouds.of(split, fabric.device)
        for tile in _some_tiles(store, recipe.seed):
            check_replay(store, tile, pipeline, clouds)

        # 5. Train.
        views = RecordedViews(store, rows, windows, fabric.device, options.needs_teacher)
        material = Material.of(
            clouds, pipeline, views, shapes, split.labels, points, student_only, recipe.seed
        )
        _announce(run, material, recipe, network, quiet)
        fit(fabric, run, network, material, objective, recipe, quiet, stop)
    return run


def training_shapes(split: Split, recipe: FitOptions) -> tuple[np.ndarray, np.ndarray]:
    """Shapes to train on and to validate on, as indices in the split.

    Raises:
        TrainingError: fewer than two to train on, on each rank.
    """
    shapes = limited(split, recipe.limit)
    validation = held_out(split, shapes, recipe.val, recipe.seed)
    rest = np.setdiff1d(shapes, validation)
    if recipe.keep == "best" and not len(validation):
        raise TrainingError(
            f"no shape of {len(shapes)} is left over for validation, which tells the best weights",
            fix="choose --keep last, or a larger --limit or --val",
        )
    least = 2 * torchrun.world()
    if len(rest) < least:
        raise TrainingError(
            f"there are {len(rest)} shapes to train on, and {least} are needed",
            fix="choose a smaller --val or a larger --limit",
        )
    return rest, validation


def _windows(shapes: np.ndarray, validation: np.ndarray, recipe: FitOptions) -> Windows:
    """Windows of the tiles that a recording of these shapes has: `train` and `distill` agree."""
    recorded = np.union1d(shapes, validation)
    tiles = np.searchsorted(recorded, shapes) // tile_length(len(recorded))
    return Windows(tiles, recipe.window, recipe.seed)


def _resolved(model: str, data: Dataset, split: Split, recipe: FitOptions) -> dict[str, Any]:
    """What decides the result, for the run folder."""
    points = recipe.points or POINTS
    return {
        "data": data.name if data.kind == "primitives" else _absolute(data.name),
        "fold": data.fold,
        "up": data.asked_up,
        "features": format_features(data.features) if data.features != XYZ else None,
        "skip_bad": data.skip_bad,
        "drop_missing": data.drop_missing,
        **recipe.entries(),
        "origin": {
            "pointstill": __version__,
            "model": model,
            "classes": list(split.classes),
            "up": split.up,
            "data": split.fingerprint,
            # All but the smallest 1 %: what a cloud should have to be told by the student.
            "fewest": min(points, int(np.quantile(split.sizes, 0.01, method="lower"))),
            **({"features": split.extra.fingerprint} if split.extra else {}),
            # They decide what BatchNorm sees, and so the result.
            **({"ranks": torchrun.world()} if torchrun.world() > 1 else {}),
        },
    }


def _recorded(store: Store, past: Store | None) -> dict[str, Any]:
    """What the records are, for `origin`."""
    teachers = {"teacher": store, "past": past}
    origin = {name: each.attributes["teacher"] for name, each in teachers.items() if each}
    return origin | {"records": store.fingerprint, "augment": store.attributes["augment"]}


def _absolute(path: str | Path) -> str:
    """A path as it is valid from every folder, for a recipe that is read from another one."""
    here = local(path)
    return str(here.expanduser().absolute() if here else path)


def _seeded(model: str, data: Dataset, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(model, len(data.classes), width(data.features))


def _check_past_is_used(recipe: DistillRecipe, past_records: str | Path) -> None:
    options = recipe.loss_options
    if isinstance(options, PastOptions):
        if options.past == "records":
            return
        unused = f"loss {recipe.loss} with past {options.past}"
    else:
        unused = f"loss {recipe.loss}"
    having = [name for name, loss in LOSSES.items() if issubclass(loss.options, PastOptions)]
    raise UsageError(
        f"would not be used by {unused}",
        where=past_records,
        fix=f"leave it out, or choose --loss {' or '.join(having)} --past records",
    )


def _some_tiles(store: Store, seed: int, count: int = 2) -> list[Any]:
    each = len(store.tiles_of(0))
    order = np.random.Generator(np.random.Philox(seed)).permutation(store.views * each)
    return [store.tiles_of(number // each)[number % each] for number in order[:count].tolist()]


def _announce(
    run: Run, material: Material, recipe: FitOptions, network: torch.nn.Module, quiet: bool
) -> None:
    if quiet:
        return
    parameters = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"training {run.model_name} ({parameters:,} parameters) on {len(material.shapes):,} shapes "
        f"of {len(run.classes)} classes ({len(material.validation):,} held out), "
        f"{recipe.epochs} epochs, {material.points} points a view, "
        f"{size(material.clouds.points.nbytes)} of clouds{_shuffled(material.views.windows)}"
    )


def _shuffled(windows: Windows) -> str:
    if windows.count == 1:
        return ""
    most = -(-windows.rows // windows.count)
    return f", shuffled in {windows.count} windows of about {most:,} shapes"
