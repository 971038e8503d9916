"""A teacher is tried on unlike clouds of the data before anything is recorded."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from torch import Tensor, nn

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.data import Dataset, open_dataset
from pointstill.errors import TeacherError
from pointstill.recipe import RecordRecipe
from pointstill.recording.job import record
from pointstill.teachers import load_teacher
from pointstill.teachers.trial import COMPARED, check_independence, check_views

CLASSES = ("flat", "long", "round")
SHAPES = {"flat": (1.0, 1.0, 0.2), "long": (1.0, 0.2, 0.2), "round": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Solids of three kinds that a glance at their extent tells apart."""
    root = tmp_path_factory.mktemp("solids")
    for label, (name, size) in enumerate(SHAPES.items()):
        for part, count in (("train", 40), ("test", 1)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                draw = np.random.default_rng([label, i])
                np.save(root / part / name / f"{i:02}.npy", draw.uniform(-1, 1, (80, 3)) * size)
    return open_dataset(root, cache=root / "cache")


class Extent(nn.Module):
    """Tells by the variance along each axis, as a plain cloud has it: right on all of `data`."""

    def __init__(self, moved: bool = True) -> None:
        super().__init__()
        self.known = nn.Parameter(torch.zeros(3, 3))
        self.moved, self.seen = moved, 0

    def forward(self, points: Tensor) -> Tensor:
        self.seen += len(points)
        if self.moved:
            points = points - points.mean(1, keepdim=True)
        spread = points.square().mean(1).sqrt()
        return -50 * (spread[:, None] - self.known).square().sum(2)


def extent(data: Dataset, moved: bool = True) -> Extent:
    """Taught by the mean of each class."""
    found, clouds = Extent(moved), Clouds.of(data.train)
    plain = clouds.plain(torch.arange(len(data.train)), 80)
    spread = plain.square().mean(1).sqrt()
    for label in range(3):
        found.known.data[label] = spread[data.train.labels == label].mean(0)
    return found


class Shared(nn.Module):
    """One spread for the whole batch, as in a published network of this kind."""

    def __init__(self, amount: float = 1.0) -> None:
        super().__init__()
        self.net, self.amount = toys.sized(3), amount

    def forward(self, points: Tensor) -> Tensor:
        own = points.std((1, 2), keepdim=True)
        return self.net(points / (own + self.amount * (own.mean(0, keepdim=True) - own)))


class Neighbour(nn.Module):
    """Takes something from the cloud before it, and nothing where it comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = toys.sized(3)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points + 0.1 * points.roll(1, 0)[:, :1])


class Dropping(nn.Module):
    """Dropout that is active in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = toys.sized(3)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(nn.functional.dropout(points, 0.1, training=True))


class Louder(nn.Module):
    """Adds a number to all logits that depends on the batch: no softmax tells."""

    def __init__(self) -> None:
        super().__init__()
        self.net = toys.sized(3)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points) + len(points)


