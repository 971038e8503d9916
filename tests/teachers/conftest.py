"""Teachers in files: the same small network, `toys.moments`, in every format."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import toys
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor


@pytest.fixture
def points() -> Tensor:
    return torch.rand(3, 50, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def expected(points: Tensor) -> Tensor:
    with torch.inference_mode():
        return toys.moments()(points)


def write_torchscript(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(toys.moments()).save(str(path))
    return path


def write_exported(path: Path, batch: int | None = None, points: int | None = None) -> Path:
    """A program of torch.export; sizes that are None are free."""
    sizes = {0: batch, 1: points}
    free = {at: torch.export.Dim(f"size{at}") for at, size in sizes.items() if size is None}
    example = torch.rand(batch or 2, points or 64, 3)
    program = torch.export.export(toys.moments(), (example,), dynamic_shapes={"points": free})
    torch.export.save(program, path)
    return path


def write_onnx(
    path: Path, batch: int | None = None, points: int | None = None, transposed: bool = False
) -> Path:
    """The graph of `toys.Moments` node by node; its input (B, N, 3), or (B, 3, N) transposed."""
    linear, axis = toys.moments().linear, 2 if transposed else 1
    arrays = {
        "weight": linear.weight.detach().numpy(),
        "bias": linear.bias.detach().numpy(),
        "axis": np.array([axis], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["points", "points"], ["squares"]),
        helper.make_node("ReduceMean", ["points", "axis"], ["mean"], keepdims=0),
        helper.make_node("ReduceMean", ["squares", "axis"], ["meansquare"], keepdims=0),
        helper.make_node("Concat", ["mean", "meansquare"], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "weight", "bias"], ["logits"], transB=1),
    ]
    shape = [batch or "batch", points or "n", 3]
    graph = helper.make_graph(
        nodes,
        "moments",
        [
            helper.make_tensor_value_info(
                "points", TensorProto.FLOAT, [shape[i] for i in (0, 2, 1)] if transposed else shape
            )
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch or "batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def in_file(tmp_path: Path) -> Callable[..., Path]:
    """`in_file("onnx", batch=1)` writes `toys.moments` in that format."""

    def write(kind: str, **sizes) -> Path:
        writers = {"pt": write_torchscript, "pt2": write_exported, "onnx": write_onnx}
        name = "-".join(str(size) for size in sizes.values())
        return writers[kind](tmp_path / f"model{name}.{kind}", **sizes)

    return write
