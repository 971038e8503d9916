"""A teacher in a `.pt2` file (`torch.export.save`)."""

import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from ..errors import TeacherError
from .file_kind import FileKind, archive_names, damaged, sha256
from .interface_detection import input_shape
from .network import Loaded
from .torch_module import TorchNetwork

SAVE_AGAIN = "save it again by torch.export.save, with the torch that is installed"


def is_exported(path: Path) -> bool:
    """Whether it is an archive of a program; those of old torch too, to say so."""
    names = archive_names(path)
    new = any(name.partition("/")[2] == "archive_format" for name in names)
    return new or "serialized_exported_program.json" in names


def load_exported(path: Path, device: torch.device, channels: int = 3) -> Loaded:
    """Load an exported program; its declared input says what is fixed.

    The data has `channels` numbers a point, of which it may take the three of xyz alone.

    Raises:
        TeacherError: the file is damaged, holds what would have to be unpickled or native code, or
            its program takes something else than clouds.
    """
    # The file is read once, so that what was looked at is what is loaded.
    content = path.read_bytes()
    refuse_objects(path, content)
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # its trace of every failure
    try:
        program = torch.export.load(io.BytesIO(content))
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
        declared = input_shape(_sizes(program), channels)
        module = program.module()
    except TeacherError as error:
        raise error.but(where=path) from error
    except Exception as error:  # the reader of the format raises all kinds
        raise damaged(path, "a program of torch.export", error, SAVE_AGAIN) from error
    file = f"exported {sha256(path)}".encode()
    return Loaded(TorchNetwork(module, device, *declared, file))


def refuse_objects(path: Path, content: bytes) -> None:
    """Refuse a program that brings pickled objects or compiled code, which torch would open.

    This is no proof against a forged file: names of operators and formulas of sizes in it are
    looked up and evaluated as Python by torch.

    Raises:
        TeacherError: it does, or is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.namelist():
                name = entry.partition("/")[2]
                if name.startswith("data/aotinductor/"):
                    raise TeacherError(
                        "holds compiled code", where=path, fix="save the program alone"
                    )
                if name.endswith("_config.json") and name.startswith("data/"):
                    _refuse_pickled(path, json.loads(archive.read(entry)))
                if name.startswith("data/sample_inputs/"):
                    torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
            if "serialized_exported_program.json" in archive.namelist():
                raise TeacherError("has an old format", where=path, fix=SAVE_AGAIN)
    except TeacherError:
        raise
    except Exception as error:
        raise damaged(path, "a program of torch.export", error, SAVE_AGAIN) from error


def _refuse_pickled(path: Path, config: Any) -> None:
    entries = config.get("config", config)
    pickled = [name for name, entry in entries.items() if entry.get("use_pickle")]
    if pickled:
        raise TeacherError(
            f"holds pickled objects ({', '.join(pickled[:3])}), which could run any code and are "
            "not opened",
            where=path,
            fix="export a network of plain tensors, made contiguous",
        )


def _sizes(program: torch.export.ExportedProgram) -> list[int | None]:
    """Shape of the one input; None for a size that is free."""
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise TeacherError(
            f"takes {len(names)} inputs", fix="export a program that takes the points alone"
        )
    (node,) = (node for node in program.graph.nodes if node.name == names[0])
    return [size if isinstance(size, int) else None for size in node.meta["val"].shape]


EXPORTED = FileKind((".pt2",), is_exported, load_exported)
