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
from pointstill.storage.calibration import Calibration, Typical


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


def test_what_is_far_from_its_class_is_unknown(run, file, points):
    classifier = Classifier(file)
    logits = classifier.logits(points).astype(float)
    count = len(logits)
    typical = Typical(
        means=tuple(tuple(logits + 3) for _ in range(count)),
        whitening=tuple((0.0,) * place + (2.0,) for place in range(count)),
        energy=(-1e9, 1.0),
        distance=(0.0, float(count)),
    )
    assert typical.squared_distance(logits) == pytest.approx(36 * count)
    assert typical.score(logits) == pytest.approx(-36)
    plain = classifier.predict(points)
    for threshold, known in ((-36.001, True), (-35.999, False)):
        kept = Calibration(threshold=threshold, typical=typical)
        classifier.calibration = kept
        assert (classifier.predict(points, reject=True)[0][0] != "unknown") == known
    assert [name for name, _ in classifier.predict(points)] == [name for name, _ in plain]


def test_a_run_keeps_what_is_typical(run):
    before = run.calibration
    rows = ((1.0,), (0.5, 2.0), (0.25, 1.0, 4.0))
    kept = replace(before, typical=Typical(((1.0, 2.0, 3.0),) * 3, rows, (5.0, 1.0), (9.0, 3.0)))
    run.calibrate(kept)
    assert Run(run.folder).calibration == kept
    run.calibrate(before)


def test_predict_says_unknown_with_what_it_would_be(file, points, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "rod.npy", points)
    monkeypatch.setattr("pointstill.storage.calibration.energy", lambda logits: -1e9)
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
