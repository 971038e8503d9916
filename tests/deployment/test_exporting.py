"""The exported file says what torch says, on clouds of any size."""

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import pointstill
from pointstill.augment import Clouds
from pointstill.data import open_dataset
from pointstill.deployment import exporting
from pointstill.deployment.exporting import Deployed, RunClassifier, export
from pointstill.deployment.runtime import Classifier, start
from pointstill.errors import DataError, PointstillError, TrainingError
from pointstill.evaluation.scoring import evaluate
from pointstill.models import build_model
from pointstill.run import Run


def cloud(count: int, seed: int = 0) -> np.ndarray:
    """An uneven blob, in metres, away from the origin."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, 3)) * (3, 1, 2) + (40, -7, 2)


@pytest.fixture
def program(student_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow exporter gives a file that it made before."""
    made = SimpleNamespace(model_proto=onnx.load(student_onnx))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: made)


@pytest.mark.parametrize("count", [8, 9, 31, 32, 63, 64, 65, 100, 1000, 20_000])
def test_it_agrees_with_torch_at_any_number_of_points(student_run, student_onnx, count):
    points = cloud(count, seed=count)
    near = (points - points[0]).astype(np.float32)
    with torch.inference_mode():
        expected = Deployed(Run(student_run).model(), 64).eval()(torch.from_numpy(near)[None])[0]
    found = Classifier(student_onnx).logits(points)
    scale = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4 * scale)


def test_strays_change_no_answer(student_run, student_onnx):
    """Far ones in UTM coordinates too, the first point among them, and in any order."""
    points, draw = cloud(1000, seed=3), np.random.default_rng(0)
    middle, radius = points.mean(axis=0), np.linalg.norm(points - points.mean(axis=0), axis=1).max()
    assert Run(student_run).normalization == 2
    classifiers = Classifier(student_onnx), RunClassifier(student_run)
    for far in (2, 3, 10, 100):
        strays = draw.normal(size=(5, 3))
        strays *= far * radius / np.linalg.norm(strays, axis=1)[:, None]
        strewn = np.r_[strays + middle, points] + (412_345, 5_654_321, 87)
        if far == 100:
            strewn[1] = 0
        for classifier in classifiers:
            expected = classifier.logits(points)
            np.testing.assert_allclose(classifier.logits(strewn), expected, rtol=0, atol=1e-4)
            mixed = draw.permutation(strewn)
            np.testing.assert_allclose(classifier.logits(mixed), expected, rtol=0, atol=1e-4)


def test_batches_and_few_points_in_the_graph(student_run, student_onnx):
    """Each cloud has its own number of strays."""
    session = start(student_onnx.read_bytes(), 1)
    model = Deployed(Run(student_run).model(), 64).eval()
    for count in (16, 17, 100, 3000):
        clouds = np.stack([cloud(count, seed) for seed in range(4)]).astype(np.float32)
        clouds[1, 0], clouds[2, : 1 + count // 100] = 300, -500
        with torch.inference_mode():
            expected = model(torch.from_numpy(clouds)).numpy()
            alone = [model(torch.from_numpy(each[None])).numpy()[0] for each in clouds]
        (found,) = session.run(None, {"points": clouds})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-4)


def test_what_is_deployed_is_what_was_trained(student_run):
    """Normalised by all points, then a draw of them, as in evaluation."""
    run = Run(student_run)
    points = cloud(150)
    clouds = Clouds((points - points[0]).astype(np.float32), np.array([0, 150]))
    with torch.inference_mode():
        expected = run.model()(clouds.plain(torch.tensor([0]), 64))
        found = Deployed(run.model(), 64).eval()(torch.from_numpy(points.astype(np.float32))[None])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [40, 64, 700])
def test_the_order_of_points_does_not_matter(student_onnx, count):
    classifier, points = Classifier(student_onnx), cloud(count)
    expected = classifier.logits(points)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(points)
        np.testing.assert_allclose(classifier.logits(shuffled), expected, rtol=0, atol=1e-3)


def test_a_batch_is_as_good_as_one_at_a_time(student_onnx):
    session = onnxruntime.InferenceSession(student_onnx, providers=["CPUExecutionProvider"])
    clouds = np.stack([cloud(200, seed) for seed in range(3)]).astype(np.float32)
    (together,) = session.run(None, {"points": clouds})
    assert together.shape == (3, 3)
    for alone, one in zip(clouds, together, strict=True):
        (expected,) = session.run(None, {"points": alone[None]})
        np.testing.assert_allclose(one, expected[0], rtol=1e-4, atol=1e-5)


