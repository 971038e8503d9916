"""A teacher in a TorchScript file (`torch.jit.save`)."""

import warnings
from pathlib import Path

import torch

from .file_kind import damaged, sha256
from .torch_module import TorchNetwork


def load_torchscript(path: Path, device: torch.device) -> TorchNetwork:
    """Load a scripted or traced network.

    Its code is TorchScript, which torch interprets; no Python object is unpickled. Its input is
    not declared: a trace with a number of points or clouds baked in shows in the dry run.

    Raises:
        TeacherError: the file is damaged, or needs operators that are not there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's advice to who writes them
        try:
            module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            fix = "save it again by torch.jit.save, with the torch that is installed"
            raise damaged(path, "TorchScript", error, fix) from error
    module = module.eval()
    return TorchNetwork(module, device, file=f"torchscript {sha256(path)}".encode())
