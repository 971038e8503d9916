"""What an exported student says of clouds that it does not know, or that lie on a side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pointstill.data import open_dataset
from pointstill.deployment.exporting import RunClassifier, export
from pointstill.deployment.predicting.job import predict_files
from pointstill.deployment.runtime import Classifier
from pointstill.errors import UsageError
from pointstill.points.upright import turn_up
from pointstill.recipe import TrainRecipe
from pointstill.run import Run
from pointstill.training.jobs import train


@pytest.fixture(scope="module")
def run(solids, tmp_path_factory) -> Run:
    """A run that has a threshold."""
    recipe = TrainRecipe(epochs=2, points=32, batch_size=8, val=0.5, threads=1)
    out = tmp_path_factory.mktemp("rejecting") / "run"
    return train("stillnet-n", open_dataset(solids), out=out, recipe=recipe, quiet=True)


@pytest.fixture(scope="module")
def file(run):
    return export(run, run.folder.parent / "student.onnx")


@pytest.fixture
def points(solids):
    return np.load(solids / "rod" / "00.npy")


def test_probabilities_are_those_of_logits_over_the_temperature(run, file, points):
    classifier = Classifier(file)
    assert classifier.calibration == run.calibration
    logits = torch.from_numpy(classifier.logits(points)).double()
    wanted = (logits / run.calibration.temperature).softmax(0)
    found = dict(classifier.predict(points))
    assert [found[name] for name in run.classes] == pytest.approx(wanted.tolist())
    assert RunClassifier(run.folder).predict(points)[0][0] == classifier.predict(points)[0][0]


def test_what_is_below_the_threshold_is_unknown(file, points, tmp_path, capsys):
    classifier = Classifier(file)
    plain = classifier.predict(points, reject=False)
    level = float(torch.from_numpy(classifier.logits(points)).double().logsumexp(0))
    for shift, known in ((-1e-6, True), (1e-6, False)):
        classifier.calibration = replace(classifier.calibration, threshold=level + shift)
        first = [] if known else [("unknown", plain[0][1])]
        assert classifier.predict(points, reject=True) == first + plain
    assert classifier.predict(points) == plain


def test_predict_says_unknown_with_what_it_would_be(file, points, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "rod.npy", points)
    monkeypatch.setattr("pointstill.storage.calibration.score", lambda logits: -1e9)
    predict_files(Classifier(file), [str(tmp_path / "rod.npy")], top=1)
    said = capsys.readouterr().out
    assert "rod.npy" in said
    assert "unknown" in said


def test_without_a_threshold_nothing_can_be_rejected(student_onnx, points):
    with pytest.raises(UsageError, match=r"no threshold.*--val"):
        Classifier(student_onnx).predict(points, reject=True)


def test_a_cloud_with_another_axis_up_is_turned(file, points):
    upright, lying = Classifier(file), turn_up(points, "z", "y")
    np.testing.assert_allclose(
        Classifier(file, up="y").logits(lying), upright.logits(points), atol=1e-4
    )
    with pytest.raises(UsageError, match="choose x, y or z"):
        Classifier(file, up="w")
