"""Which weights end a run."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from pointstill.data import open_dataset
from pointstill.errors import TrainingError, UsageError
from pointstill.recipe import TrainRecipe
from pointstill.run import WEIGHTS
from pointstill.training import loop, state
from pointstill.training.jobs import train

pytestmark = pytest.mark.usefixtures("toy")

RECIPE = {"epochs": 4, "points": 64, "batch_size": 8, "limit": 24, "val": 0.25}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The weights at each validation; the accuracy is best at the second, mAcc at the third."""
    weights: list[dict[str, Tensor]] = []

    def validate(model, material) -> dict[str, float]:
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return {
            "val_accuracy": (0.5, 0.7, 0.7, 0.6)[len(weights) - 1],
            "val_macc": (0.4, 0.3, 0.6, 0.6)[len(weights) - 1],
        }

    monkeypatch.setattr(loop, "validate", validate)
    return weights


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        bool((one[name] == other[name]).all()) for name in one
    )


@pytest.mark.parametrize(
    ("keep", "measure", "epoch"),
    [("last", "accuracy", 3), ("best", "accuracy", 1), ("best", "macc", 2)],
)
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_weights_of_the_epoch_that_was_asked_for(
    solids, tmp_path, seen, keep, measure, epoch, ema
):
    recipe = TrainRecipe(**RECIPE, keep=keep, measure=measure, ema=ema)
    run = train("toy", open_dataset(solids), out=tmp_path / "run", recipe=recipe, quiet=True)
    assert [line["val_accuracy"] for line in run.metrics()] == [0.5, 0.7, 0.7, 0.6]
    weights = load_file(run.folder / WEIGHTS)
    kept = {name.removeprefix("module."): value for name, value in seen[epoch].items()}
    assert equal(weights, kept)
    assert not equal(weights, {**kept, **seen[0]})


def test_a_resumed_run_remembers_the_best(solids, tmp_path, seen, monkeypatch):
    data, out = open_dataset(solids), tmp_path / "run"
    recipe = TrainRecipe(**RECIPE, keep="best")
    count = state.State.count

    def killed(self, *args) -> None:
        if self.epoch_now == 3:
            raise KeyboardInterrupt
        count(self, *args)

    begin = state.State.begin_epoch

    def begin_epoch(self, epoch: int, seed: int) -> None:
        self.epoch_now = epoch
        begin(self, epoch, seed)

    monkeypatch.setattr(state.State, "begin_epoch", begin_epoch)
    with monkeypatch.context() as patch:
        patch.setattr(state.State, "count", killed)
        with pytest.raises(KeyboardInterrupt):
            train("toy", data, out=out, recipe=recipe, quiet=True)
    run = train("toy", data, out=out, recipe=recipe, quiet=True)
    assert len(seen) == 4
    assert equal(load_file(Path(run.folder) / WEIGHTS), seen[1])


def test_the_best_needs_a_validation_part():
    with pytest.raises(UsageError, match="keep is best, which validation tells, and val is 0"):
        TrainRecipe(keep="best", val=0)


def test_the_best_of_nothing_held_out_is_refused(solids, tmp_path):
    recipe = TrainRecipe(**RECIPE | {"limit": 3, "val": 0.3}, keep="best")
    with pytest.raises(TrainingError, match="no shape of 3 is left over for validation"):
        train("toy", open_dataset(solids), out=tmp_path / "run", recipe=recipe, quiet=True)
