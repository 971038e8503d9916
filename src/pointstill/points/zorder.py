"""A space-filling curve through a cloud: an order of points, however they came."""

import torch
from torch import Tensor

BITS = 10
"""Binary digits of a coordinate."""
SIDE = 4.0
"""Of the cube that the curve fills, about the origin: a cloud in the unit sphere, also one that was
scaled and shifted, has room in it. As it is fixed, a part of a cloud is in the order of the whole.
"""
SPREAD = [sum((i >> b & 1) << 3 * b for b in range(BITS)) for i in range(1 << BITS)]
"""Each number below 1,024 with two zeros put before every digit."""


def along_curve(points: Tensor, kept: Tensor | None = None) -> Tensor:
    """Indices that put points in the order of a Z-order curve: (B, N, 3) -> (B, N).

    Neighbours on the curve are near in space, so equal strides along it run all over a shape.
    (Morton 1966: the digits of the three coordinates, interleaved.) Only points in the same cell
    keep the order in which they came; those outside the cube count as on its faces. Plain tensor
    operations, for export; no gradient flows.

    With `kept` (B, N), points that are not come last.
    """
    cells = ((points / SIDE + 0.5) * 2**BITS).clamp(0, 2**BITS - 1).to(torch.int64)
    # Places have 30 digits: some runtimes count in 32, whatever a graph says.
    table = torch.tensor(SPREAD, dtype=torch.int32, device=points.device)
    # As rows of a table, since ONNX Runtime takes seven times as long over `table[cells]`.
    spread = table.index_select(0, cells.flatten()).view(cells.shape)
    places = 4 * spread[..., 0] + 2 * spread[..., 1] + spread[..., 2]
    if kept is not None:
        places = torch.where(kept, places, 8**BITS)
    if torch.onnx.is_in_onnx_export():
        # A stable sort is not exported, and a plain one becomes TopK, which is stable by its
        # definition: of equal values, that with the lower index comes first.
        return places.argsort(1)
    return places.argsort(dim=1, stable=True)
