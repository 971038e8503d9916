"""The C++ example answers as `Classifier` does; built where `make cpp` has brought headers."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from pointstill import Classifier
from pointstill.deployment.runtime import UNKNOWN
from pointstill.storage.calibration import Calibration, Typical
from pointstill.storage.digests import seal
from pointstill.storage.student_file import write_about
from solid_clouds import solid

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "build/onnxruntime"
STORED = ROOT / "tests/stored/nwsd.onnx"
TYPICAL = Typical(
    means=((1.0, -1.0, -1.5), (-1.0, 1.5, -0.5), (-1.0, -0.5, 2.0)),
    whitening=((1.5,), (-0.5, 2.0), (0.25, 0.5, 1.0)),
    energy=(1.0, 0.08),
    distance=(2.0, 4.0),
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    if not (RUNTIME / "include").is_dir() or not shutil.which("cmake"):
        pytest.skip("no headers of ONNX Runtime, or no cmake: `make cpp` brings the headers")
    build = tmp_path_factory.mktemp("build")
    for command in (
        ["cmake", "-S", ROOT / "examples/cpp", "-B", build, f"-DONNXRUNTIME_ROOT={RUNTIME}"],
        ["cmake", "--build", build],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stdout + done.stderr
    return build / "classify"


def calibrated(path: Path, **calibration: object) -> Path:
    """A student with a temperature, and whatever else."""
    proto = onnx.load(STORED)
    about = json.loads({each.key: each.value for each in proto.metadata_props}["pointstill"])
    about["calibration"] = {"temperature": 1.7, **calibration}
    onnx.helper.set_model_props(proto, write_about(about))
    path.write_bytes(seal(proto.SerializeToString()))
    return path


def clouds() -> dict[str, np.ndarray]:
    found = {
        f"{name} of {count}": solid(name, count, count).astype(float)
        for name in ("ball", "box", "rod")
        for count in (8, 31, 500, 5_000)
    }
    found["utm"] = solid("box", 400, 1) + np.array([500_000.25, 4_649_776.5, 312.125])
    found["strays"] = np.concatenate([solid("rod", 300, 2), [[40, 0, 0], [0, -90, 3]]])
    found["a small one"] = solid("ball", 200, 3) * 1e-3
    return found


@pytest.mark.filterwarnings("ignore:the cloud has 8 points")
@pytest.mark.parametrize(("rejects", "typical"), [(False, None), (True, None), (True, TYPICAL)])
def test_the_same_answers(classify, tmp_path, rejects, typical):
    logits = np.stack([Classifier(STORED).logits(cloud) for cloud in clouds().values()])
    scores = Calibration(typical=typical).score(logits)
    kept = {"threshold": float(np.median(scores)) - 1e-3 if rejects else None}
    if typical:
        kept |= {"typical": asdict(typical)}
    student = calibrated(tmp_path / "student.onnx", **kept)
    classifier = Classifier(student)
    assert classifier.calibration.typical == typical
    seen = set()
    for name, cloud in clouds().items():
        file = tmp_path / "cloud.xyz"
        lines = [" ".join(map(repr, point)) for point in cloud.tolist()]
        file.write_text("# x y z\n\n" + "\n".join(lines) + "\n")
        done = subprocess.run([classify, student, file], capture_output=True, text=True, check=True)
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        answer = classifier.predict(cloud, reject=rejects)
        known = answer[0][0] != UNKNOWN
        assert [row[0] for row in rows] == [label for label, _ in answer[not known :]], name
        found, wanted = [float(row[1]) for row in rows], [p for _, p in answer[not known :]]
        np.testing.assert_allclose(found, wanted, atol=2e-6, err_msg=name)
        assert {row[2] for row in rows} == {"known" if known else "unknown"}, name
        assert ("fewer than half" in done.stderr) == (len(cloud) < classifier.fewest / 2), name
        seen.add(known)
    assert seen == ({True, False} if rejects else {True})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1 2 3\n" * 7, "has fewer than 8 points"),
        ("1 2 3\n" * 9, "has points that are all the same"),
        ("1 2 3\n4 5\n" * 9, "has no three numbers in line 2"),
        ("1 2 3\n4 5 1e999\n" * 9, "line 2"),
        ("0 0 0\n3e38 0 0\n9e307 1 1\n" * 9, "has NaN or infinite coordinates"),
    ],
)
def test_what_is_no_cloud_is_refused(classify, tmp_path, text, what):
    (tmp_path / "cloud.xyz").write_text(text)
    done = subprocess.run(
        [classify, STORED, tmp_path / "cloud.xyz"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path}/cloud.xyz ")
    assert what in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_no_student_is_refused(classify, tmp_path):
    (tmp_path / "cloud.xyz").write_text("1 2 3\n4 5 6\n" * 9)
    proto = onnx.load(STORED)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    for student, what in (("other.onnx", "is no student"), ("none.onnx", "")):
        command = [classify, tmp_path / student, tmp_path / "cloud.xyz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {tmp_path}/{student} {what}")
    assert subprocess.run([classify], capture_output=True, check=False).returncode == 2
