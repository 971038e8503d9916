"""From what a user names to a teacher: one network, several, or one that votes."""

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch

from ..errors import NoTeacherError, TeacherError, UsageError
from ..models import MODELS, build_model
from ..models.checkpoints import load_weights, read_weights
from ..points.features import XYZ, Features, parse_features, width
from ..run import RECIPE, Run, TrainedOn
from .axes import parse_axes
from .classes import ClassMap, find_columns, read_class_map
from .compatibility import own_features
from .description import Description, beside
from .detection import find_layout, find_output, sample_clouds
from .ensemble import Ensemble, Mean
from .file_kind import SUFFIXES, kind_of
from .teacher import Network, NetworkTeacher, Teacher, batch_dependence, fingerprint
from .torch_module import TorchNetwork, load_callable
from .votes import Votes

SILENT: dict[str, Any] = {"class_names": None, "frame": None, "layout": "auto", "output": "auto"}
"""How a teacher is spoken to when nothing is said about it."""


def load_teacher(
    spec: str | Path | Sequence[str | Path | Teacher],
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    classes: Sequence[str],
    class_names: Sequence[str] | None = None,
    class_map: str | Path | ClassMap | None = None,
    frame: str | None = None,
    layout: Literal["auto", "bn3", "b3n"] = "auto",
    output: Literal["auto", "logits", "probabilities"] = "auto",
    up: str | None = None,
    features: Sequence[str] = XYZ,
    device: str = "cpu",
    ensemble: Mean | None = None,
    ensemble_weights: Sequence[float] | None = None,
    votes: int = 1,
    vote_augment: str = "scale",
    vote_seed: int = 0,
) -> Teacher:
    """Load a teacher for the classes of a data set, and try it on two clouds.

    Args:
        spec: a name from `models.MODELS`, a finished run folder (which comes first where no weights
            are given and both are so named), `package.module:callable`, a
            TorchScript, `torch.export` (.pt2) or ONNX file, or a description (YAML) of one of
            these; or a list of any of them, and of loaded teachers: an ensemble.
        weights: files for those of the first and third kind; see `share_weights`.
        classes: class names of the data.
        class_names: the teacher's class names in its own order, where it does not bring them.
        class_map: teacher class -> data class, or a YAML file of it, where the names differ.
        frame: the teacher's axes in terms of the data's, such as `x,z,y`; by default as its
            description says, or the same.
        layout: of its input, (B, N, 3) or (B, 3, N); `auto` tries.
        output: what it returns; a log-softmax counts as logits; `auto` recognises probabilities.
        up: the data's up axis; a teacher that was made with another gets a warning.
        features: those of the data, `Dataset.features`; see `given.own_features`.
        device: where it runs; ONNX stays on the CPU.
        ensemble: whether logits (unless said) or probabilities of several teachers are averaged.
        ensemble_weights: one for each of several teachers.
        votes: views of each cloud over which its logits are averaged; 1: no voting.
        vote_augment: operations of those views, shape-level ones.
        vote_seed: seed of those views.

    Warns:
        UserWarning: it gives probabilities; a prediction depends on its batch, or on chance; it
            was made with another axis up.

    Raises:
        UsageError: options that make no sense.
        TeacherError: it cannot be loaded, or does not fit the data.
        TrainingError: the run folder is unfinished or damaged.
    """
    specs = [spec] if isinstance(spec, str | Path) else list(spec)
    if not all(each != "" for each in specs) or not specs:
        raise UsageError("no teacher is named")
    habits = {"class names": class_names, "frame": frame}
    habits |= {"layout": None if layout == "auto" else layout}
    habits |= {"output": None if output == "auto" else output}
    said = [name for name, value in habits.items() if value is not None]
    meant = addressed(specs)
    if len(specs) > 1 and said and sum(meant) != 1:
        raise UsageError(
            f"{said[0]} would be that of all {sum(meant)} teachers: describe each by itself, "
            "with `pointstill teacher describe`, which writes it beside its file"
        )
    if len(specs) == 1 and (ensemble, ensemble_weights) != (None, None):
        raise UsageError("an ensemble needs several teachers: give --teacher more than once")
    if votes < 1:
        raise UsageError(f"votes is {votes}; choose 1 or more")
    if isinstance(class_map, str | Path):
        class_map = read_class_map(Path(class_map))
    options: dict[str, Any] = {
        "classes": classes,
        "class_names": class_names,
        "class_map": class_map,
        "frame": frame,
        "layout": layout,
        "output": output,
        "up": up,
        "given": parse_features(features),
        "device": torch.device(device),
    }
    members: list[Teacher] = []
    with torch.random.fork_rng(devices=[]):  # the draws of the caller are not disturbed
        for each, file, told in zip(specs, share_weights(specs, weights), meant, strict=True):
            if isinstance(each, str | Path):
                members.append(_load_one(str(each), file, **(options | ({} if told else SILENT))))
            else:
                members.append(each)
    mean = ensemble or "logits"
    teacher = members[0] if len(members) == 1 else Ensemble(members, mean, ensemble_weights)
    if votes == 1:
        return teacher
    return Votes(teacher, votes, vote_augment, vote_seed, up or "z", options["given"])


