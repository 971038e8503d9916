"""Every figure against an independent one: scikit-learn, SciPy, a loop, or worked by hand."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score
from torch import Tensor, nn

import pointstill.evaluation.scoring as evaluation
from pointstill.augment import Clouds
from pointstill.data import Dataset, open_dataset
from pointstill.errors import DataError, RecordsError, TeacherError, TrainingError, UsageError
from pointstill.evaluation.group_bootstrap import percentile_interval, resampled_means
from pointstill.evaluation.scoring import (
    Evaluation,
    Score,
    evaluate,
    exact,
    fixed_batch,
    mcnemar,
    normalization,
    predict_all,
    score,
    split_names,
)
from pointstill.progress import Track
from pointstill.run import Run, TrainedOn
from pointstill.teachers import NetworkTeacher, load_teacher
from pointstill.teachers.ensemble import Ensemble
from pointstill.teachers.torch_module import TorchNetwork
from pointstill.teachers.votes import Votes
from stand_ins import relabelled

CLASSES = ["a", "b", "c", "d", "e"]


class Flat(nn.Module):
    """One linear layer on all coordinates, in plain sight of a count of operations."""

    def __init__(self, points: int, classes: int):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3 * points, classes)

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.linear(points.flatten(1))
        return logits


def flat_teacher(points: int = 8, classes: int = len(CLASSES)) -> NetworkTeacher:
    return NetworkTeacher(
        spec="flat",
        classes=tuple(CLASSES[:classes]),
        network=TorchNetwork(Flat(points, classes).eval(), torch.device("cpu")),
        points=points,
        layout="bn3",
        output="logits",
        axes=None,
        columns=None,
        names=tuple(CLASSES[:classes]),
        fingerprint="f",
    )


def test_a_network_of_fixed_batches_costs_a_share_of_one():
    plain = flat_teacher()
    network = TorchNetwork(Flat(8, 5).eval(), torch.device("cpu"))
    network.batch = 4
    fours = replace(plain, network=network)
    assert [fixed_batch(each) for each in (plain, fours)] == [1, 4]
    assert fixed_batch(Ensemble([plain, fours])) == 4
    assert fixed_batch(Votes(fours, 3, "scale")) == 4
    for teacher in (plain, fours):  # 3 x 8 x 5 multiply-adds a cloud, whatever fills the batch
        assert score(teacher, *made_up(), CLASSES, None).flops == 2 * 3 * 8 * 5


def test_clouds_are_normalised_as_a_model_was_trained():
    elsewhere = flat_teacher()
    old = replace(elsewhere, trained_on=TrainedOn("run", "f00d", None))
    new = replace(elsewhere, trained_on=TrainedOn("run", "f00d", None, normalization=2))
    assert [normalization(each) for each in (elsewhere, old, new)] == [2, 1, 2]
    assert normalization(Votes(old, 3, "scale")) == 1
    assert normalization(Ensemble([old, old])) == 1
    assert normalization(Ensemble([old, new])) == 2


def scored(logits: Tensor, labels: Tensor) -> Score:
    return score(flat_teacher(), logits, labels, CLASSES, None)


def made_up(count: int = 200, seed: int = 0, absent: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than not, and labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (count,), generator=draw)
    if absent is not None:
        labels[labels == absent] = (absent + 1) % 5
    logits = torch.randn(count, 5, generator=draw)
    logits[torch.arange(count), labels] += 1.5
    return logits, labels


@pytest.fixture
def data(solids: Path) -> Dataset:
    return open_dataset(solids)


@pytest.mark.parametrize("seed", range(3))
def test_accuracies_and_confusion_against_scikit_learn(seed):
    logits, labels = made_up(seed=seed)
    found, predicted = scored(logits, labels), logits.argmax(1).numpy()
    assert found.predictions == predicted.tolist()
    assert found.overall_accuracy == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    expected = balanced_accuracy_score(labels, predicted)
    assert found.mean_class_accuracy == pytest.approx(expected, abs=1e-12)
    assert found.confusion == confusion_matrix(labels, predicted, labels=range(5)).tolist()
    each = recall_score(labels, predicted, average=None, labels=range(5))
    assert list(found.class_accuracy) == CLASSES
    assert list(found.class_accuracy.values()) == pytest.approx(each.tolist(), abs=1e-12)


def test_a_class_without_shapes_has_no_accuracy():
    logits, labels = made_up(absent=2)
    found, predicted = scored(logits, labels), logits.argmax(1)
    assert found.class_accuracy["c"] is None
    assert found.confusion[2] == [0] * 5
    present = [float((predicted[labels == k] == k).double().mean()) for k in (0, 1, 3, 4)]
    assert found.mean_class_accuracy == pytest.approx(sum(present) / 4, abs=1e-12)


def test_the_standard_error_by_hand():
    """90 of 100: sqrt(0.9 x 0.1 / 100) = 0.03."""
    labels = torch.zeros(100, dtype=torch.int64)
    logits = torch.zeros(100, 5)
    logits[:90, 0], logits[90:, 1] = 1.0, 1.0
    found = scored(logits, labels)
    assert found.overall_accuracy == pytest.approx(0.9)
    assert found.standard_error == pytest.approx(0.03)


@pytest.mark.parametrize(("right", "shapes"), [(90, 100), (40, 40), (0, 7), (1, 2)])
def test_the_interval_by_hand(right, shapes):
    """Wilson 1927: (p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)."""
    logits = torch.zeros(shapes, 5)
    logits[:right, 0], logits[right:, 1] = 1.0, 1.0
    low, high = scored(logits, torch.zeros(shapes, dtype=torch.int64)).interval
    z, p, n = 1.959963984540054, right / shapes, shapes
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    middle = p + z * z / (2 * n)
    assert low == pytest.approx((middle - half) / (1 + z * z / n), abs=1e-12)
    assert high == pytest.approx((middle + half) / (1 + z * z / n), abs=1e-12)
    assert high - low > 0.05  # 40 of 40 is no certainty


def test_calibration_by_hand():
    """Sure to 0.8 on ten shapes, right on six: off by 0.2."""
    labels = torch.zeros(10, dtype=torch.int64)
    probabilities = torch.full((10, 5), 0.05)
    probabilities[:6, 0], probabilities[6:, 1] = 0.8, 0.8
    assert scored(probabilities.log(), labels).calibration_error == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_against_a_loop(seed):
    logits, labels = made_up(seed=seed)
    z = logits.double().numpy()
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    confidence, right = p.max(1), p.argmax(1) == labels.numpy()
    error = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert scored(logits, labels).calibration_error == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (0, 5, 2 / 2**5),
        (3, 3, 1.0),
        (1, 5, 2 * (1 + 6) / 2**6),
        (8, 2, 2 * (1 + 10 + 45) / 2**10),
    ],
)
def test_mcnemar_by_hand(first, second, p):
    assert exact(first, second) == exact(second, first) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(("first", "second"), [(12, 30), (100, 101), (0, 40), (7, 6)])
def test_mcnemar_against_scipy(first, second):
    """Two-sided, by doubling the smaller tail of a fair coin."""
    tail = stats.binom.cdf(min(first, second), first + second, 0.5)
    assert exact(first, second) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def test_mcnemar_counts_the_shapes_on_which_one_is_right():
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    first = scored(nn.functional.one_hot(torch.tensor([0, 1, 2, 3, 0, 1]), 5).float(), labels)
    second = scored(nn.functional.one_hot(torch.tensor([0, 0, 0, 0, 4, 2]), 5).float(), labels)
    pair = mcnemar(first, second, labels.numpy())
    assert (pair.only_first, pair.only_second) == (3, 1)
    assert pair.p_value == exact(3, 1)


def test_size_and_parameters_by_hand():
    found = scored(*made_up())
    assert found.parameters == 24 * 5 + 5
    assert found.bytes == 4 * (24 * 5 + 5)


def test_predictions_do_not_depend_on_the_batch(data, student_run, teacher_run):
    found = [
        evaluate([student_run, teacher_run], data, batch_size=size, quiet=True).scores
        for size in (1, 5, 16)
    ]
    for scores in found[1:]:
        for one, other in zip(found[0], scores, strict=True):
            assert one.predictions == other.predictions
            assert one.calibration_error == pytest.approx(other.calibration_error, abs=1e-6)
    teacher = load_teacher(str(student_run), classes=data.classes)
    clouds = Clouds(data.test.points, data.test.offsets)
    shapes = torch.arange(12)
    track = Track("", 0, "", quiet=True)
    logits = [predict_all(teacher, clouds, shapes, size, track) for size in (1, 7)]
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def test_clouds_are_seen_whole_and_plain(data, teacher_run):
    """Against the model asked cloud by cloud: centred, in the unit sphere, evenly spaced."""
    run = Run(teacher_run)
    model = run.model()
    expected = []
    for index in range(len(data.test)):
        cloud = data.test.cloud(index).astype(np.float64)
        cloud -= cloud.mean(0)
        cloud /= np.linalg.norm(cloud, axis=1).max()
        drawn = cloud[np.arange(64) * len(cloud) // 64].astype(np.float32)
        with torch.inference_mode():
            expected.append(int(model(torch.from_numpy(drawn)[None]).argmax()))
    result = evaluate(run, data, quiet=True)
    assert result.scores[0].predictions == expected
    assert result.labels == data.test.labels.tolist()
    assert result.names == data.test.names
    assert result.scores[0].points == 64


def test_the_ways_to_name_a_model(data, teacher_run):
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    ways = [Run(teacher_run), teacher, str(teacher_run), teacher_run, [teacher_run]]
    results = [evaluate(way, data, limit=3, quiet=True) for way in ways]
    assert len({tuple(result.scores[0].predictions) for result in results}) == 1
    assert {result.scores[0].name for result in results} == {str(teacher_run)}


def test_the_test_split_alone_is_opened(data, teacher_run):
    evaluate(teacher_run, data, quiet=True)
    assert set(data._opened) == {"test"}
    result = evaluate(teacher_run, open_dataset(data.name), split="train", limit=7, quiet=True)
    assert result.about["split"] == "train"
    assert (len(result.labels), result.about["shapes"]) == (7, 7)
    assert np.bincount(result.labels).max() == 3  # stratified


def test_records_of_other_data_are_refused_before_any_work(
    data, teacher_run, records, make_solids, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluation, "predict_all", lambda *_: pytest.fail("work was begun"))
    other = open_dataset(make_solids(tmp_path / "solids", first_seed=7))
    for opened, store in ((other, records), (data, tmp_path / "none")):
        with pytest.raises(RecordsError):
            evaluate(teacher_run, opened, records=store, quiet=True)


def test_the_file_of_results_is_whole_or_not_at_all(data, teacher_run, tmp_path, monkeypatch):
    result = evaluate(teacher_run, data, limit=3, quiet=True)
    assert result.about["device"] == "cpu"
    path = tmp_path / "deep" / "result.json"
    result.write_json(path)
    before = path.read_text("utf-8")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pointstill.storage.files.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            replace(result, names=[]).write_json(path)
    assert path.read_text("utf-8") == before
    assert [each.name for each in path.parent.iterdir()] == ["result.json"]


def test_results_take_the_place_of_no_pipe_and_no_link(data, teacher_run, tmp_path):
    result = evaluate(teacher_run, data, limit=3, quiet=True)
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "elsewhere")
    for path in (pipe, link):
        with pytest.raises(OSError, match="it is a"):
            result.write_json(path)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_agreement_with_its_own_records(data, teacher_run, student_run, records):
    own, other = evaluate([teacher_run, student_run], data, records=records, quiet=True).scores
    assert own.agreement is not None
    assert own.agreement["argmax"] == 1.0
    assert 0 <= own.agreement["kl"] < 1e-6  # what float16 costs
    assert own.agreement["shapes"] == 48
    assert other.agreement is not None
    assert other.agreement["kl"] > 10 * own.agreement["kl"]


def test_agreement_on_a_part_of_many_records(data, teacher_run, records):
    from pointstill.records import Store

    teacher = load_teacher(str(teacher_run), classes=data.classes)
    store = Store.open(records)
    rows = evaluation._recorded_rows(store, data, most=20)
    found = evaluation._agreement(teacher, data, store, rows, batch_size=7)
    assert found["shapes"] == 16  # every third
    assert found["argmax"] == 1.0


def test_every_pair_is_tested(data, teacher_run, student_run):
    result = evaluate([teacher_run, student_run, teacher_run], data, limit=6, quiet=True)
    assert [(pair.first, pair.second) for pair in result.pairs] == [
        (str(teacher_run), str(student_run)),
        (str(teacher_run), str(teacher_run)),
        (str(student_run), str(teacher_run)),
    ]
    assert result.pairs[1].p_value == 1.0


def strict(text: str) -> dict:
    def fail(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=fail)


def test_json_round_trip(data, teacher_run, records, tmp_path):
    result = evaluate(teacher_run, data, limit=2, records=records, quiet=True)
    assert None in result.scores[0].class_accuracy.values()  # two shapes, three classes
    result.write_json(tmp_path / "result.json")
    read = strict((tmp_path / "result.json").read_text())
    scores = [Score(**each) for each in read.pop("scores")]
    pairs = [evaluation.Pair(**each) for each in read.pop("pairs")]
    assert Evaluation(**read, scores=scores, pairs=pairs) == result
    assert read["about"]["fingerprint"] == data.test.fingerprint
    assert read["about"].keys() >= {"date", "data", "pointstill", "torch", "processor", "threads"}


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -3}, {"batch_size": 0}])
def test_numbers_that_make_no_sense(data, teacher_run, options):
    with pytest.raises(UsageError, match="choose 1 or more"):
        evaluate(teacher_run, data, quiet=True, **options)


def test_nothing_to_evaluate(data):
    with pytest.raises(UsageError, match="name a run folder or a teacher"):
        evaluate([], data)


def test_a_model_of_other_classes(teacher_run, make_solids, tmp_path):
    root = make_solids(tmp_path / "other", each=5)
    (root / "rod").rename(root / "stick")
    with pytest.raises(TeacherError, match="rod"):
        evaluate(teacher_run, open_dataset(root), quiet=True)


def test_records_of_other_data(teacher_run, records, make_solids, tmp_path):
    other = open_dataset(make_solids(tmp_path / "other", each=5))
    with pytest.raises(RecordsError, match=r"data\.fingerprint"):
        evaluate(teacher_run, other, records=records, quiet=True)


def test_a_run_that_is_not_finished(data, tmp_path, teacher_run):
    (tmp_path / "recipe.yaml").write_bytes((teacher_run / "recipe.yaml").read_bytes())
    with pytest.raises(TrainingError, match="is not finished"):
        evaluate(tmp_path, data, quiet=True)


def test_all_of_a_folder_is_measured_for_who_was_not_trained_there(
    data, solids, teacher_run, tmp_path
):
    other = tmp_path / "other"
    for number, file in enumerate(sorted(solids.rglob("*.npy"))):
        (other / file.parent.name).mkdir(parents=True, exist_ok=True)
        np.save(other / file.parent.name / file.name, np.load(file)[number % 3 :] * 1.5)
    opened = open_dataset(other)
    result = evaluate(teacher_run, opened, split="all", quiet=True)
    assert sorted(result.names) == sorted(opened.train.names + opened.test.names)
    assert len(result.labels) == 60
    assert result.about["shapes"] == result.about["split_shapes"] == result.about["data_shapes"]
    parts = [evaluate(teacher_run, opened, split=split, quiet=True) for split in ("train", "test")]
    predicted = [part.scores[0].predictions for part in parts]
    assert result.scores[0].predictions == predicted[0] + predicted[1]
    assert result.labels == parts[0].labels + parts[1].labels
    assert (parts[1].about["fold"], parts[1].about["data_shapes"]) == (0, 60)
    some = evaluate(teacher_run, opened, split="all", limit=9, quiet=True)
    assert np.bincount(some.labels).tolist() == [3, 3, 3]
    whole = dict(zip(result.names, result.scores[0].predictions, strict=True))
    assert some.scores[0].predictions == [whole[name] for name in some.names]


def test_shapes_without_a_label_are_counted_and_left_out(data, teacher_run, student_run):
    labels = data.test.labels.copy()
    labels[::4] = -1
    known = np.flatnonzero(labels >= 0)
    partly = relabelled(data, labels, split="test")
    result = evaluate([teacher_run, student_run], partly, quiet=True)
    whole = evaluate(teacher_run, data, quiet=True)
    assert result.labels == labels[known].tolist()
    assert result.names == [data.test.names[index] for index in known]
    predicted = np.array(whole.scores[0].predictions)
    assert result.scores[0].predictions == predicted[known].tolist()
    expected = accuracy_score(labels[known], predicted[known])
    assert result.scores[0].overall_accuracy == pytest.approx(expected)
    assert (result.about["shapes"], result.about["unlabelled"]) == (len(known), len(labels[::4]))
    assert whole.about["unlabelled"] == 0
    some = evaluate(teacher_run, partly, limit=5, quiet=True)
    assert len(some.labels) == 5
    assert min(some.labels) == 0


def test_a_split_without_labels_is_nothing_to_measure_by(data, teacher_run):
    bare = relabelled(data, np.full(12, -1), split="test")
    with pytest.raises(DataError, match=r"has no label in the test split \(12 shapes\)"):
        evaluate(teacher_run, bare, quiet=True)


@pytest.mark.parametrize(("people", "told"), [(6, True), (4, False)])
def test_shapes_in_groups_are_drawn_by_groups(data, teacher_run, student_run, people, told):
    groups = [f"person {index % people}" for index in range(12)]
    grouped = relabelled(data, groups=groups, split="test")
    result = evaluate([teacher_run, student_run], grouped, quiet=True)
    right = [np.array(each.predictions) == result.labels for each in result.scores]
    assert result.about["groups"] == people
    means = resampled_means(right[0], groups)
    assert (result.scores[0].interval is not None) == told == (means is not None)
    difference = right[0].mean() - right[1].mean()
    assert result.pairs[0].difference == pytest.approx(difference)
    assert (result.pairs[0].interval is not None) == told
    if means is not None:
        assert result.scores[0].interval == percentile_interval(means)
        other = resampled_means(right[1], groups)
        assert other is not None
        assert result.pairs[0].interval == pytest.approx(percentile_interval(means - other))
    assert "groups" not in evaluate(teacher_run, data, quiet=True).about


def test_a_split_of_the_datas_own_name(data, teacher_run):
    class Named:
        """The source, with one more split."""

        listed = replace(data.listed, splits=("train", "test", "shift"))

        def __getattr__(self, name: str) -> object:
            return getattr(data.source, name)

        def files(self, split: str) -> object:
            return data.source.files("test" if split == "shift" else split)

        def shapes(self, split: str) -> object:
            return data.source.shapes("test" if split == "shift" else split)

    found = replace(relabelled(data, split="test"), source=Named())
    found._opened["shift"] = relabelled(data, split="test").split("test")
    shift = evaluate(teacher_run, found, split="shift", quiet=True)
    assert shift.about["split"] == "shift"
    assert (
        shift.scores[0].predictions == evaluate(teacher_run, data, quiet=True).scores[0].predictions
    )
    with pytest.raises(UsageError, match="choose from train, test, shift, or all"):
        evaluate(teacher_run, found, split="drift", quiet=True)
    assert split_names(found, "all") == ("train", "test", "shift")


@pytest.mark.parametrize("fold", [0, 3])
def test_all_of_the_data_of_a_run_is_refused(data, teacher_run, fold, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(data.name, copied)
    for place in (data.name, copied):
        with pytest.raises(UsageError, match=r"was trained on shapes of .*: leave --split all out"):
            evaluate(teacher_run, open_dataset(place, fold=fold), split="all", quiet=True)


def test_test_clouds_that_are_in_train_are_told(data, teacher_run, tmp_path):
    root = tmp_path / "leak"
    for split in (data.train, data.test):
        for i, name in enumerate(split.names):
            file = root / split.name / name
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, split.cloud(i) * 2)
    name = data.train.names[0]
    shutil.copy(root / "train" / name, root / "test" / Path(name).with_stem("copy"))
    opened = open_dataset(root)
    opened.train  # noqa: B018
    with pytest.warns(UserWarning, match="1 of 13 test clouds are in the training split too"):
        evaluate(teacher_run, opened, limit=3, quiet=True)
