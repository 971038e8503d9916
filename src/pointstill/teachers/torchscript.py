"""A teacher in a TorchScript file (`torch.jit.save`)."""

import warnings
from pathlib import Path

import torch

from .file_kind import FileKind, archive_names, damaged, sha256
from .network import Loaded
from .torch_module import TorchNetwork


def is_torchscript(path: Path) -> bool:
    """Whether it is an archive with code in it."""
    names = [name.partition("/")[2] for name in archive_names(path)]
    return "constants.pkl" in names or any(name.startswith("code/") for name in names)


def load_torchscript(path: Path, device: torch.device, channels: int = 3) -> Loaded:
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
    file = f"torchscript {sha256(path)}".encode()
    return Loaded(TorchNetwork(module.eval(), device, file=file))


TORCHSCRIPT = FileKind((".pt", ".ts", ".torchscript"), is_torchscript, load_torchscript)
