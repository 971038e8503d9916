"""Job 2: train a student from records and clouds; and, from labels alone, teachers and baselines.

Nothing here can load a teacher: its answers are in the records.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors  # noqa: F401  # what a run ends with: if it lacks, better said now
import torch

from .. import torchrun
from .._version import __version__
from ..augment import Clouds, Pipeline, normalize, parse
from ..augment.student_only import StudentOnly
from ..augment.student_only.sparse import Sparse
from ..data import Dataset, Split
from ..data.columns import format_columns
from ..data.selection import check_classes, limited
from ..errors import RecordsError, UsageError
from ..losses import LOSSES
from ..losses.options import LabelOptions, PastOptions
from ..models import build_model
from ..models.layers.channel_scaling import ScaledChannels
from ..points.features import XYZ, Scale, format_features, width
from ..progress import console, size
from ..recipe import POINTS, DistillRecipe, FitOptions, TrainRecipe
from ..records import Store
from ..records.layout import tile_length
from ..records.matching import check_past, check_records, recorded_pipeline
from ..records.verify import check_replay
from ..run import RECIPE, Run
from ..storage.paths import here, local
from .channel_scales import channel_scales
from .loggers import check_logger
from .loop import NEVER, Objective, fit, start_fabric
from .past_student import Past, past_of
from .ranks import from_first, one_run, rank
from .shapes import Chosen, class_weights, training_shapes
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
    """Train a model from labels alone, on a fresh view of every labelled shape in every epoch.

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
        TrainingError: no shape has a label; or see `loop.fit` and `Run.begin`.
        UsageError: a run folder that is not on this machine.
    """
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_logger(recipe.logger)
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    pipeline = Pipeline(parse(recipe.augment, split.up), recipe.seed)
    student_only = StudentOnly.of(recipe.student_augment, recipe.seed, data.features)
    recipe = replace(recipe, points=recipe.points or POINTS)
    options = LabelOptions(smoothing=recipe.smoothing)
    chosen = training_shapes(split, recipe, options)
    fabric = start_fabric(recipe)
    version = _normalization(out)  # ranks agree on it once they have met
    pipeline = replace(pipeline, normalization=version)
    scales = channel_scales(split, chosen.train, recipe.scaling)
    network = _seeded(model, data, scales, recipe.seed).to(fabric.device)
    objective = Objective("ce", options, Past())
    resolved = _resolved(model, data, split, scales, recipe, version)
    with one_run(out, {"model": model} | resolved) as run:
        if run.finished:
            run.check_finished()
            return run
        clouds = Clouds.of(split, fabric.device, pipeline.normalization)
        views = FreshViews(
            pipeline,
            torch.from_numpy(chosen.train),
            _windows(split, chosen, recipe),
            fabric.device,
        )
        material = _material(clouds, pipeline, views, chosen, student_only, recipe, split)
        _announce(run, material, chosen, recipe, network, quiet)
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
    takes fewer points sees a subset of them). A shape without a label teaches by the teacher's
    answer alone; a loss that does not ask the teacher leaves it out.

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
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_logger(recipe.logger)
    student_only = StudentOnly.of(recipe.student_augment, recipe.seed, data.features)
    if past_records:
        _check_past_is_used(recipe, past_records)
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    store = Store.open(records)
    chosen = training_shapes(split, recipe, options)
    rows = check_records(store, split, chosen.train)
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
    scales = channel_scales(split, chosen.train, recipe.scaling)
    network = _seeded(student, data, scales, recipe.seed).to(fabric.device)
    tiles = rows // store.attributes["tile"]
    windows = Windows(tiles, recipe.window, recipe.seed, _balanced(chosen, recipe))
    past = past_of(options, network, store, rows, windows, past_store, fabric.device)
    objective = Objective(recipe.loss, options, past)

    # 3. The run folder keeps what decides the result.
    version = pipeline.normalization
    resolved = {"student": student} | _resolved(student, data, split, scales, recipe, version)
    resolved["records"] = _absolute(records)
    resolved["past_records"] = _absolute(past_records) if past_records else None
    resolved["origin"] |= _recorded(store, past_store)
    with one_run(out, resolved) as run:
        if run.finished:
            run.check_finished()
            return run

        # 4. Replay is proven on two tiles before it is relied on.
        clouds = Clouds.of(split, fabric.device, pipeline.normalization)
        for tile in _some_tiles(store, recipe.seed):
            check_replay(store, tile, pipeline, clouds)

        # 5. Train.
        views = RecordedViews(store, rows, windows, fabric.device, options.needs_teacher)
        material = _material(clouds, pipeline, views, chosen, student_only, recipe, split)
        _announce(run, material, chosen, recipe, network, quiet)
        fit(fabric, run, network, material, objective, recipe, quiet, stop)
    return run


def _material(
    clouds: Clouds,
    pipeline: Pipeline,
    views: FreshViews | RecordedViews,
    chosen: Chosen,
    student_only: StudentOnly,
    recipe: FitOptions,
    split: Split,
) -> Material:
    """What is trained on, with the weights of the classes if they were asked for."""
    weighed = recipe.balance == "weights"
    return Material.of(
        clouds,
        pipeline,
        views,
        (chosen.train, chosen.validation),
        chosen.labels,
        recipe.points or POINTS,
        student_only,
        class_weights(chosen.known, len(split.classes)) if weighed else None,
        recipe.seed,
    )


def _balanced(chosen: Chosen, recipe: FitOptions) -> np.ndarray | None:
    """Labels (R,) whose classes are drawn equally often, if that was asked for."""
    return chosen.known if recipe.balance == "sampling" else None


def _windows(split: Split, chosen: Chosen, recipe: FitOptions) -> Windows:
    """Windows of the tiles that a recording of these shapes has: `train` and `distill` agree."""
    recorded = limited(split, recipe.limit)
    tiles = np.searchsorted(recorded, chosen.train) // tile_length(len(recorded))
    return Windows(tiles, recipe.window, recipe.seed, _balanced(chosen, recipe))


def _normalization(out: Path) -> int:
    """The version of the normalisation of a new run, or of the one that is there."""
    begun = not rank() and (out / RECIPE).exists()
    return from_first(Run(out).normalization if begun else normalize.VERSION)


def _resolved(
    model: str,
    data: Dataset,
    split: Split,
    scales: dict[str, Scale] | None,
    recipe: FitOptions,
    normalization: int,
) -> dict[str, Any]:
    """What decides the result, for the run folder."""
    points = recipe.points or POINTS
    return {
        "data": data.name if data.kind == "primitives" else _absolute(data.name),
        "fold": data.fold,
        "up": data.asked_up,
        **({"group": data.group} if data.group else {}),
        "features": format_features(data.features) if data.features != XYZ else None,
        **({"columns": format_columns(data.columns)} if data.columns else {}),
        "skip_bad": data.skip_bad,
        "drop_missing": data.drop_missing,
        **recipe.entries(),
        "origin": {
            "pointstill": __version__,
            "model": model,
            "classes": list(split.classes),
            "up": split.up,
            "data": split.fingerprint,
            "fewest": _fewest(split, points, recipe),
            **({"normalization": normalization} if normalization > 1 else {}),
            **({"groups": split.groups_fingerprint} if data.group else {}),
            **({"features": split.extra.fingerprint} if split.extra else {}),
            # By name; an empty one still says that what is missing is taken for the middle.
            **({} if scales is None else {"scaling": {n: asdict(s) for n, s in scales.items()}}),
            # They decide what BatchNorm sees, and so the result.
            **({"ranks": torchrun.world()} if torchrun.world() > 1 else {}),
        },
    }


def _fewest(split: Split, points: int, recipe: FitOptions) -> int:
    """Points that a cloud should have to be told by the student: half as many are warned of.

    All but the smallest 1 % of the training clouds have them; one that has learned from sparse
    clouds is warned of below the sparsest.
    """
    fewest = min(points, int(np.quantile(split.sizes, 0.01, method="lower")))
    operations = StudentOnly.of(recipe.student_augment, recipe.seed).operations
    sparsest = [each.least for each in operations if isinstance(each, Sparse)]
    return min(fewest, *(2 * least for least in sparsest)) if sparsest else fewest


def _recorded(store: Store, past: Store | None) -> dict[str, Any]:
    """What the records are, for `origin`."""
    teachers = {"teacher": store, "past": past}
    origin = {name: each.attributes["teacher"] for name, each in teachers.items() if each}
    return origin | {"records": store.fingerprint, "augment": store.attributes["augment"]}


def _absolute(path: str | Path) -> str:
    """A path as it is valid from every folder, for a recipe that is read from another one."""
    here = local(path)
    return str(here.expanduser().absolute() if here else path)


def _seeded(
    model: str, data: Dataset, scales: dict[str, Scale] | None, seed: int
) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = build_model(model, len(data.classes), width(data.features))
    return network if scales is None else ScaledChannels(network, data.features, scales)


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
    run: Run,
    material: Material,
    chosen: Chosen,
    recipe: FitOptions,
    network: torch.nn.Module,
    quiet: bool,
) -> None:
    if quiet:
        return
    parameters = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"training {run.model_name} ({parameters:,} parameters) on {len(material.shapes):,} shapes "
        f"of {len(run.classes)} classes ({chosen.counts(len(run.classes))}), "
        f"{recipe.epochs} epochs, {material.points} points a view, "
        f"{size(material.clouds.points.nbytes)} of clouds{_shuffled(material.views.windows)}"
    )


def _shuffled(windows: Windows) -> str:
    if windows.count == 1:
        return ""
    most = -(-windows.rows // windows.count)
    return f", shuffled in {windows.count} windows of about {most:,} shapes"
