"""The classifier of small machines: one file, any cloud, NumPy and ONNX Runtime alone."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from pointstill.deployment.runtime import (
    Classifier,
    CloudClassifier,
    SparseCloudWarning,
    near_origin,
)
from pointstill.errors import DataError, PointstillError, TeacherError, UsageError
from pointstill.storage.digests import seal
from pointstill.storage.student_file import BLANK


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


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[::-1][::-1],
        lambda c: np.repeat(c, 2, axis=0)[::2],
        lambda c: c.astype(">f4"),
        lambda c: c.astype(np.longdouble),
        lambda c: np.asmatrix(c),
        lambda c: torch.from_numpy(c),
        lambda c: [tuple(point) for point in c.tolist()],
        lambda c: list(c),
        lambda c: np.ma.array(c),
        lambda c: np.ma.array(c, mask=False),
        lambda c: np.rec.fromarrays(c.T, names="x,y,z"),
        lambda c: np.rec.fromarrays([*c.T[::-1], c[:, 0]], names="z,y,x,intensity"),
        lambda c: np.rec.fromarrays(c.T, names="X,Y,Z").reshape(8, 8),
    ],
)
def test_the_same_points_however_they_are_kept(classifier, points, change):
    np.testing.assert_array_equal(classifier.logits(change(points)), classifier.logits(points))


def test_memory_maps(classifier, points, tmp_path):
    np.save(tmp_path / "a.npy", points)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(classifier.logits(mapped), classifier.logits(points))


def test_half_precision(classifier, points):
    half = points.astype(np.float16)
    expected = classifier.logits(half.astype(np.float64))
    np.testing.assert_array_equal(classifier.logits(half), expected)


class Table:
    """What a data frame is to whoever takes its columns by name."""

    def __init__(self, **columns: np.ndarray):
        self.values, self.columns = columns, list(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.stack(list(self.values.values()), axis=1)


def test_tables(classifier, points):
    expected = classifier.logits(points)
    x, y, z = points.T
    for table in (Table(x=x, y=y, z=z), Table(Z=z, X=x, Y=y), Table(time=x, z=z, y=y, x=x)):
        np.testing.assert_array_equal(classifier.logits(table), expected)
    np.testing.assert_array_equal(classifier.logits(Table(a=x, b=y, c=z)), expected)
    with pytest.raises(DataError, match=r"shape \(64, 4\)"):
        classifier.logits(Table(a=x, b=y, c=z, d=z))


def test_a_mask_is_honoured(classifier, points):
    expected = classifier.logits(points)
    holes = np.insert(points, (0, 9, 64), np.nan, axis=0)
    mask = np.zeros(holes.shape, bool)
    mask[[0, 10], 1] = mask[66] = True  # one coordinate is enough
    masked = np.ma.array(holes, mask=mask)
    np.testing.assert_array_equal(classifier.logits(masked), expected)
    np.testing.assert_array_equal(classifier.logits(list(masked)), expected)
    fields = np.ma.array(np.rec.fromarrays(holes.T, names="x,y,z"), mask=mask[:, 1])
    np.testing.assert_array_equal(classifier.logits(fields), expected)
    with pytest.raises(DataError, match="the cloud has 64 points, all masked: give one with"):
        classifier.logits(np.ma.array(points, mask=True))
    most = np.ma.array(points, mask=np.repeat(np.arange(64) > 3, 3).reshape(64, 3))
    with pytest.raises(DataError, match="the cloud has 4 points, but a cloud needs 8"):
        classifier.logits(most)


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
        (None, "a cloud of object was given: give an .n, 3. array of numbers"),
        (b"0 0 0\n1 1 1", "a cloud of .S11 was given"),
        ("scan.ply", "a cloud of <U8 was given"),
        (object(), "a cloud of object was given"),
        ({"x": [1] * 20}, "the cloud has no y and no z, but x: give an .n, 3. array"),
        (iter([[1, 2, 3]] * 20), "a cloud of object was given"),
        (np.zeros(20, "M8[s]"), "a cloud of datetime64.s. was given"),
        (np.zeros((20, 3), object), "a cloud of object was given"),
        (np.zeros(20, "f4, f4, f4"), "a cloud of the fields f0, f1, f2 was given"),
        (np.zeros(20, [("x", "f4"), ("y", "f4")]), "a cloud of the fields x, y was given"),
        (np.zeros(20, [(axis, "U3") for axis in "xyz"]), "the cloud has x as <U3: give numb"),
        (torch.ones(20, 3, requires_grad=True), "a cloud cannot be read .Can't call numpy"),
        (torch.ones(20, 3, dtype=torch.bfloat16), "a cloud cannot be read .*BFloat16"),
        (torch.ones(20, 3).to_sparse(), "a cloud cannot be read"),
        (bad(lambda c: c * 1e200), "NaN or infinite"),
        (bad(lambda c: c.T), r"shape \(3, 20\) was given; .*: transpose it, points.T"),
        (bad(lambda c: c + 1j), "a cloud of complex128 was given: give an .n, 3. array of numbers"),
        (bad(lambda c: c > 0), "a cloud of bool was given: give an .n, 3. array of numbers"),
        (bad(lambda c: np.r_[c + 5e6, np.zeros((5, 3))]), "half of its points within"),
    ],
)
def test_what_is_no_cloud(classifier, cloud, said):
    with pytest.raises(DataError, match=said) as caught:
        classifier.predict(cloud)
    assert "\n" not in str(caught.value)


def test_copies(student_onnx, points, tmp_path):
    """Also of a file that is not there any more, or is another one."""
    path = Path(shutil.copy(student_onnx, tmp_path))
    holes = np.insert(points, 0, np.nan, axis=0)
    first = Classifier(path, threads=2, drop_missing=True)
    path.write_bytes(b"something else")
    for same in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        np.testing.assert_array_equal(same.logits(holes), first.logits(points))
        assert same.about == first.about
        assert same.classes == first.classes


@pytest.mark.parametrize("threads", [1, 2])
def test_after_a_fork(student_onnx, points, threads, tmp_path):
    """In a process of its own: pytest has threads, which forks do not like."""
    program = """
