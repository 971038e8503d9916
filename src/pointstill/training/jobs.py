"""Job 2: train a student from records and clouds; and, from labels alone, teachers and baselines.

Nothing here can load a teacher: what it had to say is in the records.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__, torchrun
from ..augment import Clouds, Pipeline, parse
from ..data import Dataset, Split
from ..data.selection import check_classes, held_out, limited
from ..errors import TrainingError, UsageError
from ..losses import LOSSES
from ..models import build_model
from ..points.features import XYZ, format_features, width
from ..progress import console, size
from ..recipe import DistillRecipe, FitOptions, LossOptions, TrainRecipe
from ..records import Store
from ..records.layout import tile_length
from ..records.matching import check_past, check_records, recorded_pipeline
from ..records.verify import check_replay
from ..run import Run
from ..storage.paths import here, local
from .loop import Material, View, fit, start_fabric
from .past import Present, self_teacher
from .ranks import one_run
from .shuffling import Windows


def train(
    model: str, data: Dataset, *, out: str | Path, recipe: TrainRecipe, quiet: bool = False
) -> Run:
    """Train a model from labels alone, on a fresh view of every shape in every epoch.

    Args:
        model: a name from `models.MODELS`.
        data: from `open_dataset`; only its training split is opened.
        out: run folder; one with an unfinished run of the same recipe is gone on with.
        recipe: the options.
        quiet: report nothing.

    Returns:
        The finished run.

    Raises:
        DataError: fewer than two classes.
        TrainingError: see `training.fit` and `Run.begin`.
        UsageError: a run folder that is not on this machine.
    """
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    pipeline = Pipeline(parse(recipe.augment, split.up), recipe.seed)
    points = recipe.points or 1024
    recipe = replace(recipe, points=points)
    shapes, validation = training_shapes(split, recipe)
    fabric = start_fabric(recipe)
    network = _seeded(model, data, recipe.seed).to(fabric.device)
    with one_run(out, {"model": model} | _resolved(model, data, split, recipe)) as run:
        if run.finished:
            return run
        clouds = Clouds.of(split, fabric.device)
        windows = _windows(np.union1d(shapes, validation), shapes, recipe)
        views = _FreshViews(pipeline, torch.from_numpy(shapes), windows, fabric.device)
        material = _material(clouds, pipeline, views, split, shapes, validation, points)
        loss = LossOptions(loss="ce", smoothing=recipe.smoothing)
        _announce(run, material, recipe, network, quiet)
        fit(fabric, run, network, material, Present(), loss, recipe, quiet)
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

    Returns:
        The finished run.

    Raises:
        DataError: fewer than two classes.
        RecordsError: the records are unfinished, damaged, or made from something else.
        TrainingError: see `training.fit` and `Run.begin`.
        UsageError: past records that the recipe would not use, or a run folder that is not on
            this machine.
    """
    # 1. Records and data must belong together; the message names the fix.
    if past_records and not (recipe.loss == "nwsd" and recipe.past == "records"):
        raise UsageError(
            f"the past records {past_records} would not be used by loss {recipe.loss} with past "
            f"{recipe.past}: leave them out, or choose --loss nwsd --past records"
        )
    out, quiet = here(out, "out"), quiet or not torchrun.first()
    check_classes(data)
    with torchrun.in_turn():
        split = data.train
    store = Store.open(records)
    shapes, validation = training_shapes(split, recipe)
    rows = check_records(store, split, shapes)
    points = recipe.points or int(store.attributes["points"])
    recipe = replace(recipe, points=points)
    past_store = Store.open(past_records) if past_records else None
    if past_store:
        check_past(past_store, store)
    pipeline = recorded_pipeline(store)

    # 2. The student and its past. What cannot be built leaves no run folder behind.
    fabric = start_fabric(recipe)
    network = _seeded(student, data, recipe.seed).to(fabric.device)
    windows = Windows(rows // store.attributes["tile"], recipe.window, recipe.seed)
    needed = LOSSES[recipe.loss].needs_past
    past = (
        self_teacher(recipe, network, store, rows, windows, past_store, fabric.device)
        if needed
        else Present()
    )

    # 3. The run folder keeps what decides the result.
    resolved = {"student": student} | _resolved(student, data, split, recipe)
    resolved |= {"records": _place(records)}
    resolved |= {"past_records": _place(past_records) if past_records else None}
    for name, each in (("teacher", store), ("past", past_store)):
        if each:
            resolved["origin"][name] = each.attributes["teacher"]
    resolved["origin"]["records"] = store.fingerprint
    resolved["origin"]["augment"] = store.attributes["augment"]
    with one_run(out, resolved) as run:
        if run.finished:
            return run

        # 4. Replay is proven on two tiles before it is relied on.
        clouds = Clouds.of(split, fabric.device)
        for tile in _some_tiles(store, recipe.seed):
            check_replay(store, tile, pipeline, clouds)

        # 5. Train.
        teacher = LOSSES[recipe.loss].needs_teacher
        views = _RecordedViews(store, rows, windows, fabric.device, teacher)
        material = _material(clouds, pipeline, views, split, shapes, validation, points)
        _announce(run, material, recipe, network, quiet)
        fit(fabric, run, network, material, past, recipe, recipe, quiet)
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
            f"no shape of {len(shapes)} is left over for validation, which tells the best weights: "
            "choose --keep last, or a larger --limit or --val"
        )
    least = 2 * torchrun.world()
    if len(rest) < least:
        raise TrainingError(
            f"there are {len(rest)} shapes to train on, and {least} are needed: choose a smaller "
            "--val or a larger --limit"
        )
    return rest, validation


