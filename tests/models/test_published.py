"""Every published architecture against outputs of its original code, loaded as a user's file is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import Reference

from pointstill.teachers import load_teacher

State = dict[str, torch.Tensor]


def parallel(state: State) -> State:
    """As nn.DataParallel names it."""
    return {f"module.{key}": value for key, value in state.items()}


PUBLISHED: dict[str, tuple[str, Callable[[State], dict[str, Any]]]] = {
    "pointnet2-ssg": ("pointnet2_cls_ssg", lambda s: {"epoch": 3, "model_state_dict": s}),
    "dgcnn": ("dgcnn_cls", parallel),
    "pointmlp": ("pointmlp", lambda s: {"net": parallel(s), "acc": 94.0, "epoch": 3}),
    "pointmlp-elite": ("pointmlp_elite", lambda s: {"net": parallel(s), "acc": 93.0}),
    "point-mae": ("point_mae_cls", lambda s: {"base_model": s, "epoch": 3}),
    "pointnext-s": ("pointnext_s_c64", lambda s: {"model": s, "optimizer": {}, "epoch": 3}),
    "pointnext-s-c32": ("pointnext_s_c32", lambda s: {"model": parallel(s)}),
}
"""Model: name of its reference, and the checkpoint that its authors make of a state dict."""


NAMES = [
    # The full PointMLP takes seconds, and is the code of the elite one.
    pytest.param(name, marks=pytest.mark.slow) if name == "pointmlp" else name
    for name in PUBLISHED
]


@pytest.mark.parametrize("name", NAMES)
def test_reproduces_the_original(
    name: str, reference: Callable[[str], Reference], tmp_path: Path
) -> None:
    key, checkpoint = PUBLISHED[name]
    original = reference(key)
    file = tmp_path / "published.pth"
    torch.save(checkpoint(original.state()), file)
    teacher = load_teacher(name, weights=file, classes=[str(i) for i in range(40)])
    assert teacher.parameters == original.notes["parameters"]

    expected = original.outputs["logits64"]
    log_softmax = name == "pointnet2-ssg"  # that is what the original returns
    single = teacher.logits(original.points)
    with torch.inference_mode():
        double = teacher.network.module.double()(original.points.double())
    if log_softmax:
        single, double = single.log_softmax(1), double.log_softmax(1)
    tolerance = original.tolerance("logits")
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=tolerance)
    tolerance = (1e-8 if name.startswith("pointmlp") else 1e-9) * np.abs(expected).max()
    np.testing.assert_allclose(double.numpy(), expected, rtol=0, atol=tolerance)
