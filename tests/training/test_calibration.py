from dataclasses import replace

import numpy as np
import pytest
import torch

from pointstill.data import open_dataset
from pointstill.errors import Stopped, TrainingError
from pointstill.recipe import TrainRecipe
from pointstill.run import CALIBRATION, WEIGHTS, Run
from pointstill.storage.calibration import AS_THEY_ARE, Calibration, score
from pointstill.training.calibration import calibrate, recall_range
from pointstill.training.jobs import train
from pointstill.training.stopping import Stop

SMALL = TrainRecipe(epochs=1, batch_size=8, points=32, val=0.5, outliers=0.5, threads=1)


def drawn(count: int, sharper: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `sharper` times those that labels were drawn from."""
    draw = np.random.default_rng(0)
    honest = draw.normal(size=(count, 5)) * 2
    shares = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = [draw.choice(5, p=share) for share in shares]
    return torch.from_numpy(honest * sharper), torch.tensor(labels)


@pytest.mark.parametrize("sharper", [0.5, 3.0])
def test_the_temperature_undoes_what_was_too_sure_or_unsure(sharper):
    found = calibrate(*drawn(4000, sharper))
    assert found.temperature == pytest.approx(sharper, rel=0.06)
    assert found.error_after < 0.03 < found.error_before


def test_a_student_that_never_erred_is_not_taken_to_be_perfect():
    labels = torch.arange(100) % 5
    found = calibrate(30 * torch.nn.functional.one_hot(labels, 5).double(), labels)
    sure = found.probabilities(30 * np.eye(5)[0])[0]
    assert sure == pytest.approx(1 - 4 / 5 / 102, abs=1e-3)  # the smoothed label


def test_one_in_twenty_is_below_the_threshold():
    logits, labels = drawn(399, 1)
    found = calibrate(logits, labels)
    assert sum(each < found.threshold for each in score(logits.numpy())) == 19  # k = 20 of 400
    assert found.shapes == 399


def test_few_or_unlabelled_shapes_give_no_threshold():
    logits, labels = drawn(40, 1)
    assert calibrate(logits[:18], labels[:18]).threshold is None
    assert calibrate(logits[:19], labels[:19]).threshold == score(logits[:19].numpy()).min()
    labels[18:] = -1
    assert calibrate(logits, labels) == calibrate(logits[:18], labels[:18])
    assert calibrate(logits, torch.full((40,), -1)) == AS_THEY_ARE


def test_the_range_of_the_recall_is_that_of_draws():
    scores = np.sort(np.random.default_rng(0).uniform(size=(20_000, 99)), axis=1)
    recall = 1 - scores[:, 4]  # k = 5 of 100; of uniform scores the share above one is 1 - it
    low, high = np.quantile(recall, (0.025, 0.975))
    assert recall_range(99) == pytest.approx((low, high), abs=0.005)
    assert recall.mean() == pytest.approx(0.95, abs=1e-3)


class _Third(Stop):
    """Ends a training after its third step."""

    asked = 0

    @property
    def number(self) -> int:
        self.asked += 1
        return 15 * (self.asked == 3)


def test_a_run_keeps_it_and_a_killed_one_ends_with_the_same(solids, tmp_path, toy, capsys):
    data, recipe = open_dataset(solids), replace(SMALL, epochs=2)
    whole = train(toy, data, out=tmp_path / "whole", recipe=recipe)
    assert "calibrated on 24 held-out shapes" in capsys.readouterr().err
    with pytest.raises(Stopped):
        train(toy, data, out=tmp_path / "run", recipe=recipe, quiet=True, stop=_Third())
    run = train(toy, data, out=tmp_path / "run", recipe=recipe, quiet=True)
    for name in (CALIBRATION, WEIGHTS):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert Run(run.folder).calibration.shapes == 24
    assert "outliers" in run.metrics()[0]


def test_without_validation_there_is_none_and_it_says_so(solids, tmp_path, toy, capsys):
    recipe = replace(SMALL, val=0.0, outliers=0.0)
    run = train(toy, open_dataset(solids), out=tmp_path / "run", recipe=recipe)
    assert "no threshold for what is unknown" in capsys.readouterr().err
    assert run.calibration == AS_THEY_ARE
    assert "outliers" not in run.metrics()[0]


def test_a_calibration_that_was_changed_is_refused(solids, tmp_path, toy):
    run = train(toy, open_dataset(solids), out=tmp_path / "run", recipe=SMALL, quiet=True)
    file = run.folder / CALIBRATION
    text = file.read_text()
    file.write_text(text.replace('"shapes": 24', '"shapes": 25'))
    with pytest.raises(TrainingError, match=r"calibration\.json is damaged"):
        run.check_finished()
    file.unlink()
    assert run.calibration == Calibration()  # as of a run of before
