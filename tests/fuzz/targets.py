"""How each kind of input is used, as a user would; what comes back is its answer."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointstill.errors import RecordsError, UsageError
from pointstill.recipe import TrainRecipe

from .seeds import CLASSES

MODEL = "stillnet-n"
TRAINED = TrainRecipe(epochs=1, points=32, batch_size=4, val=0.0, device="cpu")
RESUMED = TrainRecipe(epochs=2, points=32, batch_size=4, val=0.0, device="cpu")


@dataclass(frozen=True)
class Place:
    """Where an input is, and what it is used with."""

    path: Path
    """What is opened."""
    work: Path
    """Empty, for what the use writes."""
    surroundings: Path
    """The folder of the sound data and its cache."""


@dataclass(frozen=True)
class Target:
    """A use."""

    use: Callable[[Place], list[Any]]
    """Gives arrays, bytes, texts and plain values: the answer."""
    share: float
    """Of all inputs, against the shares of others."""
    kept: bool = False
    """Made by pointstill: what is opened after damage must give the answer of before."""
    speaks: bool = False
    """A command, which prints: lines are no fault, tracebacks are."""


def reader(place: Place) -> list[Any]:
    """The points of a file, as `predict` and class folders take them, and all that it has."""
    from pointstill.data import readers
    from pointstill.points.validity import check_cloud

    points = readers.read_cloud(place.path)
    table = readers.read_table(place.path, features=None)
    check_cloud("the cloud", points, drop_missing=True)
    return [np.asarray(points), sorted(table)]


def data_set(place: Place) -> list[Any]:
    """The splits of a data set, with the features that it offers."""
    from pointstill.data import open_dataset

    data = open_dataset(place.path, cache=place.work / "cache")
    split = data.train
    found = [split.points, split.offsets, split.labels, split.groups, [*split.classes]]
    offered = data.offers()
    if more := [name for name in offered if name not in ("xyz", "height")]:
        wider = open_dataset(place.path, cache=place.work / "cache", features=("xyz", *more[:3]))
        assert wider.train.extra
        found.append(wider.train.extra.values)
    found += [data.split(name).labels for name in data.listed.splits if data.source.shapes(name)]
    return [*found, offered]


def class_map(place: Place) -> list[Any]:
    from pointstill.teachers.classes import read_class_map

    return [read_class_map(place.path)]


def description(place: Place) -> list[Any]:
    from pointstill.teachers.description import Description

    found = Description.read(place.path)
    return [repr(found), found.verified_on(len(CLASSES))]


def recipe(place: Place) -> list[Any]:
    """The command line: it ends in exit code 2 for want of data, or for the recipe."""
    from pointstill import __main__

    tokens = ["distill", "--recipe", place.path, "--student", MODEL, "--records", "nowhere"]
    tokens += ["--data", place.work / "nowhere", "--out", place.work / "run"]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = __main__.run([str(token) for token in tokens])
    if code not in (1, 2) or "fault of pointstill" in said.getvalue():
        raise RuntimeError(said.getvalue())
    if "nowhere does not exist" not in said.getvalue():
        raise UsageError(" ".join(said.getvalue().split()))
    return ["taken"]


def weights(place: Place) -> list[Any]:
    from pointstill.teachers import load_teacher

    teacher = load_teacher(MODEL, weights=place.path, classes=CLASSES)
    return [teacher.fingerprint]


def teacher(place: Place) -> list[Any]:
    """A file of a teacher that is named alone."""
    from pointstill.teachers import load_teacher

    return [load_teacher(str(place.path), classes=CLASSES).fingerprint]


def student(place: Place) -> list[Any]:
    """Three clouds through a student, and what it says of itself."""
    from pointstill.deployment.runtime import Classifier

    classifier = Classifier(place.path)
    draw = np.random.default_rng(0)
    found = [classifier.logits(draw.normal(size=(count, 3))) for count in (32, 64, 100)]
    classifier.predict(draw.normal(size=(40, 3)))
    return [*found, classifier.about]


def run(place: Place) -> list[Any]:
    """A finished run: as a classifier, as a teacher, and its figures."""
    from pointstill.deployment.exporting import RunClassifier
    from pointstill.run import Run
    from pointstill.teachers import load_teacher

    opened = Run(place.path)
    cloud = np.random.default_rng(0).normal(size=(64, 3))
    logits = RunClassifier(place.path).logits(cloud)
    found = load_teacher(str(place.path), classes=CLASSES)
    return [logits, found.fingerprint, opened.metrics(), opened.recipe]


def unfinished(place: Place) -> list[Any]:
    """A run that was killed goes on to its end."""
    return _trained(place, place.path, place.surroundings / "cache", RESUMED)


def cache(place: Place) -> list[Any]:
    """A model is trained on a cache."""
    return _trained(place, place.work / "run", place.path, TRAINED)


def _trained(place: Place, out: Path, kept: Path, recipe: TrainRecipe) -> list[Any]:
    from pointstill.data import open_dataset
    from pointstill.training.jobs import train

    data = open_dataset(place.surroundings / "data", cache=kept)
    state = train(MODEL, data, out=out, recipe=recipe, quiet=True).model().state_dict()
    return [(name, each.numpy()) for name, each in sorted(state.items())]


def store(place: Place) -> list[Any]:
    """All tiles of a record store: verified, and read as a training does."""
    from pointstill.data import open_dataset
    from pointstill.recording.maintenance import verify
    from pointstill.records import Store

    data = open_dataset(place.surroundings / "data", cache=place.surroundings / "cache")
    opened = Store.open(place.path)
    opened.notes()
    if opened.missing():  # as `distill` refuses it
        raise RecordsError("is unfinished", where=place.path)
    verify(opened, data, tiles=None, quiet=True)
    read = [(opened.logits(view), opened.parameters(view)) for view in range(opened.views)]
    return [*read, opened.labels, opened.shapes, opened.fingerprint, opened.attributes]


TARGETS: dict[str, Target] = {
    "reader": Target(reader, 60),
    "hdf5": Target(data_set, 6),
    "arrays": Target(data_set, 6),
    "label_table": Target(data_set, 4),
    "class_map": Target(class_map, 2),
    "description": Target(description, 3),
    "recipe": Target(recipe, 3, speaks=True),
    "weights": Target(weights, 6),
    "described": Target(teacher, 2),
    "teacher": Target(teacher, 3),
    "student": Target(student, 3),
    "student_kept": Target(student, 3, kept=True),
    "run": Target(run, 3, kept=True),
    "unfinished": Target(unfinished, 2, kept=True),
    "cache": Target(cache, 2, kept=True),
    "store": Target(store, 3, kept=True),
}
