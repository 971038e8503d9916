"""What ONNX has as one node, and torch's exporter writes as several: a small graph is all nodes."""

import torch
from torch import Tensor


def divided(values: Tensor, by: int) -> Tensor:
    """`values // by` of int64 that are not negative: the exporter's way minds those that are."""
    if torch.onnx.is_in_onnx_export():
        given = values, torch.tensor(by)
        return torch.onnx.ops.symbolic("Div", given, dtype=values.dtype, shape=values.shape)
    return values // by


def rows(tables: Tensor, places: Tensor) -> Tensor:
    """A row of each table: (B, n, C), int64 (B, 1, 1) -> (B, 1, C)."""
    batch, _, channels = tables.shape
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            "GatherND",
            (tables, places),
            {"batch_dims": 1},
            dtype=tables.dtype,
            shape=(batch, 1, channels),
        )
    start = torch.arange(batch, device=places.device) * tables.shape[1]
    places = start[:, None] + places[..., 0]
    return tables.reshape(-1, channels).index_select(0, places.flatten()).view(batch, 1, channels)
