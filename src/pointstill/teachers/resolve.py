"""From what a user names to a network: a model, a run, a file, code, or a description of these; or
a student that comes with the package, which is a file.

Code is run where the user names it: `package.module:callable`, a TorchScript or `.pt2` file, or a
description, which may name one of these. A description that only lies beside a file that was named
tells how that file is asked, and no more: of weights, which built-in model they are of.
"""

import re
from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import NoTeacherError, TeacherError, UsageError
from ..models import MODELS, build_model
from ..models.checkpoints import load_weights, read_weights
from ..points.features import Features, width
from ..run import RECIPE, Run
from ..storage.packaged_students import student_path
from .description import Description, description_path, is_description
from .file_kind import FileKind
from .network import Loaded, error_summary
from .onnx_file import ONNX
from .torch_export import EXPORTED
from .torch_module import TorchNetwork, load_callable
from .torchscript import TORCHSCRIPT

FILE_KINDS: dict[str, FileKind] = {
    "onnx": ONNX,
    "torchscript": TORCHSCRIPT,
    "exported": EXPORTED,
}
"""The files that hold a network; the first that matches is taken."""


def kind_of(path: Path) -> str:
    """What kind of file it is: `description`, one of `FILE_KINDS`, or else `weights`.

    Raises:
        TeacherError: it cannot be read.
    """
    if is_description(path):
        return "description"
    return next((name for name, kind in FILE_KINDS.items() if kind.matches(path)), "weights")


def is_run(spec: object) -> bool:
    """Whether it is a run folder, finished or not."""
    return isinstance(spec, str | Path) and (Path(spec) / RECIPE).is_file()


def is_model(spec: object) -> bool:
    """Whether it is a name from `MODELS`; a run folder may have one of these names too."""
    return isinstance(spec, str) and spec in MODELS


def is_code(spec: object) -> bool:
    """Whether it reads as package.module:callable."""
    return isinstance(spec, str) and re.fullmatch(r"[^:]+:[^:/]+", spec) is not None


def is_file_name(spec: str) -> bool:
    """Whether it is called as a file of a teacher is; it need not be there."""
    suffixes = [suffix for kind in FILE_KINDS.values() for suffix in kind.suffixes]
    return is_description(Path(spec)) or Path(spec).suffix.lower() in suffixes


def resolve(spec: str, weights: Path | None) -> tuple[Description, str, Path | None]:
    """The description, where there is one, and the network and weights that are meant.

    Raises:
        TeacherError: the description is wrong, or of something else, or lies beside weights and
            names code.
    """
    file = student_path(Path(spec))
    if weights is None and file.is_file():
        return _resolve_file(str(file), file)
    described = beside(weights)
    if weights and described.teacher not in (None, spec):
        give = f"give --teacher {described.teacher}, or " if is_model(described.teacher) else ""
        raise TeacherError(
            f"says that these are weights of {described.teacher}, not of {spec}",
            where=description_path(weights),
            fix=f"{give}mend or remove the description",
        )
    return described, spec, weights


def beside(weights: Path | None) -> Description:
    """The description that lies beside weights; an empty one where there is none.

    Raises:
        TeacherError: it is wrong, or of other weights.
    """
    if weights is None or not description_path(weights).is_file():
        return Description()
    return Description.read(description_path(weights), weights)


def _resolve_file(spec: str, file: Path) -> tuple[Description, str, Path | None]:
    """The same of a file that is named alone: a network, its description, or weights with one."""
    kind = kind_of(file)
    path = file if kind == "description" else description_path(file)
    if not path.is_file():
        return Description(), spec, None
    described = Description.read(path, None if path == file else file)
    if kind not in ("description", "weights"):
        return described, spec, None
    source = described.teacher
    if source is None:
        raise TeacherError(
            "does not say which network it is",
            where=path,
            fix="add `teacher: NAME` of a built-in model, or give --teacher and --weights",
        )
    if path == file:
        if not (is_model(source) or is_code(source)):
            return described, str(path.parent / source), None
        return described, source, path.parent / described.weights if described.weights else None
    if not is_model(source):
        raise TeacherError(
            f"lies beside {file.name} and names {source} as its network, which is run only where "
            "you name it",
            where=path,
            fix=f"if you trust it, name the description, --teacher {path}, or the network, "
            f"--teacher {source} --weights {file}",
        )
    return described, source, file