def addressed(specs: Sequence[object]) -> list[bool]:
    """Which of several teachers class names, frame, layout and output are said of.

    Of those that are no run folders, as a run brings its own; of runs alone, of all.
    """
    named = [isinstance(spec, str | Path) for spec in specs]
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
    may = [i for i, spec in enumerate(specs) if _is_model(spec) or _is_code(spec)]
    must = [i for i in may if _is_model(specs[i])]
    bare = [i for i in must if not is_run(specs[i])]  # runs may be named as models are
    for takers in (may, must, bare):
        if len(takers) == len(files) or not files:
            given = dict(zip(takers, files, strict=False))
            return [Path(given[i]) if i in given else None for i in range(len(specs))]
    needing = ", ".join(str(specs[i]) for i in may)
    why = f"{needing} may take some" if needing else "a run or a model file brings its own"
    raise UsageError(
        f"{len(files)} --weights for {len(specs)} teachers, of which {why}: give --weights in the "
        "order of the teachers, once for each"
    )


@dataclass(frozen=True)
class _Found:
    """A network, and what is known of it before it is asked anything."""

    network: Network
    classes: Sequence[str] | None = None
    points: int | None = None
    up: str | None = None
    trained_on: TrainedOn | None = None
    features: Features | None = None


def _load_one(
    spec: str,
    weights: Path | None,
    classes: Sequence[str],
    class_names: Sequence[str] | None,
    class_map: ClassMap | None,
    frame: str | None,
    layout: Literal["auto", "bn3", "b3n"],
    output: Literal["auto", "logits", "probabilities"],
    up: str | None,
    given: Features,
    device: torch.device,
) -> NetworkTeacher:
    # 1. The network, its weights, and what lies beside them. What the user says comes first.
    described, source, weights = resolve(spec, weights)
    names = class_names or described.classes
    if names:
        find_columns(names, classes, class_map, spec)  # refused before a network is built for them
    taken = parse_features(described.features) if described.features else None
    found = _find(source, weights, len(names or classes), device, taken or given)
    own = own_features(spec, found.network, found.features or taken, given)
    names = names or found.classes
    if class_map is not None and names is None:
        raise UsageError(f"a class map needs the class names of teacher {spec}: give --class-names")
    columns = find_columns(names or classes, classes, class_map, spec)
    outputs = len(names or classes)
    network, points = found.network, found.network.points or described.points or found.points
    frame = None if frame == "auto" else frame
    made_for = described.up if described.frame else found.up
    astray = frame is None and up is not None and made_for not in (None, up)
    axes = parse_axes(frame if frame or astray else described.frame)

    # 2. A dry run tells what was left open.
    count = network.points or described.points or 1024
    clouds = sample_clouds(network.device, count, width(own))
    said = described.output if output == "auto" and described.output else output
    wanted = described.layout if layout == "auto" and described.layout else layout
    with torch.inference_mode():
        try:
            shape, scores = find_layout(network, clouds, outputs, wanted)
        except TeacherError as error:
            raise TeacherError(f"teacher {spec}: {error}") from error
    meaning = find_output(scores)
    if said == "auto" and meaning == "probabilities":
        warnings.warn(
            f"teacher {spec} gives probabilities: their logarithm is taken as logits, with less "
            "precision than its own logits would have",
            stacklevel=3,
        )
    if said == "probabilities" and meaning == "logits":
        raise TeacherError(
            f"teacher {spec} gives no probabilities (rows that sum to 1): leave out --output"
        )
    meaning = meaning if said == "auto" else said

    # 3. Logits may depend on nothing but the cloud.
    seen = found.trained_on
    known_right = described.vouched_on(len(classes)) or (seen.fingerprint if seen else None)
    teacher = NetworkTeacher(
        spec=spec,
        classes=tuple(classes),
        network=network,
        points=points,
        layout=shape,
        output=meaning,
        axes=axes,
        columns=columns,
        names=tuple(names or classes),
        fingerprint=fingerprint(network, shape, meaning, axes, columns, own),
        checked_on=known_right if frame is None and not astray else None,
        trained_on=seen,
        given=given,
        features=own,
    )
    _warn_of_surroundings(teacher, sample_clouds(network.device, count, width(given)))
    if astray:
        warnings.warn(
            f"teacher {spec} was trained with {made_for} up, and {up} is up in this data: "
            "say where its axes are, such as --frame x,z,y",
            stacklevel=3,
        )
    return teacher


