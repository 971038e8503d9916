"""From what a user names to a teacher: one network, several, or one that votes."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import TeacherError, UsageError
from ..points.features import XYZ, Features, parse_features, width
from ..recipe import POINTS
from ..storage.calibration import AS_THEY_ARE
from .axes import parse_axes
from .classes import ClassMap, find_columns, read_class_map
from .compatibility import own_features
from .description import Description
from .ensemble import Ensemble, Mean
from .interface_detection import check_dependence, detect, sample_clouds
from .network import Layout, Output
from .resolve import addressed, beside, load_module, load_source, resolve, share_weights
from .teacher import NetworkTeacher, Teacher, fingerprint
from .votes import Votes


@dataclass(frozen=True)
class Interface:
    """How a network is to be asked; None: found out, or as its file says."""

    class_names: Sequence[str] | None = None
    """Its classes, in the order of its answer."""
    axes: str | None = None
    """Its axes in terms of the data's, such as `x,z,y`."""
    layout: Layout | None = None
    output: Output | None = None

    def completed(self, described: Description) -> "Interface":
        """With what a description says, where nothing else is; all but the axes."""
        return Interface(
            self.class_names or described.classes,
            self.axes,
            self.layout or described.layout,
            self.output or described.output,
        )


@dataclass(frozen=True)
class Task:
    """The data that a teacher is loaded for, and where it is to run."""

    classes: tuple[str, ...]
    class_map: ClassMap | None
    """Class of a teacher -> class of the data, where the names differ."""
    up: str | None
    features: Features
    device: torch.device


