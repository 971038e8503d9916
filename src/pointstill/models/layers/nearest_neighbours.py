"""Nearest neighbours and gathers in operations that autograd and ONNX take.

Rows are gathered with one flat `index_select` on a (B*N, C) view: whole contiguous feature vectors
are copied, which on a CPU is many times faster than `torch.gather` or indexing with a tensor.
"""

import numpy as np
import torch
from torch import Tensor

FAR = 1e9
"""A squared distance larger than any."""


def k_nearest(queries: Tensor, points: Tensor, k: int, without: Tensor | None = None) -> Tensor:
    """Indices of the k nearest points of each query: (B, M, C), (B, N, C) -> (B, M, k).

    They come in no order. A query that is one of the points has itself among them. Needs k <= N.
    Points `without` (B, N) are taken where there are no others. No gradient flows.
    """
    keys = _keys(queries, points, without)
    eager = not (tracing() or torch.compiler.is_compiling())
    if not eager or keys.device.type != "cpu" or keys.dtype not in (torch.float32, torch.float64):
        return keys.topk(k, largest=False, sorted=False).indices
    # NumPy's partition takes a third of the time of topk.
    return torch.from_numpy(np.argpartition(keys.numpy(), k - 1)[..., :k].copy())


def tracing() -> bool:
    """Whether operations are recorded by torch.jit.trace, which sees those of torch alone."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def within_radius(queries: Tensor, points: Tensor, radius: float) -> Tensor:
    """Which points are no farther than `radius`: (B, M, C), (B, N, C) -> bool (B, M, N)."""
    squares = queries.detach().square().sum(-1, keepdim=True)
    return _keys(queries, points) <= radius**2 - squares


def _keys(queries: Tensor, points: Tensor, without: Tensor | None = None) -> Tensor:
    """|p|^2 - 2 q.p: |q - p|^2 without |q|^2, which does not change a query's order: (B, M, N).

    Points `without` (B, N) have `FAR` in place of |p|^2.
    """
    if torch.is_autocast_enabled(points.device.type):  # bfloat16 confuses close neighbours
        with torch.autocast(points.device.type, enabled=False):
            return _keys(queries.float(), points.float(), without)
    with torch.no_grad():
        # As a single product, [-2 q, 1] . [p, |p|^2]: adding |p|^2 afterwards would pass over all
        # pairs once more.
        left = torch.cat([-2 * queries, torch.ones_like(queries[..., :1])], -1)
        squares = points.square().sum(-1, keepdim=True)
        if without is not None:
            squares = squares.masked_fill(without[..., None], FAR)
        right = torch.cat([points, squares], -1)
        return left @ right.transpose(-1, -2)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Feature vectors by index, each cloud in its own: (B, N, C), (B, ...) -> (B, ..., C)."""
    batch, n, channels = values.shape
    first = torch.arange(batch, device=index.device) * n  # (B,), where each cloud starts
    flat = index + first.view(-1, *(1 for _ in index.shape[1:]))
    rows = values.reshape(batch * n, channels).index_select(0, flat.flatten())
    return rows.view(*index.shape, channels)


def rows(tables: Tensor, places: Tensor) -> Tensor:
    """A row of each table: (B, n, C), int64 (B, 1, 1) -> (B, 1, C); in a graph a single node."""
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            "GatherND",
            (tables, places),
            {"batch_dims": 1},
            dtype=tables.dtype,
            shape=(tables.shape[0], 1, tables.shape[2]),
        )
    return gather(tables, places[..., 0])