def resolve(spec: str, weights: Path | None) -> tuple[Description, str, Path | None]:
    """The description, where there is one, and the network and weights that are meant."""
    file = Path(spec)
    if weights is None and file.is_file():
        kind = kind_of(file)
        path = file if kind == "description" else beside(file)
        if not path.is_file():
            return Description(), spec, None
        described = Description.read(path)
        if kind not in ("description", "weights"):
            return described, spec, None
        source = described.teacher
        if source is None:
            raise TeacherError(f"{path} does not say which network it is: add `teacher: NAME`")
        if not (_is_model(source) or _is_code(source)):
            return described, str(path.parent / source), None
        name = described.weights or (file.name if kind == "weights" else None)
        return described, source, path.parent / name if name else None
    if weights is None or not beside(weights).is_file():
        return Description(), spec, weights
    described = Description.read(beside(weights))
    if described.teacher not in (None, spec):
        raise TeacherError(
            f"{beside(weights)} says that these are weights of {described.teacher}, not of {spec}: "
            f"give --teacher {described.teacher}, or mend or remove the description"
        )
    return described, spec, weights


def _find(
    spec: str, weights: Path | None, classes: int, device: torch.device, features: Features
) -> _Found:
    """The network, on its device, in eval mode."""
    file = Path(spec)
    if _is_model(spec) and (weights is not None or not is_run(spec)):
        if weights is None:
            raise UsageError(f"teacher {spec} needs its weights: give --weights FILE")
        model = build_model(spec, classes, width(features))
        load_weights(model, read_weights(weights), str(weights))
        return _Found(_module(model, device))
    if file.is_dir():
        run = Run(spec)
        origin: dict[str, Any] = run.recipe["origin"]
        network = _module(run.model(), device)
        points, up = run.recipe["points"], origin["up"]
        return _Found(network, run.classes, points, up, run.trained_on, run.features)
    if file.is_file():
        return _from_file(file, device, width(features))
    if file.suffix.lower() in SUFFIXES:
        raise NoTeacherError(f"{spec}: there is no such file")
    if _is_code(spec):
        model = load_callable(spec, classes)
        if weights is not None:
            load_weights(model, read_weights(weights), str(weights))
        return _Found(_module(model, device))
    near = get_close_matches(spec.lower(), MODELS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"the models are {', '.join(MODELS)}"
    raise UsageError(
        f"teacher {spec!r} is no model, run folder, model file or package.module:callable: {hint}"
    )


def _from_file(file: Path, device: torch.device, channels: int) -> _Found:
    kind = kind_of(file)
    if kind == "torchscript":
        from .torchscript import load_torchscript

        return _Found(load_torchscript(file, device))
    if kind == "exported":
        from .exported import load_exported

        return _Found(load_exported(file, device, channels))
    if kind == "onnx":
        from .onnx_file import OnnxNetwork

        network = OnnxNetwork(file, channels)
        classes, points, up = (network.about.get(name) for name in ("classes", "points", "up"))
        return _Found(network, classes, points, up, network.trained_on)
    raise TeacherError(
        f"{file} holds weights or something unknown, and no network: name the network and give "
        f"--teacher NAME --weights {file}, or give a TorchScript, .pt2 or ONNX file"
    )


def _module(module: torch.nn.Module, device: torch.device) -> TorchNetwork:
    return TorchNetwork(module.to(device).eval().requires_grad_(False), device)


def is_run(spec: object) -> bool:
    """Whether it is a run folder, finished or not."""
    return isinstance(spec, str | Path) and (Path(spec) / RECIPE).is_file()


def networks(teacher: Teacher) -> Sequence[NetworkTeacher]:
    """The networks that a teacher is made of."""
    if isinstance(teacher, Votes):
        return networks(teacher.teacher)
    if isinstance(teacher, Ensemble):
        return [each for member in teacher.members for each in networks(member)]
    return [teacher] if isinstance(teacher, NetworkTeacher) else []


def _is_model(spec: object) -> bool:
    return isinstance(spec, str) and spec in MODELS


def _is_code(spec: object) -> bool:
    """Whether it reads as package.module:callable."""
    return isinstance(spec, str) and re.fullmatch(r"[^:]+:[^:/]+", spec) is not None


def _warn_of_surroundings(teacher: NetworkTeacher, clouds: torch.Tensor) -> None:
    """Warn when logits depend on anything but the cloud, beyond a thousandth of their spread.

    Raises:
        TeacherError: it cannot be asked about one cloud alone.
    """
    logits = teacher.logits(clouds)
    tolerance = 1e-3 * float(logits.max() - logits.min())
    if float((teacher.logits(clouds) - logits).abs().max()) > tolerance:
        warnings.warn(
            f"teacher {teacher.spec} draws at random in eval mode: its records cannot be "
            "reproduced; fix its seed or its start of farthest point sampling",
            stacklevel=4,
        )
        return
    difference = batch_dependence(teacher, clouds)
    if math.isinf(difference):
        raise TeacherError(
            f"teacher {teacher.spec} takes several clouds and fails on one alone: look for "
            "BatchNorm that uses batch statistics (is it in eval mode?), or a squeezed dimension"
        )
    if difference > tolerance:
        warnings.warn(
            f"teacher {teacher.spec}: a prediction depends on the rest of its batch (logits "
            f"differ by {difference:.2g}): look for BatchNorm that uses batch statistics",
            stacklevel=4,
        )
