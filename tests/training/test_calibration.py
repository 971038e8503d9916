from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from pointstill.data import open_dataset
from pointstill.errors import Stopped, TrainingError
from pointstill.recipe import TrainRecipe
from pointstill.run import CALIBRATION, WEIGHTS, Run
from pointstill.storage.calibration import AS_THEY_ARE, Calibration, Typical, energy
from pointstill.training.calibration import RIDGE, calibrate, recall_range, typical_of
from pointstill.training.jobs import train
from pointstill.training.stopping import Stop

NONE = torch.empty(0, 5)
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
    found = calibrate(*drawn(4000, sharper), NONE)
    assert found.temperature == pytest.approx(sharper, rel=0.06)
    assert found.error_after < 0.03 < found.error_before


def test_a_student_that_never_erred_is_not_taken_to_be_perfect():
    labels = torch.arange(100) % 5
    found = calibrate(30 * torch.nn.functional.one_hot(labels, 5).double(), labels, NONE)
    sure = found.probabilities(30 * np.eye(5)[0])[0]
    assert sure == pytest.approx(1 - 4 / 5 / 102, abs=1e-3)  # the smoothed label


@pytest.mark.parametrize("seen", [NONE, drawn(500, 1.2)[0]])
def test_one_in_twenty_is_below_the_threshold(seen):
    logits, labels = drawn(399, 1)
    found = calibrate(logits, labels, seen)
    assert (found.typical is None) == (not len(seen))
    below = found.score(logits.numpy()) < found.threshold
    assert below.sum() == 19  # k = 20 of 400
    assert found.shapes == 399
    assert found.known(logits.numpy()).sum() == 380


def test_the_distance_is_that_of_mahalanobis():
    seen, held_out = drawn(500, 1.2)[0].numpy(), drawn(300, 1)[0].numpy()
    found = typical_of(seen, held_out)
    taken = seen.argmax(1)
    means = np.stack([seen[taken == each].mean(0) for each in range(5)])
    within = np.cov((seen - means[taken]).T, bias=True)
    inverse = np.linalg.inv(within + RIDGE * np.diag(within).mean() * np.eye(5))
    wanted = [mahalanobis(z, means[z.argmax()], inverse) ** 2 for z in held_out]
    assert found.squared_distance(held_out) == pytest.approx(wanted, rel=1e-4)
    middle, far = np.quantile(wanted, (0.5, 0.95))
    low, level = np.quantile(energy(held_out), (0.05, 0.5))
    scores = np.minimum(
        (energy(held_out) - level) / (level - low), (middle - wanted) / (far - middle)
    )
    assert found.score(held_out) == pytest.approx(scores, abs=1e-3)


def test_what_is_surer_than_anything_is_not_typical():
    seen, held_out = drawn(500, 1)[0].numpy(), drawn(300, 1)[0].numpy()
    found = typical_of(seen, held_out)
    sure = np.array([60.0, 0, 0, 0, 0])
    assert energy(sure) > energy(held_out).max()
    assert found.score(sure) < found.score(held_out).min()


def test_a_class_that_is_never_answered_is_far_from_all():
    seen, held_out = drawn(500, 1)[0].numpy(), drawn(300, 1)[0].numpy()
    some = seen[seen.argmax(1) != 2]
    found = typical_of(some, held_out)
    assert found.means[2] == pytest.approx(some.mean(0), rel=1e-4)


def test_where_it_cannot_be_told_what_is_typical_the_energy_decides():
    seen, held_out = drawn(500, 1)[0].numpy(), drawn(300, 1)[0].numpy()
    assert typical_of(seen[:9], held_out) is None  # fewer than twice as many as classes
    assert typical_of(np.ones((50, 5)), held_out) is None
    assert typical_of(seen, np.ones((50, 5))) is None
    assert typical_of(np.random.default_rng(0).normal(size=(300, 101)), held_out) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"means": ((1.0, 2.0),)},
        {"whitening": ((1.0, 0.0), (0.0, 1.0))},
        {"energy": (0.0, 0.0)},
        {"distance": (0.0, -1.0)},
        {"distance": (0.0, float("nan"))},
        {"energy": (0.0,)},
        {"means": ((float("nan"), 2.0), (1.0, 2.0))},
    ],
)
def test_a_typical_that_cannot_be_is_refused(changed):
    sound = {
        "means": ((1.0, 2.0), (3.0, 4.0)),
        "whitening": ((1.0,), (0.0, 1.0)),
        "energy": (0.0, 1.0),
        "distance": (0.0, 1.0),
    }
    assert Calibration.of({"typical": sound}, 2).typical == Typical(**sound)
    with pytest.raises(ValueError, match="is of 2 classes, and there are 3"):
        Calibration.of({"typical": sound}, 3)
    with pytest.raises(ValueError, match=r"other sizes|not above 0|is of 1 classes|Expected"):
        Calibration.of({"typical": sound | changed}, 2)


def test_few_or_unlabelled_shapes_give_no_threshold():
    logits, labels = drawn(40, 1)
    assert calibrate(logits[:18], labels[:18], logits).threshold is None
    assert calibrate(logits[:19], labels[:19], NONE).threshold == energy(logits[:19].numpy()).min()
    labels[18:] = -1
    assert calibrate(logits, labels, NONE) == calibrate(logits[:18], labels[:18], NONE)
    assert calibrate(logits, torch.full((40,), -1), logits) == AS_THEY_ARE


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
