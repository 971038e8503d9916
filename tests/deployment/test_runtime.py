"""The classifier of small machines: one file, any cloud, NumPy and ONNX Runtime alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pointstill.deployment.runtime import Classifier
from pointstill.errors import DataError, PointstillError, TeacherError, UsageError


@pytest.fixture(scope="module")
def classifier(student_onnx: Path) -> Classifier:
    return Classifier(student_onnx)


@pytest.fixture
def points(solids: Path) -> np.ndarray:
    """A rod, (64, 3) float32."""
    return np.load(solids / "rod" / "00.npy")


def test_the_most_probable_come_first(classifier, points):
    found = classifier.predict(points, top=99)
    assert sorted(name for name, _ in found) == ["ball", "box", "rod"]
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert classifier.predict(points, top=1) == found[:1]
    logits = classifier.logits(points).astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum()
    for name, share in found:
        assert share == pytest.approx(softmax[classifier.classes.index(name)], rel=1e-6)


def test_any_kind_of_array(classifier, points):
    expected = classifier.logits(points)
    for same in (points.tolist(), points.astype(np.float64), np.asfortranarray(points)):
        np.testing.assert_allclose(classifier.logits(same), expected, rtol=1e-5, atol=1e-5)
    whole = np.round(points * 1000).astype(np.int16)  # millimetres
    assert classifier.predict(whole)[0][0] == classifier.predict(points)[0][0]


def test_far_from_the_origin_the_answer_is_the_same(classifier, points):
    """UTM coordinates, in which float32 keeps half a metre of a northing."""
    expected = classifier.logits(points)
    utm = points.astype(np.float64) + np.array([691_234.567, 5_334_567.891, 519.25])
    np.testing.assert_allclose(classifier.logits(utm), expected, atol=1e-4)
    assert classifier.logits(utm).dtype == np.float32


def test_the_unit_does_not_matter(classifier, points):
    expected = classifier.logits(points)
    for unit in (1e-35, 1e-25, 1e-3, 1e3, 1e19, 1e38):
        np.testing.assert_allclose(classifier.logits(points * unit), expected, atol=1e-3)


def test_threads(student_onnx, classifier, points):
    two = Classifier(str(student_onnx), threads=2)
    np.testing.assert_allclose(two.logits(points), classifier.logits(points), atol=1e-5)


def test_what_was_given_is_not_changed(classifier, points):
    before = points.copy()
    classifier.logits(points)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_missing_points_are_left_out_where_asked_for(student_onnx, classifier, points, value):
    holes = np.insert(points.astype(np.float64), (0, 5, 5, 64), 1.0, axis=0)
    for row, axis in ((0, 0), (6, 1), (7, 2), (67, 0)):
        holes[row, axis] = value
    sees = Classifier(student_onnx, drop_missing=True)
    np.testing.assert_array_equal(sees.logits(holes), classifier.logits(points))
    np.testing.assert_array_equal(sees.logits(points), classifier.logits(points))
    with pytest.raises(DataError, match=r"4 of 68 points .*\(in Python drop_missing=True\)"):
        classifier.logits(holes)
    with pytest.raises(DataError, match="the cloud has 0 points beside 64 that are NaN"):
        sees.logits(points * np.nan)


def bad(change) -> np.ndarray:
    cloud = np.random.default_rng(0).normal(size=(20, 3))
    return change(cloud)


@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        (np.zeros((7, 3)) + np.arange(7)[:, None], "the cloud has 7 points, but a cloud needs 8"),
        (np.zeros((0, 3)), "the cloud has 0 points"),
        (np.ones((20, 2)), r"shape \(20, 2\)"),
        (np.ones((20, 6)), r"shape \(20, 6\)"),
        (np.ones((1, 20, 3)), r"shape \(1, 20, 3\)"),
        (np.ones(60), r"shape \(60,\)"),
        (3.0, r"shape \(\)"),
        (bad(lambda c: np.where(c == c[4], np.nan, c)), "NaN or infinite"),
        (bad(lambda c: np.where(c == c[0], np.inf, c)), "NaN or infinite"),
        (np.full((20, 3), 5.0), "the cloud has 20 points that are all the same"),
        (5e6 + np.full((20, 3), 1e-300), "the cloud has 20 points that are all the same"),
        ([["a", "b", "c"]] * 20, "array of numbers"),
        ([[1, 2, 3], [1, 2]] * 10, "array of numbers"),
        ([None] * 20, "array of numbers|shape"),
        (bad(lambda c: c * 1e200), "NaN or infinite"),
        (bad(lambda c: c.T), r"shape \(3, 20\) was given; .*: transpose it, points.T"),
        (bad(lambda c: c + 1j), "array of numbers, not of complex128"),
        (bad(lambda c: c > 0), "array of numbers, not of bool"),
        (bad(lambda c: np.r_[c + 5e6, np.zeros((1, 3))]), "outliers, 1 at most"),
    ],
)
def test_what_is_no_cloud(classifier, cloud, said):
    with pytest.raises(DataError, match=said) as caught:
        classifier.predict(cloud)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("top", [0, -1])
def test_a_top_of_none_is_refused(classifier, points, top, cli, student_onnx, solids):
    with pytest.raises(UsageError, match=f"top is {top}; choose 1 or more"):
        classifier.predict(points, top=top)
    code, out, err = cli("predict", student_onnx, solids / "rod" / "00.npy", "--top", top)
    assert (code, out) == (2, "")
    assert f"top is {top}" in err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(classifier, points, monkeypatch, value):
    monkeypatch.setattr(Classifier, "_run", lambda *_: np.array([0, value, 1], np.float32))
    with pytest.raises(PointstillError, match="NaN or infinite logits"):
        classifier.predict(points)


@pytest.mark.parametrize("content", [None, b"", b"text", "truncated"])
def test_what_is_no_student(student_onnx, tmp_path, content):
    path = tmp_path / "student.onnx"
    if content is not None:
        whole = student_onnx.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "truncated" else content)
    with pytest.raises(PointstillError, match="`pointstill export`") as caught:
        Classifier(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_student(tmp_path):
    with pytest.raises(PointstillError, match="no student at"):
        Classifier(tmp_path)


def test_a_student_that_may_not_be_read_is_not_called_damaged(
    student_onnx, public_path, unprivileged
):
    from pointstill.teachers.onnx_file import OnnxNetwork

    path = Path(shutil.copy(student_onnx, public_path))
    path.chmod(0)
    for door, error in ((Classifier, PointstillError), (OnnxNetwork, TeacherError)):
        with unprivileged(), pytest.raises(error) as caught:
            door(path)
        assert (
            str(caught.value) == f"{path} cannot be read (Permission denied): mend its permissions"
        )


def test_an_onnx_file_of_someone_else(student_onnx, tmp_path):
    import onnx

    proto = onnx.load(student_onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(PointstillError, match="is no student of pointstill"):
        Classifier(tmp_path / "other.onnx")


def test_predict_leaves_torch_out(student_onnx, solids, tmp_path):
    """The command, to the end, on a machine that may not have PyTorch."""
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "zarr", "lightning_fabric", "onnx", "scipy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from pointstill.__main__ import run
code = run(sys.argv[1:])
assert "torch" not in sys.modules
assert "onnxruntime" in sys.modules
sys.exit(code)
"""
    files = [str(solids / "rod" / "00.npy"), str(tmp_path / "holes.npy")]
    np.save(files[1], np.insert(np.load(files[0]), 3, np.nan, axis=0))
    command = [sys.executable, "-c", program, "predict", str(student_onnx), *files, "--top", "2"]
    command += ["--drop-missing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == files
    assert all(line.count("%") == 2 for line in lines)
    assert done.stderr == ""
