"""What an exported student says of clouds that it does not know, or that lie on a side."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from pointstill.deployment.exporting import RunClassifier, export
from pointstill.deployment.predicting.job import predict_files
from pointstill.deployment.runtime import Classifier
from pointstill.errors import UsageError
from pointstill.points.upright import turn_up
from pointstill.run import Run
from pointstill.storage.calibration import Calibration


@pytest.fixture(scope="module")
def run(student_run, tmp_path_factory) -> Run:
    """`student_run`, with a threshold."""
    run = Run(shutil.copytree(student_run, tmp_path_factory.mktemp("rejecting") / "run"))
    run.calibrate(Calibration(temperature=1.7, threshold=0.1, shapes=24))
    return run


@pytest.fixture(scope="module")
def file(run, student_onnx):
    """The run, exported: the graph is that of `student_onnx`, as the weights are."""
    graph = SimpleNamespace(model_proto=onnx.load(student_onnx))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.onnx.export", lambda *_, **__: graph)
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
