"""The maximum over a group, with a gradient that a CPU is quick at."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .nearest_neighbours import tracing


def largest(values: Tensor, dim: int) -> Tensor:
    """`values.amax(dim)`; equal largest values share the gradient equally, as they do there.

    PyTorch counts these as 64-bit integers, which is two fifths of a step of `stillnet-n` on a CPU.
    """
    plain = tracing() or torch.compiler.is_compiling()
    if plain or not (torch.is_grad_enabled() and values.requires_grad):
        return values.amax(dim)
    found: Tensor = _Largest.apply(values, dim)  # type: ignore[no-untyped-call]
    return found


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, dim: int) -> Tensor:
        found = values.amax(dim)
        ctx.save_for_backward(values, found)
        ctx.dim = dim  # type: ignore[attr-defined]
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        values, found = ctx.saved_tensors
        share = torch.empty_like(values, dtype=grad.dtype)
        torch.eq(values, found.unsqueeze(ctx.dim), out=share)  # a bool would be slow to convert
        return share.mul_((grad / share.sum(ctx.dim)).unsqueeze(ctx.dim)), None