class _FreshViews:
    """Views drawn afresh: epoch e is view e."""

    def __init__(self, pipeline: Pipeline, shapes: Tensor, windows: Windows, device: torch.device):
        self.pipeline, self.shapes, self.windows, self.device = pipeline, shapes, windows, device

    def view(self, epoch: int) -> View:
        def parameters(rows: np.ndarray) -> Tensor:
            return self.pipeline.sample(epoch, self.shapes[rows]).to(self.device)

        order = self.windows.epoch(epoch)
        return View(epoch, order, order.table(parameters), None)


class _RecordedViews:
    """Views as they were recorded: epoch e is view e mod V."""

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        windows: Windows,
        device: torch.device,
        teacher: bool,
    ):
        self.store, self.rows, self.windows = store, rows, windows
        self.device, self.teacher = device, teacher

    def view(self, epoch: int) -> View:
        number = epoch % self.store.views

        def parameters(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(self.store.parameters(number, self.rows[rows])).to(self.device)

        def logits(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(self.store.logits(number, self.rows[rows])).to(self.device)

        order = self.windows.epoch(epoch)
        teacher = order.table(logits) if self.teacher else None
        return View(number, order, order.table(parameters), teacher)


def _windows(recorded: np.ndarray, shapes: np.ndarray, recipe: FitOptions) -> Windows:
    """Windows of the tiles that a recording of these shapes has: `train` and `distill` agree."""
    tiles = np.searchsorted(recorded, shapes) // tile_length(len(recorded))
    return Windows(tiles, recipe.window, recipe.seed)


def _material(
    clouds: Clouds,
    pipeline: Pipeline,
    views: Any,
    split: Split,
    shapes: np.ndarray,
    validation: np.ndarray,
    points: int,
) -> Material:
    device = clouds.device
    return Material(
        clouds=clouds,
        pipeline=pipeline,
        views=views,
        shapes=torch.from_numpy(shapes).to(device),
        labels=torch.from_numpy(np.asarray(split.labels, np.int64).copy()).to(device),
        validation=torch.from_numpy(validation).to(device),
        points=points,
    )


def _resolved(model: str, data: Dataset, split: Split, recipe: FitOptions) -> dict[str, Any]:
    return {
        "data": data.name if data.kind == "primitives" else _place(data.name),
        "fold": data.fold,
        "up": data.asked_up,
        "features": format_features(data.features) if data.features != XYZ else None,
        "skip_bad": data.skip_bad,
        "drop_missing": data.drop_missing,
        **asdict(recipe),
        "origin": {
            "pointstill": __version__,
            "model": model,
            "classes": list(split.classes),
            "up": split.up,
            "data": split.fingerprint,
            **({"features": split.extra.fingerprint} if split.extra else {}),
            # They decide what BatchNorm sees, and so the result.
            **({"ranks": torchrun.world()} if torchrun.world() > 1 else {}),
        },
    }


def _place(path: str | Path) -> str:
    """A path as it is valid from every folder, for a recipe that is read from another one."""
    here = local(path)
    return str(here.expanduser().absolute() if here else path)


def _seeded(model: str, data: Dataset, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(model, len(data.classes), width(data.features))


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