def views(data: Dataset, count: int = 16) -> Tensor:
    rows = torch.arange(0, len(data.train), len(data.train) // count)[:count]
    return Clouds.of(data.train).plain(rows, 64)


def loaded(module: nn.Module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the two clouds that it is loaded with
        return load_teacher(module, classes=CLASSES)


@pytest.mark.parametrize("module", [Shared(), Shared(0.2), Neighbour(), toys.Batchy()])
def test_what_depends_on_its_batch_is_refused(module: nn.Module, data: Dataset) -> None:
    classes = 4 if isinstance(module, toys.Batchy) else 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        teacher = load_teacher(module, classes=["flat", "long", "round", "none"][:classes])
    with pytest.raises(TeacherError, match=r"by what else is in its batch.*--batch-size 1") as e:
        check_independence(teacher, views(data), 16)
    assert "\n" not in str(e.value)
    check_independence(teacher, views(data), 1)


@pytest.mark.parametrize("size", [1, 16])
def test_chance_is_refused(size: int, data: Dataset) -> None:
    with pytest.raises(TeacherError, match="teacher Dropping answers by chance: asked twice"):
        check_independence(loaded(Dropping()), views(data), size)


@pytest.mark.parametrize("module", [toys.sized(3), Louder()])
def test_what_depends_on_the_cloud_alone_is_taken(module: nn.Module, data: Dataset) -> None:
    check_independence(loaded(module), views(data), 16)
    check_independence(loaded(module), views(data)[:1], 16)


def test_a_fixed_batch_is_no_dependence(in_file: Callable[..., Path], data: Dataset) -> None:
    for kind in ("pt2", "onnx"):
        teacher = load_teacher(in_file(kind, batch=3), classes=("a", "b", "c", "d"))
        check_independence(teacher, views(data), 16)


def test_a_dependent_teacher_leaves_no_store(data: Dataset, tmp_path: Path) -> None:
    out, recipe = tmp_path / "r.zarr", RecordRecipe(views=1, points=64, augment="none")
    with (
        pytest.warns(UserWarning, match="guessing"),
        pytest.raises(TeacherError, match="what else is in its batch"),
    ):
        record(loaded(Shared()), data, out=out, recipe=recipe, quiet=True)
    assert not out.exists()
    alone = RecordRecipe(views=1, points=64, augment="none", batch_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it guesses
        store = record(loaded(Shared()), data, out=out, recipe=alone, quiet=True)
    assert store.attributes["batch"] == 1


# What augmentation costs.


def compared(data: Dataset, module: nn.Module, augment: str) -> None:
    teacher, clouds = load_teacher(module, classes=CLASSES), Clouds.of(data.train)
    pipeline, rows = Pipeline(parse(augment, data.up), 0), torch.arange(len(data.train))
    seen = pipeline.replay(clouds, 0, rows, pipeline.sample(0, rows), 80)
    logits, labels = teacher.logits(seen).numpy(), data.train.labels
    check_views(
        teacher,
        pipeline,
        clouds,
        rows.numpy(),
        labels,
        logits,
        points=80,
        batch_size=16,
        quiet=True,
    )


def test_the_operation_that_ruins_it_is_named(data: Dataset) -> None:
    with pytest.warns(UserWarning, match="as they are, and on") as caught:
        compared(data, extent(data), "shift,scale(low=0.3,high=2.0),jitter(sigma=0.02)")
    (message,) = (str(each.message) for each in caught)
    assert "teacher Extent is right on 100% of 120 training shapes as they are, and on" in message
    assert "(scale alone " in message
    assert "shift alone" not in message
    assert "give --augment shift,jitter(sigma=0.02), or those operations with a narrower" in message


def test_each_of_two_is_named(data: Dataset) -> None:
    with pytest.warns(UserWarning, match=r"scale alone \d+%, shift alone \d+%.*--augment none,"):
        compared(data, extent(data, moved=False), "scale(low=0.3,high=2.0),shift(by=0.9)")


@pytest.mark.parametrize("augment", ["none", "shift", "jitter", "scale(low=0.95,high=1.05)"])
def test_what_costs_nothing_is_not_warned_of(augment: str, data: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared(data, extent(data), augment)


def test_a_teacher_that_guesses_loses_nothing(data: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared(data, toys.sized(3), "scale(low=0.3,high=2.0),shift(by=0.9)")


def test_what_it_costs(data: Dataset) -> None:
    module = extent(data)
    teacher, clouds = load_teacher(module, classes=CLASSES), Clouds.of(data.train)
    counted = teacher.network.module
    rows, pipeline = np.tile(np.arange(120), 3), Pipeline(parse("shift", data.up), 0)
    logits, labels = np.eye(3)[data.train.labels[rows]], data.train.labels[rows]
    options = {"points": 80, "batch_size": 16, "quiet": True}
    counted.seen = 0
    check_views(teacher, pipeline, clouds, rows, labels, logits, **options)
    assert counted.seen == COMPARED
    check_views(teacher, pipeline, clouds, rows, np.full(360, -1), logits, **options)
    assert counted.seen == COMPARED


def test_recording_says_it(data: Dataset, tmp_path: Path) -> None:
    recipe = RecordRecipe(views=1, points=80, augment="scale(low=0.3,high=2.0)")
    teacher = load_teacher(extent(data), classes=CLASSES)
    with pytest.warns(UserWarning, match=r"scale alone .* give --augment none"):
        record(teacher, data, out=tmp_path / "r.zarr", recipe=recipe, quiet=True)


# Networks as they are published.


@pytest.mark.slow
def test_published_weights_are_independent(shared: Path) -> None:
    data = open_dataset(shared / "data/modelnet40_ply_hdf5_1024")
    weights = shared / "weights/GDANet_ModelNet40_93.4.t7"
    teacher = load_teacher("gdanet", weights=weights, classes=data.classes)
    rows = torch.arange(0, 9843, 616)
    some = Clouds.of(data.train).plain(rows, 1024)
    check_independence(teacher, some, 16)