def load_source(
    spec: str, weights: Path | None, classes: int, device: torch.device, features: Features
) -> Loaded:
    """The network that `resolve` names, on its device, in eval mode.

    Args:
        spec: a model, run folder, model file or package.module:callable.
        weights: of a model or a callable.
        classes: that a model or callable is built for.
        device: where it runs.
        features: that a model is built for; of a file, those of the data.

    Raises:
        UsageError: it is none of these, or lacks its weights.
        TeacherError: it cannot be loaded.
        TrainingError: the run folder is unfinished or damaged.
    """
    file = Path(spec)
    if is_model(spec) and (weights is not None or not is_run(spec)):
        if weights is None:
            raise UsageError(
                "needs its weights", where=f"teacher {spec}", fix="give --weights FILE"
            )
        model = build_model(spec, classes, width(features))
        load_weights(model, read_weights(weights), weights)
        return Loaded(TorchNetwork.frozen(model, device))
    if file.is_dir():
        return _load_run(spec, device)
    if file.is_file():
        return _load_file(file, device, width(features))
    if is_file_name(spec):
        raise NoTeacherError("is not there", where=spec, fix="give a file that is")
    if is_code(spec):
        model = load_callable(spec, classes, trained=weights is None)
        if weights is not None:
            load_weights(model, read_weights(weights), weights)
        return Loaded(TorchNetwork.frozen(model, device))
    near = get_close_matches(spec.lower(), MODELS, n=1, cutoff=0.5)
    raise UsageError(
        "is no model, run folder, model file or package.module:callable",
        where=f"teacher {spec!r}",
        fix=f"did you mean {near[0]}?" if near else f"the models are {', '.join(MODELS)}",
    )


def load_module(module: nn.Module, weights: Path | None, device: torch.device) -> Loaded:
    """A copy of a module that is made already, so that what happens to it later changes nothing.

    Raises:
        TeacherError: it cannot be copied, or the weights do not fit.
    """
    try:
        copy = deepcopy(module)
    except Exception as error:  # its hooks and tensors are anybody's
        raise TeacherError(
            f"cannot be copied ({error_summary(error)})",
            where=f"teacher {type(module).__name__}",
            fix="name a function that makes it, package.module:callable",
        ) from error
    if weights is not None:
        load_weights(copy, read_weights(weights), weights)
    return Loaded(TorchNetwork.frozen(copy, device))


def _load_run(spec: str, device: torch.device) -> Loaded:
    run = Run(spec)
    origin: dict[str, Any] = run.recipe["origin"]
    network = TorchNetwork.frozen(run.model(), device)
    return Loaded(
        network,
        run.classes,
        run.recipe["points"],
        origin["up"],
        run.trained_on,
        run.features,
        run.calibration,
    )


def _load_file(file: Path, device: torch.device, channels: int) -> Loaded:
    found = kind_of(file)
    if found == "description":
        raise TeacherError(
            "is a description, and holds no network",
            where=file,
            fix="name it as --teacher itself, and no other description of it",
        )
    kind = FILE_KINDS.get(found)
    if kind is None:
        raise TeacherError(
            "holds weights or something unknown, and no network",
            where=file,
            fix=f"name the network and give --teacher NAME --weights {file}, or give a "
            "TorchScript, .pt2 or ONNX file",
        )
    return kind.load(file, device, channels)


def addressed(specs: Sequence[object]) -> list[bool]:
    """Which of several teachers class names, axes, layout and output are said of.

    Of those that are no run folders, as a run brings its own; of runs alone, of all.
    """
    named = [isinstance(spec, str | Path | nn.Module) for spec in specs]
    bare = [name and not is_run(spec) for name, spec in zip(named, specs, strict=True)]
    return bare if any(bare) else named


def share_weights(
    specs: Sequence[object], weights: str | Path | Sequence[str | Path] | None
) -> list[Path | None]:
    """Which file of weights each teacher gets.

    They are handed out in order: one to each built-in model and each callable, or, if there are
    fewer, to the built-in models alone, which cannot do without.

    Raises:
        UsageError: the numbers do not go together.
    """
    files = [weights] if isinstance(weights, str | Path) else list(weights or ())
    own = [isinstance(spec, nn.Module) or is_code(spec) for spec in specs]
    may = [i for i, spec in enumerate(specs) if is_model(spec) or own[i]]
    must = [i for i in may if is_model(specs[i])]
    bare = [i for i in must if not is_run(specs[i])]  # runs may be named as models are
    for takers in (may, must, bare):
        if len(takers) == len(files) or not files:
            shares = dict(zip(takers, files, strict=False))
            return [Path(shares[i]) if i in shares else None for i in range(len(specs))]
    needing = ", ".join(
        type(specs[i]).__name__ if own[i] and not is_code(specs[i]) else str(specs[i]) for i in may
    )
    why = f"{needing} may take some" if needing else "a run or a model file brings its own"
    raise UsageError(
        f"{len(files)} --weights for {len(specs)} teachers, of which {why}",
        fix="give --weights in the order of the teachers, once for each",
    )
