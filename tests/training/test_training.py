"""The loop: its schedule, its batches, what it logs and saves, and where it stops."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pointstill.augment import Clouds, Pipeline
from pointstill.data import Dataset, open_dataset
from pointstill.data.selection import held_out
from pointstill.errors import TrainingError, UsageError
from pointstill.losses import cross_entropy
from pointstill.models import build_model
from pointstill.recipe import DistillRecipe, FitOptions, TrainRecipe
from pointstill.run import STATE, WEIGHTS, Run
from pointstill.training.jobs import distill, train
from pointstill.training.loop import _batches, _groups, _shapes_before, learning_rate, validate
from pointstill.training.past_student import Past
from pointstill.training.state import State
from pointstill.training.views import Material

pytestmark = pytest.mark.usefixtures("toy")

CPU = torch.device("cpu")
SMALL = TrainRecipe(epochs=2, points=64, batch_size=8, limit=24, val=0)


@pytest.fixture
def data(solids: Path) -> Dataset:
    return open_dataset(solids)


def test_learning_rate_by_hand():
    options = FitOptions(learning_rate=2e-3, warmup=0.1)
    for progress, expected in {
        0.0: 2e-6,  # never zero: the first step counts
        0.05: 1.002e-3,
        0.1: 2e-3,
        0.325: 2e-3 * (1 + math.sqrt(0.5)) / 2,
        0.55: 1e-3,
        0.775: 2e-3 * (1 - math.sqrt(0.5)) / 2,
        1.0: 0.0,
    }.items():
        assert learning_rate(progress, options) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert learning_rate(0.0, FitOptions(learning_rate=1.0, warmup=0.0)) == 1.0


@pytest.mark.parametrize(("count", "steps"), [(2160, 67), (23, 3), (8, 4), (2, 1)])
def test_shapes_before_a_step_are_those_of_the_batches(count, steps):
    sizes = [len(rows) for rows in _batches(np.arange(count), steps, CPU)]
    told = [_shapes_before(step, count, steps) for step in range(steps + 1)]
    assert told == [sum(sizes[:step]) for step in range(steps + 1)]


def test_weights_decay_and_biases_do_not():
    model = build_model("stillnet-n", 3)
    next(model.parameters()).requires_grad_(False)
    decayed, kept = _groups(model, 0.05)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    found = {id(each) for group in (decayed, kept) for each in group["params"]}
    expected = [each for each in model.parameters() if each.requires_grad]
    assert found == {id(each) for each in expected}
    assert sum(len(group["params"]) for group in (decayed, kept)) == len(expected)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    without = {id(each) for each in kept["params"]}
    assert {id(module.weight) for module in norms} <= without
    assert {id(value) for name, value in model.named_parameters() if "bias" in name} <= without


@pytest.mark.parametrize(("count", "steps"), [(43, 5), (7, 3), (100, 1), (9, 9)])
def test_batches_cover_every_row_once_and_are_nearly_equal(count, steps):
    batches = list(_batches(np.arange(count)[::-1].copy(), steps, CPU))
    assert torch.cat(batches).tolist() == list(range(count))[::-1]
    assert len(batches) == steps
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("limit", "batch_size", "sizes"),
    [(24, 8, [8, 8, 8]), (23, 8, [8, 8, 7]), (7, 2, [3, 2, 2]), (3, 2, [3]), (5, 99, [5])],
)
def test_every_epoch_sees_every_training_shape_once(
    data, tmp_path, monkeypatch, limit, batch_size, sizes
):
    """And nothing else: BatchNorm refuses batches of one, so there are none."""
    seen: list[tuple[int, list[int]]] = []
    replay = Pipeline.replay

    def spy(self, clouds, view, shapes, parameters, count) -> Tensor:
        seen.append((view, shapes.tolist()))
        return replay(self, clouds, view, shapes, parameters, count)

    monkeypatch.setattr(Pipeline, "replay", spy)
    recipe = replace(SMALL, limit=limit, batch_size=batch_size)
    train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    for epoch in range(recipe.epochs):
        batches = [shapes for view, shapes in seen if view == epoch]
        assert [len(batch) for batch in batches] == sizes
        assert len({shape for batch in batches for shape in batch}) == limit
    assert seen[0][1] != seen[len(sizes)][1]  # in another order


@pytest.mark.parametrize("job", ["train", "distill"])
def test_the_validation_part_is_never_trained_on(data, records, tmp_path, monkeypatch, job):
    trained: set[int] = set()
    measured: set[int] = set()
    replay = Pipeline.replay

    def spy(self, clouds, view, shapes, parameters, count) -> Tensor:
        trained.update(shapes.tolist())
        return replay(self, clouds, view, shapes, parameters, count)

    def spy_validate(model, material, batch_size=64) -> dict[str, float]:
        measured.update(material.validation.tolist())
        return validate(model, material, batch_size)

    monkeypatch.setattr("pointstill.training.loop.validate", spy_validate)
    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)  # replays all
    monkeypatch.setattr(Pipeline, "replay", spy)
    if job == "train":
        recipe = TrainRecipe(epochs=1, points=64, batch_size=8, val=0.25, seed=5)
        run = train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    else:
        recipe = DistillRecipe(epochs=1, batch_size=8, val=0.25, seed=5)
        out = tmp_path / "run"
        run = distill("toy", data, records=records, out=out, recipe=recipe, quiet=True)
    expected = held_out(data.train, np.arange(48), 0.25, 5).tolist()
    assert measured == set(expected)
    assert len(expected) == 12
    assert np.bincount(data.train.labels[expected]).tolist() == [4, 4, 4]  # stratified
    assert trained == set(range(48)) - measured
    assert 0 <= run.metrics()[0]["val_accuracy"] <= 1


def test_no_validation(data, tmp_path):
    run = train("toy", data, out=tmp_path / "run", recipe=SMALL, quiet=True)
    assert run.finished
    assert all("val_accuracy" not in line for line in run.metrics())


@pytest.mark.parametrize("options", [{"limit": 1}, {"limit": 1, "val": 0.4}])
def test_too_few_shapes(data, tmp_path, options):
    recipe = replace(SMALL, **options)
    with pytest.raises(TrainingError, match="1 shapes to train on, and 2 are needed"):
        train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)


def test_validation_by_hand():
    """Against a model that knows the label of a shape by its first coordinate."""

    class Clouds:
        def plain(self, shapes: Tensor, count: int) -> Tensor:
            assert count == 7
            return shapes.float()[:, None, None].expand(-1, count, 3)

    class Reader(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            assert not self.training
            return nn.functional.one_hot(points[:, 0, 0].long() % 3, 3).float()

    labels = torch.arange(20) % 3
    labels[[4, 9, 13]] = (labels[[4, 9, 13]] + 1) % 3
    material = Material(Clouds(), None, None, None, labels, torch.arange(2, 12), 7)
    # Shapes 4 and 9 are wrong: 2 of 2, 2 of 3 and 4 of 5 shapes of the classes are right.
    macc = pytest.approx((1 + 2 / 3 + 4 / 5) / 3, abs=1e-12)
    expected = {"val_accuracy": 0.8, "val_macc": macc}
    assert validate(Reader(), material, batch_size=4) == expected


def test_the_loss_goes_down(data, tmp_path):
    recipe = TrainRecipe(epochs=6, points=64, batch_size=8, val=0)
    run = train("stillnet-n", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == list(range(6))
    assert [line["view"] for line in lines] == list(range(6))
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert lines[-1]["train_accuracy"] > lines[0]["train_accuracy"]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert not (run.folder / STATE).exists()


def test_the_log_has_the_means_over_shapes(data, tmp_path, monkeypatch):
    """Against sums kept by hand: a small last batch weighs less."""
    told: list[tuple[int, float, float]] = []
    count = State.count

    def spy(self, parts, logits, targets) -> None:
        hits = int((logits.argmax(1) == targets.labels).sum())
        told.append((len(logits), float(parts["loss"].detach()), hits))
        count(self, parts, logits, targets)

    monkeypatch.setattr(State, "count", spy)
    recipe = replace(SMALL, limit=23, epochs=1)
    run = train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    (line,) = run.metrics()
    assert sorted(size for size, *_ in told) == [7, 8, 8]
    assert line["loss"] == pytest.approx(sum(n * loss for n, loss, _ in told) / 23, rel=1e-6)
    assert line["train_accuracy"] == pytest.approx(sum(hits for *_, hits in told) / 23)


def test_the_averaged_weights_are_saved(data, tmp_path, monkeypatch):
    steps: list[dict[str, Tensor]] = []

    class Watcher(Past):
        def after_step(self, student, logits, epoch, rows) -> None:
            steps.append({name: value.clone() for name, value in student.state_dict().items()})

    monkeypatch.setattr("pointstill.training.jobs.Past", Watcher)
    recipe = replace(SMALL, ema=0.3)  # which the third step comes to
    run = train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert len(steps) == 6
    saved = run.model().state_dict()
    for name in ("head.2.weight", "norm.running_var"):
        expected = steps[0][name].double()
        for number, step in enumerate(steps[1:], 1):
            decay = min(0.3, (1 + number) / (10 + number))
            expected = decay * expected + (1 - decay) * step[name].double()
        torch.testing.assert_close(saved[name].double(), expected, rtol=1e-5, atol=1e-7)
        assert not torch.allclose(saved[name], steps[-1][name])


def test_clipping_bounds_the_gradient(data, tmp_path, monkeypatch):
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self, closure=None):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat([each.flatten() for each in gradients]).norm()))
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    for clip in (0.0, 0.05):
        recipe = replace(SMALL, clip=clip, epochs=1)
        train("toy", data, out=tmp_path / str(clip), recipe=recipe, quiet=True)
    free, clipped = norms[:3], norms[3:]
    assert min(free) > 0.05
    assert max(clipped) == pytest.approx(0.05, rel=1e-4)


def test_other_seeds_give_other_weights(data, tmp_path):
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        recipe = replace(SMALL, seed=seed)
        torch.manual_seed(random.randrange(1000))  # whatever was drawn before does not matter
        run = train("toy", data, out=tmp_path / name, recipe=recipe, quiet=True)
        weights.append((run.folder / WEIGHTS).read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_bfloat16_trains(data, tmp_path):
    recipe = replace(SMALL, precision="bf16-mixed")
    run = train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert all(math.isfinite(line["loss"]) for line in run.metrics())
    assert {value.dtype for value in run.model().parameters()} == {torch.float32}


def test_bfloat16_leaves_the_points_alone(data, tmp_path, monkeypatch):
    seen = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, points: Tensor) -> Tensor:
            logits = self.linear(points).mean(1)
            seen.append((points.dtype, logits.dtype))
            return logits

    monkeypatch.setattr("pointstill.training.jobs.build_model", lambda *_: Watching())
    recipe = replace(SMALL, precision="bf16-mixed", val=0.0)
    train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert set(seen) == {(torch.float32, torch.bfloat16)}


# Weights and losses that are not finite


class _Bursting(Past):
    """Spoils a weight after the last step, which no loss comes to see any more."""

    steps = 0

    def after_step(self, student, logits, epoch, rows) -> None:
        self.steps += 1
        if self.steps == 6:
            with torch.no_grad():
                student.head[2].weight[0, 0] = math.inf


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_weights_that_are_not_finite_finish_no_run(data, tmp_path, monkeypatch, ema):
    recipe = replace(SMALL, ema=ema, save_minutes=100)
    whole = train("toy", data, out=tmp_path / "whole", recipe=recipe, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("pointstill.training.jobs.Past", _Bursting)
        with pytest.raises(TrainingError, match=r"head\.2\.weight is not finite") as caught:
            train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert "--learning-rate" in str(caught.value)
    run = Run(tmp_path / "run")
    assert not run.finished
    assert run.load_state()["epoch"] == 1  # the last good state
    train("toy", data, out=run.folder, recipe=recipe, quiet=True)
    assert (run.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()


def test_several_ranks_are_started_by_torchrun(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"WORLD_SIZE is 2.*torchrun -m pointstill"):
        train("toy", data, out=tmp_path / "run", recipe=SMALL, quiet=True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    train("toy", data, out=tmp_path / "run", recipe=SMALL, quiet=True)


def test_a_push_towards_the_past_needs_no_pull_to_the_teacher(data, records, tmp_path):
    recipe = DistillRecipe(loss="nwsd", alpha=0.0, beta=-0.1, epochs=2, batch_size=8)
    run = distill("toy", data, records=records, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert run.finished
    for line in run.metrics():  # all the pull is the past's: at most a tenth of its distance
        assert 0 < line["loss"] - line["ce"] <= 0.1 * line["repulsion"] < 0.1 * line["kd"]


class _Burst(torch.autograd.Function):
    """Nothing forward, an infinite gradient backward."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * math.inf


