"""What kind of file a teacher is in, told by its content, not by its name."""

import hashlib
import zipfile
from pathlib import Path
from typing import Literal

from ..errors import TeacherError

Kind = Literal["torchscript", "exported", "onnx", "description", "weights"]

SUFFIXES = (".pt", ".ts", ".torchscript", ".pt2", ".onnx", ".yaml", ".yml")
"""What such files are usually called: a name that ends so is meant to be a file."""


def kind_of(path: Path) -> Kind:
    """Tell a TorchScript archive, a `torch.export` program, ONNX and bare weights apart.

    Raises:
        TeacherError: it cannot be read.
    """
    if is_description(path):
        return "description"
    if path.suffix.lower() == ".onnx":
        return "onnx"  # protobuf has no mark of its own
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            whole = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError):
            raise TeacherError(f"{path} cannot be read ({error.strerror})") from error
        return "weights"  # torch.save before 1.6, safetensors, or nothing that is known
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "torchscript"
    if "archive_format" in names or "serialized_exported_program.json" in whole:
        return "exported"
    return "weights"


def is_description(path: Path) -> bool:
    """Whether it is called as descriptions of teachers are; it need not be there."""
    return path.suffix.lower() in (".yaml", ".yml")


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path, kind: str, error: Exception, fix: str) -> TeacherError:
    """A file that cannot be used, in one line."""
    line = " ".join(str(error).split())[:200]
    return TeacherError(f"{path} cannot be loaded as {kind} ({line}): {fix}")
