"""Where tensors live and how many threads work on them."""

import os

import torch

from .errors import UsageError

MOST = 4
"""Threads a CPU at most: more are never of use, and far more end the process inside torch."""


def pick_device(name: str) -> torch.device:
    """A device by name: auto, cpu, cuda, cuda:1, mps.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} is not to be had here: choose auto or cpu") from error
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """A precision: as named, or bf16-mixed where the GPU computes in it, else 32-true."""
    if name != "auto":
        return name
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if fast else "32-true"


def set_threads(count: int) -> None:
    """Let torch use `count` CPU threads; 0 leaves its own choice.

    Raises:
        UsageError: a negative count, or more than `MOST` for each CPU.
    """
    if count < 0:
        raise UsageError(f"threads is {count}; choose 0 or more")
    cpus = os.cpu_count() or 1
    if count > MOST * cpus:
        raise UsageError(f"threads is {count} on {cpus} CPUs; choose {MOST * cpus} or fewer")
    if count:
        torch.set_num_threads(count)
