"""What ONNX has as one node, and torch's exporter writes as several: a small graph is all nodes."""

import torch
from torch import Tensor


def divided(values: Tensor, by: int) -> Tensor:
    """`values // by` of int64 that are not negative: the exporter's way minds those that are."""
    if torch.onnx.is_in_onnx_export():
        given = values, torch.tensor(by)
        return torch.onnx.ops.symbolic("Div", given, dtype=values.dtype, shape=values.shape)
    return values // by