def load_teacher(
    spec: str | Path | nn.Module | Sequence[str | Path | nn.Module | Teacher],
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    classes: Sequence[str],
    class_names: Sequence[str] | None = None,
    class_map: str | Path | ClassMap | None = None,
    axes: str | None = None,
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
            are given and both are so named), `package.module:callable`, a TorchScript,
            `torch.export` (.pt2) or ONNX file, the name of a student that comes with the package, a
            description (YAML) of one of these, or a module of torch, which is copied; or a list of
            any of them, and of loaded teachers: an ensemble.
        weights: files for those of the first and third kind; see `share_weights`.
        classes: class names of the data.
        class_names: the teacher's class names in its own order, where it does not bring them.
        class_map: teacher class -> data class, or a YAML file of it, where the names differ.
        axes: the teacher's axes in terms of the data's, such as `x,z,y`; by default as its
            description says, or the same.
        layout: of its input, (B, N, 3) or (B, 3, N); `auto` tries.
        output: what it returns; a log-softmax counts as logits; `auto` recognises probabilities.
        up: the data's up axis; a teacher that was made with another gets a warning.
        features: those of the data, `Dataset.features`; see `compatibility.own_features`.
        device: where it runs; ONNX stays on the CPU.
        ensemble: whether logits (unless said) or probabilities of several teachers are averaged.
        ensemble_weights: one for each of several teachers.
        votes: views of each cloud over which its logits are averaged; 1: no voting.
        vote_augment: operations of those views, shape-level ones.
        vote_seed: seed of those views.

    Warns:
        UserWarning: it gives probabilities; a prediction depends on its batch, or on chance; it
            was made with another axis up; its weights are drawn at random.

    Raises:
        UsageError: options that make no sense.
        TeacherError: it cannot be loaded, or does not fit the data.
        TrainingError: the run folder is unfinished or damaged.
    """
    specs = [spec] if isinstance(spec, str | Path | nn.Module) else list(_listed(spec))
    interface = Interface(
        class_names,
        None if axes == "auto" else axes,
        None if layout == "auto" else layout,
        None if output == "auto" else output,
    )
    _check(specs, interface, averaged=(ensemble, ensemble_weights) != (None, None))
    if isinstance(class_map, str | Path):
        class_map = read_class_map(Path(class_map))
    task = Task(tuple(classes), class_map, up, parse_features(features), torch.device(device))
    files = share_weights(specs, weights)
    members: list[Teacher] = []
    with torch.random.fork_rng(devices=[]):  # the draws of the caller are not disturbed
        for each, file, mine in zip(specs, files, addressed(specs), strict=True):
            if isinstance(each, str | Path | nn.Module):
                source = each if isinstance(each, nn.Module) else str(each)
                each = load_network(source, file, task, interface if mine else Interface())
            members.append(each)
    teacher = members[0]
    if len(members) > 1:
        teacher = Ensemble(members, ensemble or "logits", ensemble_weights)
    if votes == 1:
        return teacher
    return Votes(teacher, votes, vote_augment, vote_seed, up or "z", task.features)


def load_each(
    specs: Sequence[str | Path], *, weights: Sequence[Path] | None = None, **options: Any
) -> list[Teacher]:
    """Load each of several teachers by itself.

    Args:
        specs: as of `load_teacher`, one for each.
        weights: handed out by `share_weights`.
        options: of `load_teacher`; the `Interface` is that of the teachers that are `addressed`.
    """
    own = {field.name for field in fields(Interface)}
    others = {name: value for name, value in options.items() if name not in own}
    return [
        load_teacher(spec, weights=file, **(options if mine else others))
        for spec, file, mine in zip(
            specs, share_weights(specs, weights), addressed(specs), strict=True
        )
    ]


def load_network(
    named: str | nn.Module, weights: Path | None, task: Task, interface: Interface
) -> NetworkTeacher:
    """One network as a teacher; see `load_teacher` for what is warned of and raised."""
    # 1. The network, its weights, and what lies beside them. What the user says comes first.
    spec = named if isinstance(named, str) else type(named).__name__
    where = f"teacher {spec}"
    if isinstance(named, nn.Module):
        described, source = beside(weights), spec
    else:
        described, source, weights = resolve(spec, weights)
    asked = interface.completed(described)
    if asked.class_names:  # refused before a network is built for them
        find_columns(asked.class_names, task.classes, task.class_map, spec)
    taken = parse_features(described.features) if described.features else None
    outputs = len(asked.class_names or task.classes)
    if isinstance(named, nn.Module):
        loaded = load_module(named, weights, task.device)
    else:
        loaded = load_source(source, weights, outputs, task.device, taken or task.features)
    network, seen = loaded.network, loaded.trained_on
    features = own_features(spec, network, loaded.features or taken, task.features)
    if task.class_map is not None and not (asked.class_names or loaded.classes):
        raise UsageError(
            "has no class names, which a class map needs", where=where, fix="give --class-names"
        )
    names = tuple(asked.class_names or loaded.classes or task.classes)
    columns = find_columns(names, task.classes, task.class_map, spec)

    # 2. Its axes, which are said of data with a certain axis up.
    made_for = described.up if described.frame else loaded.up
    other_up = asked.axes is None and None not in (made_for, task.up) and made_for != task.up
    axes = parse_axes(asked.axes or (None if other_up else described.frame))
    verified = described.verified_on(len(task.classes)) or (seen.fingerprint if seen else None)

    # 3. A dry run tells what was left open.
    count = network.points or described.points or POINTS
    clouds = sample_clouds(network.device, count, width(features))
    try:
        layout, output = detect(network, clouds, len(names), asked.layout, asked.output)
    except TeacherError as error:
        raise error.but(where=where) from error
    if output == "probabilities" and asked.output is None:
        warnings.warn(
            f"{where} gives probabilities: their logarithm is taken as logits, with less "
            "precision than its own logits would have",
            stacklevel=3,
        )

    # 4. Logits may depend on nothing but the cloud.
    teacher = NetworkTeacher(
        spec=spec,
        classes=task.classes,
        network=network,
        points=network.points or described.points or loaded.points,
        layout=layout,
        output=output,
        axes=axes,
        columns=columns,
        names=names,
        fingerprint=fingerprint(network, layout, output, axes, columns, features),
        checked_on=verified if asked.axes is None and not other_up else None,
        trained_on=seen,
        data_features=task.features,
        features=features,
        calibration=loaded.calibration if columns is None else AS_THEY_ARE,
    )
    check_dependence(teacher, sample_clouds(network.device, count, width(task.features)))
    if other_up:
        warnings.warn(
            f"{where} was trained with {made_for} up, and {task.up} is up in this data: "
            "say where its axes are, such as --axes x,z,y",
            stacklevel=3,
        )
    return teacher


def _listed(spec: object) -> Sequence[Any]:
    """What is meant as a list of teachers, seen to be one.

    Raises:
        UsageError: it, or one of its entries, is none.
    """
    entries = list(spec) if isinstance(spec, list | tuple) else [spec]
    for each in entries:
        if isinstance(each, str | Path | nn.Module):
            continue
        if isinstance(each, type) or not hasattr(each, "logits"):
            name = each.__name__ if isinstance(each, type) else f"a {type(each).__name__}"
            raise UsageError(
                f"{name} is no teacher",
                fix="give a name, a path, an nn.Module that is made, or what load_teacher gave",
            )
    return entries


def _check(
    specs: Sequence[str | Path | nn.Module | Teacher], interface: Interface, averaged: bool
) -> None:
    """Refuse what cannot be said of so many teachers.

    Raises:
        UsageError: names the option.
    """
    if not specs or any(isinstance(each, str) and not each for each in specs):
        raise UsageError("no teacher is named", fix="give --teacher")
    named = [name for name, value in vars(interface).items() if value is not None]
    meant = sum(addressed(specs))
    if len(specs) > 1 and named and meant != 1:
        raise UsageError(
            f"{meant} teachers would share one option ({named[0].replace('_', ' ')})",
            fix="describe each by itself, with `pointstill teacher describe`, which writes it "
            "beside its file",
        )
    if len(specs) == 1 and averaged:
        raise UsageError("an ensemble needs several teachers", fix="give --teacher more than once")
