"""An exported student in runtimes that are not ours."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pointstill.data import open_dataset


@pytest.mark.slow
def test_openvino_gives_the_same_answers(student_onnx: Path) -> None:
    """It counts in 32 bits, whatever the graph says: no whole number in it may need more."""
    openvino = pytest.importorskip("openvino", reason=_loudly("openvino is not installed"))
    session = onnxruntime.InferenceSession(student_onnx, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else CPUs with bfloat16 compute in it
    compiled = core.compile_model(core.read_model(student_onnx), "CPU", exact)
    split = open_dataset("primitives").train
    clouds = np.split(split.points, split.offsets[1:-1])[:: len(split) // 100][:100]
    found = np.concatenate([compiled([cloud[None]])[0] for cloud in clouds])
    expected = np.concatenate([session.run(None, {"points": each[None]})[0] for each in clouds])
    assert np.abs(found - expected).max() < 1e-4


def _loudly(reason: str) -> str:
    try:
        import openvino  # noqa: F401
    except ImportError:
        warnings.warn(f"{reason}: other runtimes are not tested", stacklevel=2)
    return reason