import os, sys
import numpy as np
from pointstill import Classifier
classifier, points = Classifier(sys.argv[1], threads=int(sys.argv[3])), np.load(sys.argv[2])
expected = classifier.logits(points)
for _ in range(2):
    child = os.fork()
    if child == 0:
        same = np.abs(classifier.logits(points) - expected).max() < 1e-5
        os._exit(0 if same else 3)
    assert os.waitpid(child, 0)[1] == 0
assert np.abs(classifier.logits(points) - expected).max() < 1e-5
"""
    np.save(file := tmp_path / "fork.npy", points)
    command = [sys.executable, "-c", program, student_onnx, file, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("threads", [1.5, -1, True, None, "2", 2**40, np.float64(2)])
def test_threads_that_are_no_number_of_them(student_onnx, threads):
    with pytest.raises(UsageError, match=r"^threads is .*: choose 0 to 1,024$"):
        Classifier(student_onnx, threads=threads)


@pytest.mark.parametrize("threads", [0, np.int64(2)])
def test_other_numbers_of_threads(student_onnx, classifier, points, threads):
    found = Classifier(student_onnx, threads=threads).logits(points)
    np.testing.assert_allclose(found, classifier.logits(points), atol=1e-5)


@pytest.mark.parametrize("path", [None, 3, ["student.onnx"]])
def test_what_is_no_path(path):
    with pytest.raises(UsageError, match="a student is named by a path, not by") as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)


class Fixed(CloudClassifier):
    """One that learned from clouds of 64 points, and has its answer ready."""

    def __init__(self, logits=(0.0, 1.0), **about: int):
        super().__init__(
            {"classes": ["a", "b"], "points": 64, "up": "z"} | about, drop_missing=True
        )
        self.ready = np.array(logits, np.float32)

    def _run(self, cloud: np.ndarray) -> np.ndarray:
        return self.ready


@pytest.mark.parametrize(
    ("about", "count", "warned"),
    [
        ({}, 31, True),
        ({}, 32, False),
        ({}, 8, True),
        ({}, 5000, False),
        ({"fewest": 16}, 8, False),
        ({"points": 1024, "fewest": 40}, 20, False),
        ({"points": 1024, "fewest": 40}, 19, True),
    ],
)
def test_clouds_of_few_points_are_warned_of(about, count, warned):
    cloud = np.random.default_rng(0).normal(size=(count, 3))
    holed = np.concatenate([cloud, np.full((100, 3), np.nan)])  # missing points do not count
    for given in (cloud, holed):
        for ask in (Fixed(**about).logits, Fixed(**about).predict):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                ask(given)
            assert [each.category for each in said] == [SparseCloudWarning] * warned
            if warned:
                assert said[0].filename == __file__
                assert f"has {count} points, fewer than half of the " in str(said[0].message)


@pytest.mark.parametrize("logits", [(1.0,), (1.0, 2.0, 3.0), ((1.0, 2.0),)])
def test_another_number_of_logits_than_classes_is_an_error(logits, points):
    with pytest.raises(PointstillError, match=r"logits of shape .* and has 2 classes"):
        Fixed(logits).predict(points)


@pytest.mark.parametrize("top", [1.5, True, None, "3"])
def test_a_top_that_is_no_number(points, top):
    with pytest.raises(UsageError, match=r"top is .*: choose 1 or more"):
        Fixed().predict(points, top=top)


@pytest.mark.parametrize("top", [0, -1])
def test_a_top_of_none_is_refused(classifier, points, top, cli, student_onnx, solids):
    with pytest.raises(UsageError, match=f"top is {top}: choose 1 or more"):
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


def test_what_is_no_file_is_no_student(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (
        tmp_path,
        tmp_path / "pipe",
        Path("/dev/null"),
        Path("/dev/zero"),
        "a\0b",
        "a" * 5000,
    ):
        with pytest.raises(PointstillError, match="is no student: make one with"):
            Classifier(path)


def test_a_newer_format_of_onnx_is_not_called_damaged(student_onnx, tmp_path):
    import onnx

    proto = onnx.load(student_onnx)
    proto.ir_version = 99
    onnx.save(proto, tmp_path / "new.onnx")
    with pytest.raises(PointstillError) as caught:
        Classifier(tmp_path / "new.onnx")
    assert "differs from the SHA-256" in str(caught.value)
    stored = {each.key: each.value for each in proto.metadata_props}
    del stored["pointstill.sha256"]
    onnx.helper.set_model_props(proto, stored)
    onnx.save(proto, tmp_path / "new.onnx")
    with pytest.raises(PointstillError, match=r"version: 99.*: install a newer onnxruntime$"):
        Classifier(tmp_path / "new.onnx")


def test_nothing_is_said_of_a_graph_that_is_refused(student_onnx, tmp_path, capfd):
    """ONNX Runtime would announce a second try, on standard output."""
    import onnx

    proto = onnx.load(student_onnx)
    proto.graph.node[0].op_type = "Nonsense"
    stored = {each.key: each.value for each in proto.metadata_props}
    onnx.helper.set_model_props(proto, {**stored, "pointstill.sha256": BLANK})
    (tmp_path / "odd.onnx").write_bytes(seal(proto.SerializeToString()))
    with pytest.raises(PointstillError, match="cannot be opened"):
        Classifier(tmp_path / "odd.onnx")
    assert capfd.readouterr() == ("", "")


def test_weights_in_another_file_are_refused(student_onnx, tmp_path):
    import onnx

    path = tmp_path / "student.onnx"
    proto = onnx.load(student_onnx)
    onnx.save(proto, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(PointstillError, match="keeps tensors in another file"):
        Classifier(path)


def test_a_student_that_may_not_be_read_is_not_called_damaged(
    student_onnx, public_path, unprivileged
):
    from pointstill.teachers.onnx_file import OnnxNetwork

    path = Path(shutil.copy(student_onnx, public_path))
    path.chmod(0)
    for door, error in ((Classifier, PointstillError), (OnnxNetwork, TeacherError)):
        with unprivileged(), pytest.raises(error) as caught:
            door(path)
        assert str(caught.value) == (
            f"{path} cannot be read (Permission denied): mend its permissions; nothing says that "
            "it is damaged"
        )


def test_an_onnx_file_of_someone_else(student_onnx, tmp_path):
    import onnx

    proto = onnx.load(student_onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(PointstillError, match=r"is no student of pointstill.* has no metadata"):
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
    command += ["--drop-missing", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[1:]
    assert [line.partition(",")[0] for line in lines] == files
    assert done.stderr == ""


def changed(student: Path, out: Path, change) -> Path:
    """A student whose graph was changed, sealed again."""
    import onnx

    proto = onnx.load(student)
    change(proto.graph)
    stored = {each.key: each.value for each in proto.metadata_props}
    onnx.helper.set_model_props(proto, {**stored, "pointstill.sha256": BLANK})
    out.write_bytes(seal(proto.SerializeToString()))
    return out


def test_a_graph_takes_no_more_memory_than_it_may(student_onnx, tmp_path, points):
    """A file of some kilobytes may ask for any number of bytes."""
    import onnx

    def swell(graph) -> None:
        (last,) = (node for node in graph.node if "logits" in node.output)
        last.output[:] = ["small"]
        graph.initializer.extend(
            [
                onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nought"),
                onnx.numpy_helper.from_array(np.array([10**9]), "many"),
            ]
        )
        graph.node.extend(
            [
                onnx.helper.make_node("Expand", ["nought", "many"], ["large"]),
                onnx.helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
                onnx.helper.make_node("Add", ["small", "total"], ["logits"]),
            ]
        )

    file = changed(student_onnx, tmp_path / "large.onnx", swell)
    with pytest.raises(PointstillError, match=r"ONNX Runtime (fails|cannot)|cannot be opened"):
        Classifier(file).logits(points)


@pytest.mark.parametrize("operator", ["Loop", "Scan", "SequenceMap"])
def test_loops_are_refused_before_anything_opens_them(student_onnx, tmp_path, operator):
    def repeat(graph) -> None:
        graph.node[0].op_type = operator

    file = changed(student_onnx, tmp_path / "loop.onnx", repeat)
    with pytest.raises(PointstillError, match="has loops, which no student has"):
        Classifier(file)


def test_a_student_of_old_that_keeps_strays_refuses_far_ones():
    cloud = np.random.default_rng(0).normal((5e5, 5e6, 90), size=(1000, 3))
    first = near_origin(cloud, False, normalization=1)
    np.testing.assert_array_equal(first, near_origin(cloud, False, normalization=2))  # to the bit
    np.testing.assert_array_equal(first, ((cloud - cloud[0]) / 2).astype(np.float32))
    cloud[:3] = 0
    with pytest.raises(DataError, match=r"has 3 strays that stretch it from .* exported again"):
        near_origin(cloud, False, normalization=1)
    body = near_origin(cloud, False, normalization=2)[3:]
    np.testing.assert_allclose(body, (cloud[3:] - cloud[3]) / 2, atol=1e-6)


def test_bytes_are_a_student(student_onnx, points):
    content = student_onnx.read_bytes()
    for same in (content, bytearray(content), memoryview(content)):
        opened = pickle.loads(pickle.dumps(Classifier(same)))
        np.testing.assert_array_equal(
            opened.logits(points), Classifier(student_onnx).logits(points)
        )
    with pytest.raises(
        PointstillError, match=r"^the student is no student of pointstill, or is dam"
    ):
        Classifier(b"student.onnx")


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_many_clouds_of_any_sizes(classifier, solids, threads):
    clouds = [np.load(path) for path in sorted(solids.glob("*/*.npy"))]
    found = classifier.predict_many(iter(clouds), top=2, threads=threads)
    assert found == [classifier.predict(cloud, top=2) for cloud in clouds]
    assert classifier.predict_many([]) == []


def test_many_clouds_are_taken_as_they_are_needed(classifier, points, monkeypatch):
    taken, seen, run = [], [], Classifier._run

    def clouds():
        for number in range(50):
            taken.append(number)
            yield points

    def counted(self, cloud):
        seen.append(len(taken))
        return run(self, cloud)

    monkeypatch.setattr(Classifier, "_run", counted)
    assert len(classifier.predict_many(clouds(), threads=2)) == 50
    assert all(ahead - number <= 6 for number, ahead in enumerate(seen))
    with pytest.raises(DataError, match=r"^cloud 1 has 3 points, but a cloud needs 8"):
        classifier.predict_many([points, points[:3]])
    with pytest.raises(DataError, match=r"^cloud 0: a cloud of shape \(64, 2\) was given"):
        classifier.predict_many([points[:, :2]])
    with pytest.raises(UsageError, match="threads is 0: choose 1 to 1,024"):
        classifier.predict_many([points], threads=0)


def test_many_clouds_warn_whoever_asked():
    cloud = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.warns(SparseCloudWarning) as said:
        Fixed().predict_many([cloud])
    assert [each.filename for each in said] == [__file__]
