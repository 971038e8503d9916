"""What every kind of file with a network in it brings: see `FILE_KINDS` in `resolve`."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import TeacherError, one_line
from ..storage.files import forbidden
from .network import Loaded


@dataclass(frozen=True)
class FileKind:
    """A way in: how files of a kind are told and loaded."""

    suffixes: tuple[str, ...]
    """What such files are usually called: a name that ends so is meant to be a file."""
    matches: Callable[[Path], bool]
    """Whether a file is of this kind, by its content where that tells."""
    load: Callable[[Path, torch.device, int], Loaded]
    """Its network, on a device, for data of so many numbers a point."""


def archive_names(path: Path) -> list[str]:
    """Names in a zip archive, as torch writes them; none in a file that is something else.

    Raises:
        TeacherError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
    except PermissionError as error:
        raise forbidden(path, error, TeacherError) from error
    except OSError as error:
        raise TeacherError(
            f"cannot be read ({error.strerror})", where=path, fix="see that its disk is well"
        ) from error


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path, kind: str, error: Exception, fix: str) -> TeacherError:
    """An archive that cannot be used, in one line; where it is damaged, in no library's words."""
    try:
        with zipfile.ZipFile(path) as archive:
            sound = archive.testzip() is None
    except Exception:  # whatever is in there
        sound = False
    why = one_line(error, 200) if sound else "it is cut off or damaged"
    return TeacherError(f"cannot be loaded as {kind} ({why})", where=path, fix=fix)
