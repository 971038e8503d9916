"""Teachers: any way in leads to a `Teacher`, clouds to logits in the data's class order."""

import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ..errors import TeacherError, UsageError
from ..models import MODELS, build_model
from ..models.checkpoints import load_weights, read_weights
from ..run import Run
from .frame import parse_frame
from .speak import Layout, Output, ask, find_layout, find_output, logits_of, sample_clouds
from .teacher import Teacher, batch_dependence, fingerprint
from .torch_module import load_callable

__all__ = ["Teacher", "batch_dependence", "load_teacher"]


def load_teacher(
    spec: str,
    *,
    weights: Path | None = None,
    classes: Sequence[str],
    class_names: Sequence[str] | None = None,
    frame: str | None = None,
    layout: Literal["auto", "bn3", "b3n"] = "auto",
    output: Literal["auto", "logits", "probabilities"] = "auto",
    up: str | None = None,
    device: str = "cpu",
) -> Teacher:
    """Load a teacher for the classes of a data set, and try it on two clouds.

    Args:
        spec: a name from `models.MODELS`, a finished run folder, or `package.module:callable`.
        weights: file for the first and the last; see `models.checkpoints.read_weights`.
        classes: class names of the data.
        class_names: the teacher's class names in its own order, where a run does not know them.
        frame: the teacher's axes in terms of the data's, such as `x,z,y`; by default the same.
        layout: of its input, (B, N, 3) or (B, 3, N); `auto` tries.
        output: what it returns; a log-softmax counts as logits; `auto` recognises probabilities.
        up: the data's up axis; a run that was trained in another gets a warning.
        device: where it runs.

    Warns:
        UserWarning: it gives probabilities; a prediction depends on its batch, or on chance; it
            was trained with another axis up.

    Raises:
        UsageError: options that make no sense.
        TeacherError: it cannot be loaded, or does not fit the data.
        TrainingError: the run folder is unfinished or damaged.
    """
    axes = parse_frame(frame)
    with torch.random.fork_rng(devices=[]):  # the draws of the caller are not disturbed
        # 1. The network and its weights, in eval mode.
        module, run = _find(spec, weights, len(classes))
        names, points = (run.classes, run.recipe["points"]) if run else (None, None)
        if weights is not None:
            load_weights(module, read_weights(Path(weights)), str(weights))
        module = module.to(device).eval().requires_grad_(False)
        order = class_order(class_names or names or classes, classes, spec)

        # 2. A dry run tells what was left open.
        clouds = sample_clouds(torch.device(device))
        shape, meaning = _dry_run(spec, module, clouds, len(classes), layout, output)

        # 3. Logits may depend on nothing but the cloud.
        teacher = Teacher(
            spec=spec,
            classes=tuple(classes),
            module=module,
            device=torch.device(device),
            points=points,
            layout=shape,
            output=meaning,
            axes=axes,
            order=order,
            fingerprint=fingerprint(module, shape, meaning, axes, order),
        )
        _warn_of_surroundings(teacher, clouds)
    trained_up = run.recipe["origin"]["up"] if run else None
    if trained_up and up and trained_up != up and frame is None:
        warnings.warn(
            f"teacher {spec} was trained with {trained_up} up, and {up} is up in this data: "
            "say where its axes are, such as --frame x,z,y",
            stacklevel=2,
        )
    return teacher


@torch.inference_mode()
def _dry_run(
    spec: str,
    module: nn.Module,
    clouds: torch.Tensor,
    classes: int,
    layout: Literal["auto", "bn3", "b3n"],
    output: Literal["auto", "logits", "probabilities"],
) -> tuple[Layout, Output]:
    """Layout and meaning of the output, as said or as found."""
    try:
        shape = find_layout(module, clouds, classes, layout)
        scores = logits_of(ask(module, clouds, shape), len(clouds), classes, "logits")
    except TeacherError as error:
        raise TeacherError(f"teacher {spec}: {error}") from error
    found = find_output(scores)
    if output == "auto" and found == "probabilities":
        warnings.warn(
            f"teacher {spec} gives probabilities: their logarithm is taken as logits, with less "
            "precision than its own logits would have",
            stacklevel=4,
        )
    if output == "probabilities" and found == "logits":
        raise TeacherError(
            f"teacher {spec} gives no probabilities (rows that sum to 1): leave out --output"
        )
    return shape, found if output == "auto" else output


def _find(spec: str, weights: Path | None, classes: int) -> tuple[nn.Module, Run | None]:
    """The network, and the run it comes from, if it comes from one."""
    if spec in MODELS:
        if weights is None:
            raise UsageError(f"teacher {spec} needs its weights: give --weights FILE")
        return build_model(spec, classes), None
    if Path(spec).is_dir():
        run = Run(spec)
        return run.model(), run
    if ":" in spec:
        return load_callable(spec, classes), None
    near = get_close_matches(spec.lower(), MODELS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"the models are {', '.join(MODELS)}"
    raise UsageError(f"teacher {spec!r} is no model, run folder or package.module:callable: {hint}")


def class_order(names: Sequence[str], classes: Sequence[str], spec: str) -> tuple[int, ...] | None:
    """Columns of a teacher with these class names in the data's order; None: as they are.

    Raises:
        TeacherError: they are not the same classes.
    """
    if len(set(names)) < len(names):
        raise TeacherError(f"teacher {spec} has a class name twice: check --class-names")
    if set(names) != set(classes):
        theirs = [name for name in names if name not in set(classes)]
        ours = [name for name in classes if name not in set(names)]
        sides = [
            f"only the {who} has {', '.join(some[:5])}" + (" and more" if len(some) > 5 else "")
            for who, some in (("teacher", theirs), ("data", ours))
            if some
        ]
        raise TeacherError(
            f"teacher {spec} knows {len(names)} classes, the data {len(classes)}, not the same: "
            f"{'; '.join(sides)}: choose the data set it was trained on, or check --class-names"
        )
    order = tuple(list(names).index(name) for name in classes)
    return None if order == tuple(range(len(classes))) else order


def _warn_of_surroundings(teacher: Teacher, clouds: torch.Tensor) -> None:
    """Warn when logits depend on anything but the cloud, beyond a thousandth of their spread."""
    logits = teacher.logits(clouds)
    tolerance = 1e-3 * float(logits.max() - logits.min())
    if float((teacher.logits(clouds) - logits).abs().max()) > tolerance:
        warnings.warn(
            f"teacher {teacher.spec} draws at random in eval mode: its records cannot be "
            "reproduced; fix its seed or its start of farthest point sampling",
            stacklevel=3,
        )
        return
    difference = batch_dependence(teacher, clouds)
    if difference > tolerance:
        warnings.warn(
            f"teacher {teacher.spec}: a prediction depends on the rest of its batch (logits "
            f"differ by {difference:.2g}): look for BatchNorm that uses batch statistics",
            stacklevel=3,
        )
