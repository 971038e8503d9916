import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pointstill.data import open_dataset
from pointstill.errors import UsageError
from pointstill.evaluation.scoring import predict_all
from pointstill.evaluation.unknown import auroc, measure_unknown, unknown_score
from pointstill.storage.calibration import AS_THEY_ARE, Calibration, energy
from pointstill.teachers import load_teacher
from stand_ins import relabelled


def test_auroc_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    high, low = draw.normal(1, 1, 50).round(1), draw.normal(0, 1, 70).round(1)
    wanted = roc_auc_score([1] * 50 + [0] * 70, [*high, *low])
    assert auroc(high, low) == pytest.approx(wanted)


def test_shares_are_counted_by_kind():
    known, unknown = np.array([[4.0, 0], [0, 5], [6, 0], [2, 0]]), np.array([[3.0, 0], [0, 1]])
    found = unknown_score(
        "net", known, unknown, ["dust", "wire"], ["a", "b"], Calibration(threshold=2.5)
    )
    assert (found.auroc, found.accepted, found.recall) == (7 / 8, 0.5, 0.75)
    assert found.accepted_by_kind == {"dust": 1, "wire": 0}
    assert found.taken_for == {"dust": {"a": 1}, "wire": {"b": 1}}
    least = np.quantile(energy(known), 0.05)
    plain = unknown_score("net", known, unknown, ["dust", "wire"], ["a", "b"], AS_THEY_ARE)
    assert plain.false_positives == np.mean(energy(unknown) >= least)
    assert plain.accepted is None


def test_a_run_is_asked_about_strangers(student_run, solids):
    data = open_dataset(solids)
    student = load_teacher(str(student_run), classes=data.classes)
    (found,) = measure_unknown([student], data, open_dataset("strangers"), limit=12, quiet=True)
    assert sum(sum(each.values()) for each in found.taken_for.values()) == 12
    assert 0 <= found.auroc <= 1


def test_known_classes_are_no_strangers(student_run, solids):
    data = open_dataset(solids)
    student = load_teacher(str(student_run), classes=data.classes)
    with pytest.raises(UsageError, match="no shape of a class that is unknown"):
        measure_unknown([student], data, open_dataset(solids), quiet=True)


def test_clouds_without_a_label_are_neither_known_nor_unknown(student_run, solids, monkeypatch):
    asked = []

    def spy(model, clouds, shapes, batch_size, track):
        asked.append(shapes.tolist())
        return predict_all(model, clouds, shapes, batch_size, track)

    data, strangers = open_dataset(solids), open_dataset("strangers")
    labels = data.test.labels.copy()
    labels[::3] = -1
    student = load_teacher(str(student_run), classes=data.classes)
    monkeypatch.setattr("pointstill.evaluation.unknown.predict_all", spy)
    partly = relabelled(data, labels, split="test")
    source = relabelled(strangers, np.where(np.arange(240) < 9, 0, -1), split="test")
    measure_unknown([student], partly, source, limit=6, quiet=True)
    unknown, known = asked
    assert len(unknown) == len(known) == 6
    assert max(unknown) < 9
    assert (labels[known] >= 0).all()