@pytest.mark.parametrize("poison", ["nan", "inf", "gradient"])
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_loss_that_is_not_finite_stops_the_run(data, tmp_path, monkeypatch, poison, clip):
    recipe = replace(SMALL, clip=clip, save_minutes=0)
    whole = train("toy", data, out=tmp_path / "whole", recipe=recipe, quiet=True)
    original, steps = cross_entropy.parts, iter(range(1000))

    def poisoned(logits, targets, options) -> dict[str, Tensor]:
        parts = original(logits, targets, options)
        if next(steps) == 5:  # the very last step
            loss = parts["loss"]
            parts["loss"] = _Burst.apply(loss) if poison == "gradient" else loss * float(poison)
        return parts

    with monkeypatch.context() as patch:
        patch.setattr(cross_entropy, "parts", poisoned)
        with pytest.raises(TrainingError, match="in epoch 1, step 2") as caught:
            train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    message = str(caught.value)
    assert "last good state" in message
    assert "--learning-rate" in message
    assert "\n" not in message
    run = Run(tmp_path / "run")
    assert not run.finished
    state = run.load_state()
    assert (state["epoch"], state["step"]) == (1, 2)
    assert all(value.isfinite().all() for value in state["model"].values())
    # The state is good: without the poison it ends as if nothing had been.
    train("toy", data, out=run.folder, recipe=recipe, quiet=True)
    assert (run.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()


def test_a_step_beyond_float32_stops_the_run(data, tmp_path):
    """The first step of AdamW is rate / (1 - 0.9), and float32 has no 3e39."""
    recipe = replace(SMALL, learning_rate=3e38, warmup=0.0)
    with pytest.raises(TrainingError, match=r"3\.0e\+38 .* epoch 0, step 0") as caught:
        train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert str(caught.value).endswith("start again in another --out with a lower --learning-rate")
    assert "\n" not in str(caught.value)
    run = Run(tmp_path / "run")
    assert not run.finished
    assert run.load_state() is None  # nothing good came before


def test_other_faults_of_a_step_stay_what_they_are(data, tmp_path, monkeypatch):
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr("torch.optim.AdamW.step", failing)
    with pytest.raises(RuntimeError, match="no kernel image"):
        train("toy", data, out=tmp_path / "run", recipe=SMALL, quiet=True)


def test_points_from_records_are_checked_too(data, tmp_path):
    from pointstill.recipe import RecordRecipe
    from pointstill.recording.job import record
    from pointstill.teachers import load_teacher

    class Spread(nn.Module):
        """One that takes any number of points, which the run does not."""

        def forward(self, points):
            return points.square().mean(1).repeat(1, len(data.classes))[:, : len(data.classes)]

    teacher = load_teacher(Spread(), classes=data.classes, layout="bn3")
    few = RecordRecipe(views=1, points=15, limit=6)
    store = record(teacher, data, out=tmp_path / "r", recipe=few, quiet=True)
    recipe = DistillRecipe(epochs=1, limit=6)
    with pytest.raises(UsageError, match="points is 15: choose 16 or more"):
        distill("toy", data, records=store.path, out=tmp_path / "run", recipe=recipe)


def test_a_run_goes_on_with_the_normalisation_that_it_was_begun_with(data, tmp_path, monkeypatch):
    """One that does not say, as it is older, has the first."""
    made = []

    def clouds(split, device, version):
        made.append(version)
        return Clouds(split.points, split.offsets, device, split.extra, version)

    monkeypatch.setattr(Clouds, "of", clouds)
    monkeypatch.setattr("pointstill.augment.normalize.VERSION", 1)
    old = train("toy", data, out=tmp_path / "old", recipe=SMALL, quiet=True)
    assert "normalization" not in old.recipe["origin"]
    monkeypatch.undo()
    monkeypatch.setattr(Clouds, "of", clouds)
    (old.folder / WEIGHTS).unlink()
    again = train("toy", data, out=tmp_path / "old", recipe=SMALL, quiet=True)
    new = train("toy", data, out=tmp_path / "new", recipe=SMALL, quiet=True)
    assert (again.normalization, new.normalization, new.trained_on.normalization) == (1, 2, 2)
    assert made == [1, 1, 2]


def test_ranks_have_met_before_they_agree_on_the_normalisation(data, tmp_path, monkeypatch):
    """Before that each would look into its own folder, and those without one choose the latest."""
    from pointstill.training import jobs

    met = []
    start = jobs.start_fabric
    monkeypatch.setattr(jobs, "start_fabric", lambda recipe: met.append("met") or start(recipe))
    monkeypatch.setattr(jobs, "from_first", lambda version: met.append("agreed") or version)
    train("toy", data, out=tmp_path / "run", recipe=SMALL, quiet=True)
    assert met == ["met", "agreed"]
