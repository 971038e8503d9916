from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from published import Reference

from pointstill.teachers import load_teacher


def test_reproduces_the_original(reference: Callable[[str], Reference], tmp_path: Path) -> None:
    original = reference("pointnet_cls")
    file = tmp_path / "best_model.pth"
    # As published: weights beside numbers, some of them NumPy's.
    torch.save(
        {"epoch": 3, "instance_acc": np.float64(0.9), "model_state_dict": original.state()}, file
    )
    teacher = load_teacher("pointnet", weights=file, classes=[str(i) for i in range(40)])
    assert teacher.parameters == original.notes["parameters"]

    single = teacher.logits(original.points).log_softmax(1).numpy()
    np.testing.assert_allclose(
        single, original.outputs["logits64"], rtol=0, atol=original.tolerance("logits")
    )
    with torch.inference_mode():
        double = teacher.network.module.double()(original.points.double())
    largest = np.abs(original.outputs["logits64"]).max()
    for ours, key in ((double, "prelogits64"), (double.log_softmax(1), "logits64")):
        np.testing.assert_allclose(ours, original.outputs[key], rtol=0, atol=1e-9 * largest)
