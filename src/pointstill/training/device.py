"""Where tensors live and how many threads work on them."""

import ctypes
import os
from contextlib import suppress

import torch

from ..errors import UsageError

MOST = 4
"""Threads a CPU at most: more are never of use, and far more end the process inside torch."""

# Options of the C library's mallopt, as its malloc.h numbers them.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


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
        raise UsageError(
            f"device {name!r} is not to be had here", fix="choose auto or cpu"
        ) from error
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
        raise UsageError(f"threads is {count}", fix="choose 0 or more")
    cpus = os.cpu_count() or 1
    if count > MOST * cpus:
        raise UsageError(f"threads is {count} on {cpus} CPUs", fix=f"choose {MOST * cpus} or fewer")
    if count:
        torch.set_num_threads(count)


def keep_memory() -> None:
    """Let this process keep the memory that it frees: every step of a training asks for it again.

    Otherwise the C library gives it back to the system after each step, which must clear every page
    anew: a fifth of a step of `stillnet-s` on a CPU. Nothing is done where the C library is not
    glibc.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
