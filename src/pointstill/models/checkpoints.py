"""Weights files: read without running code, unwrapped from published layouts, loaded strictly."""

import io
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn

from ..errors import NoTeacherError, TeacherError
from ..storage.digests import check_seal
from ..storage.files import check_readable

WRAPPERS = ("net", "model", "model_state_dict", "state_dict", "base_model")
"""Keys under which published checkpoints keep their state dict."""
PREFIX = "module."
"""What nn.DataParallel puts before every name."""

_NUMPY_SCALARS: list[Any] = [
    # Accuracies, which many published checkpoints keep beside the weights as NumPy numbers.
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # as NumPy 1 called it
    np.float64(0).__reduce__()[0],
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64")),
]


MOST_NESTED = 4
"""Wrappers within each other: published checkpoints have two."""


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Find the state dict in a checkpoint: opens `WRAPPERS`, also nested, and strips `module.`.

    Raises:
        TeacherError: there is no tensor in it; without `where`.

    """
    state = _inmost(checkpoint)
    if not state:
        raise TeacherError(
            f"holds no tensors, neither at the top nor under {', '.join(WRAPPERS)}",
            fix="give the file of a state dict",
        )
    while all(key.startswith(PREFIX) for key in state):
        state = {key.removeprefix(PREFIX): value for key, value in state.items()}
    return state


def _inmost(checkpoint: object, depth: int = 0) -> dict[str, Tensor]:
    """The tensors under the first of `WRAPPERS` that has some, or at the top."""
    if not isinstance(checkpoint, Mapping) or depth > MOST_NESTED:  # it may hold itself
        return {}
    for key in WRAPPERS:  # a configuration may be called `model`, too
        if found := _inmost(checkpoint.get(key), depth + 1):
            return found
    return {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.safetensors` file, or in one of `torch.save` that holds no objects.

    Raises:
        TeacherError: the file is missing, may not be read, is damaged, holds objects that need
            unpickling (which may run any code), or holds no tensors.

    """
    if not path.is_file():
        raise NoTeacherError("is no weights file", where=path, fix="give one that is there")
    check_readable(path, TeacherError)
    try:
        content = path.read_bytes()
        _check_seal(path, content)
        if path.suffix == ".safetensors":
            checkpoint: object = load(content)
        else:
            with torch.serialization.safe_globals(_NUMPY_SCALARS), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its guesses at what the file may be
                checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return unwrap(checkpoint)
    except TeacherError as error:
        raise error.but(where=path) from None
    except pickle.UnpicklingError as error:
        raise TeacherError(
            "is damaged, or holds more than tensors, which could run any code and is not opened",
            where=path,
            fix="save a state dict alone, torch.save(model.state_dict(), ...)",
        ) from error
    except Exception as error:  # a damaged file makes its readers raise all kinds
        raise TeacherError(
            "cannot be read as weights",
            where=path,
            fix="give a complete .safetensors file, or a state dict saved by torch.save",
        ) from error


def _check_seal(path: Path, content: bytes) -> None:
    """See that the weights of a run are as training left them; those of others carry no seal.

    Raises:
        TeacherError: they are not.
    """
    try:
        check_seal(content)
    except ValueError as error:
        raise TeacherError(
            f"is damaged ({error})", where=path, fix="restore it from a copy, or train again"
        ) from error


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str | Path) -> None:
    """Load a state dict, strictly; `where` is the file that it came from.

    A module may say in `ALIASES` by which other prefixes checkpoints know its entries.

    Raises:
        TeacherError: a name is missing or unexpected, or a shape differs.

    """
    aliases: Mapping[str, str] = getattr(module, "ALIASES", {})
    state = {_renamed(key, aliases): value for key, value in state.items()}
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if not (missing or unexpected or shapes):
        try:
            module.load_state_dict(state)
        except Exception as error:  # of a sparse or quantised tensor, say
            raise TeacherError(
                f"does not fit {type(module).__name__}, as a tensor of it cannot be copied",
                where=where,
                fix="save plain tensors, as in the state dict of the model",
            ) from error
        return
    counts = {(state[key].shape[:1], own[key].shape[:1]) for key in shapes}
    # Only the last layer differs, and only in its number of outputs.
    if not (missing or unexpected) and len(counts) == 1 and set(shapes) <= set(_last_layer(own)):
        ((theirs, ours),) = counts
        raise TeacherError(
            f"holds weights of {theirs[0]} classes, and the data has {ours[0]}",
            where=where,
            fix="choose the data set that they were trained on, other weights, or name their "
            "classes by --class-names and map them by --class-map",
        )
    differences = [
        _listed("missing", missing),
        _listed("unexpected", unexpected),
        _listed("of other shape", (_shapes(key, state[key], own[key]) for key in shapes)),
    ]
    raise TeacherError(
        f"does not fit {type(module).__name__} ({'; '.join(filter(None, differences))})",
        where=where,
        fix="choose the model that it was saved from",
    )


def _renamed(key: str, aliases: Mapping[str, str]) -> str:
    for theirs, ours in aliases.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def _last_layer(state: Mapping[str, Any]) -> list[str]:
    """Names of the last layer's weight and bias, in every member where a model has several."""
    layers = {key: re.sub(r"^members\.\d+\.", "", key).rpartition(".")[0] for key in state}
    return [key for key in state if layers[key] == layers[list(state)[-1]]]


def _shapes(key: str, theirs: Tensor, ours: Tensor) -> str:
    return f"{key} {tuple(theirs.shape)} for {tuple(ours.shape)}"


def _listed(what: str, keys: Iterable[str], most: int = 4) -> str:
    keys = [key if key.isprintable() else ascii(key) for key in keys]
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{len(keys)} {what} ({', '.join(keys[:most])}{more})" if keys else ""
