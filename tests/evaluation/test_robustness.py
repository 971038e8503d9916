import numpy as np
import pytest
import torch

from pointstill.augment import Clouds
from pointstill.data import open_dataset
from pointstill.data.corruptions import corrupt, corruption_error
from pointstill.errors import UsageError
from pointstill.evaluation.robustness import KnownClouds, measure_corruptions, measure_points
from pointstill.teachers import load_teacher
from stand_ins import relabelled


@pytest.fixture
def student(student_run, solids):
    return load_teacher(str(student_run), classes=open_dataset(solids).classes)


def test_corrupted_clouds_are_classified(student, solids):
    data = open_dataset(solids)
    test, right = data.test, 0
    for shape, name in enumerate(test.names):
        cloud = test.cloud(shape)
        one = Clouds(cloud, np.array([0, len(cloud)]))
        sampled = one.plain(torch.tensor([0]), 1024)[0].numpy()
        gone = corrupt(sampled, "jitter", 5, f"0/{name}")
        logits = student.logits(
            Clouds(gone, np.array([0, len(gone)])).plain(torch.tensor([0]), student.points)
        )
        right += int(logits.argmax()) == test.labels[shape]
    (found,) = measure_corruptions([student], data, quiet=True)
    means = {name: np.mean(levels) for name, levels in found.accuracy.items()}
    assert found.errors == pytest.approx(corruption_error(means))
    assert found.accuracy["jitter"][4] == pytest.approx(right / len(test))


def test_clouds_of_all_their_points_are_as_they_were(student, solids):
    from pointstill.evaluation.scoring import evaluate

    data = open_dataset(solids)
    (found,) = measure_points([student], data, [8, 10_000], quiet=True)
    plain = evaluate(student, data, quiet=True).scores[0].overall_accuracy
    assert found.accuracy[10_000] == pytest.approx(plain)
    assert set(found.accuracy) == {8, 10_000}


@pytest.mark.parametrize("counts", [[], [7, 64]])
def test_too_few_points_are_refused(student, solids, counts):
    with pytest.raises(UsageError, match="8 or more"):
        measure_points([student], open_dataset(solids), counts, quiet=True)


def test_a_limit_is_of_labelled_clouds_as_in_any_evaluation(student, solids):
    from pointstill.evaluation.scoring import evaluate

    data = open_dataset(solids)
    labels = data.test.labels.copy()
    labels[::3] = -1
    partly = relabelled(data, labels, split="test")
    plain = evaluate(student, partly, limit=5, quiet=True)
    (found,) = measure_points([student], partly, [10_000], limit=5, quiet=True)
    assert len(KnownClouds(partly, "test", 5)) == len(plain.labels) == 5
    assert found.accuracy[10_000] == plain.scores[0].overall_accuracy