def test_one_file_that_says_what_it_is(student_run, student_onnx):
    assert list(student_onnx.parent.iterdir()) == [student_onnx]  # no weights beside it
    onnx.checker.check_model(onnx.load(student_onnx))
    stored = {entry.key: entry.value for entry in onnx.load(student_onnx).metadata_props}
    about = json.loads(stored["pointstill"])
    recipe = Run(student_run).recipe
    assert about["classes"] == ["ball", "box", "rod"]
    assert (about["points"], about["up"], about["model"]) == (64, "z", "stillnet-n")
    assert about["origin"] == recipe["origin"]
    assert about["pointstill"] == pointstill.__version__
    assert Classifier(student_onnx).about == about


def test_a_run_behind_the_same_door(student_run, student_onnx):
    direct, exported = RunClassifier(student_run), Classifier(student_onnx)
    assert direct.classes == exported.classes
    assert direct.about["up"] == exported.about["up"]
    for count in (8, 64, 333):
        points = cloud(count)
        np.testing.assert_allclose(direct.logits(points), exported.logits(points), atol=1e-4)
    with pytest.raises(DataError, match="NaN"):
        direct.predict(np.full((20, 3), np.nan))
    holed = np.insert(points, 3, np.nan, axis=0)
    np.testing.assert_array_equal(
        RunClassifier(student_run, drop_missing=True).logits(holed), direct.logits(points)
    )


def test_it_makes_the_folder_and_replaces_the_file(program, student_run, student_onnx, tmp_path):
    out = tmp_path / "deep" / "er" / "student.onnx"
    assert export(str(student_run), str(out)) == out
    out.write_bytes(b"old")
    assert export(Run(student_run), out) == out
    np.testing.assert_array_equal(
        Classifier(out).logits(cloud(99)), Classifier(student_onnx).logits(cloud(99))
    )
    assert list(out.parent.iterdir()) == [out]


def test_nothing_is_written_when_it_disagrees(program, student_run, tmp_path, monkeypatch):
    out = tmp_path / "student.onnx"
    out.write_bytes(b"old")
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(TrainingError, match=r"differs from torch by .* nothing was written"):
        export(student_run, out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1.01, "differs from torch by .* nothing was written"), (np.nan, "NaN or infinite logits")],
)
def test_a_file_with_other_weights_is_refused(
    student_run, student_onnx, tmp_path, monkeypatch, factor, said
):
    """One of its weights, as a broken exporter would write it."""
    made = onnx.load(student_onnx)
    last = next(each for each in made.graph.initializer if each.name.endswith("head.2.weight"))
    weight = onnx.numpy_helper.to_array(last) * np.float32(factor)
    last.CopyFrom(onnx.numpy_helper.from_array(weight, last.name))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: SimpleNamespace(model_proto=made))
    with pytest.raises(PointstillError, match=said):
        export(student_run, tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_onnx_does_not_know(student_run, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("Failed to convert\nthe exported program")

    monkeypatch.setattr("torch.onnx.export", fail)
    with pytest.raises(TrainingError, match="stillnet-n cannot be written as ONNX") as caught:
        export(student_run, tmp_path / "student.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_full_disk(program, student_run, tmp_path, monkeypatch):
    out = tmp_path / "student.onnx"
    out.write_bytes(b"old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TrainingError, match="No space left on device") as caught:
        export(student_run, out)
    assert str(out) in str(caught.value)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_place_that_cannot_be(program, student_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PointstillError, match="choose another place"):
        export(student_run, tmp_path / "file" / "student.onnx")


def test_what_is_no_finished_run(tmp_path, student_run):
    with pytest.raises(TrainingError, match="is no run folder"):
        export(tmp_path, tmp_path / "x.onnx")
    (tmp_path / "recipe.yaml").write_bytes((student_run / "recipe.yaml").read_bytes())
    with pytest.raises(TrainingError, match="is not finished"):
        export(tmp_path, tmp_path / "x.onnx")


def test_each_score_of_an_evaluation_says_what_computed_it(solids, student_run, student_onnx):
    data = open_dataset(solids)
    found = evaluate([student_run, str(student_onnx)], data, limit=4, quiet=True)
    assert [score.runtime for score in found.scores] == ["torch", "ONNX Runtime"]
    assert found.about["onnxruntime"] == onnxruntime.__version__


@pytest.mark.parametrize("dimension", [0, 1])
def test_a_graph_of_so_many_is_refused(student_run, student_onnx, tmp_path, monkeypatch, dimension):
    """Of clouds, or of points."""
    made = onnx.load(student_onnx)
    made.graph.input[0].type.tensor_type.shape.dim[dimension].dim_value = 2
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: SimpleNamespace(model_proto=made))
    with pytest.raises(TrainingError, match="fixes the number of clouds or points"):
        export(student_run, tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_graph_of_one_size_is_refused():
    """DGCNN's graph is fixed to the clouds of the example, which no other number fits."""
    with pytest.raises(TrainingError, match="fixes the number of clouds"):
        exporting.onnx_session(Deployed(build_model("dgcnn", 3), 64).eval(), 64)
