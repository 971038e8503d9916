"""A torch module as a network; and one from the user's own code: `package.module:callable`."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import NoTeacherError, TeacherError, UsageError
from .detection import Layout
from .teacher import reason


@dataclass(eq=False)
class TorchNetwork:
    """A torch module in eval mode on its device, from code or from a file."""

    module: nn.Module
    device: torch.device
    batch: int | None = None
    points: int | None = None
    layout: Layout | None = None
    channels: int | None = None
    file: bytes | None = None
    """SHA-256 of the file that it is all in; without one its tensors name it."""

    counted = True

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def nbytes(self) -> int:
        """Size of weights and buffers."""
        return sum(tensor.nbytes for tensor in self.module.state_dict().values())

    def __call__(self, points: Tensor) -> object:
        """Whatever the module returns."""
        return self.module(points)

    def identity(self) -> Iterator[bytes]:
        """The file's hash, or all named tensors, sorted by name."""
        if self.file:
            yield self.file
            return
        for name, tensor in sorted(self.module.state_dict().items()):
            yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
            yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def load_callable(spec: str, classes: int) -> nn.Module:
    """Import and call `package.module:callable`, as seen from the current folder.

    It is called without arguments, or with the number of classes where it requires one.

    Raises:
        NoTeacherError: there is no such module.
        TeacherError: it cannot be imported, has no such name, fails, or returns something else.
        UsageError: a file is named, not a module.
    """
    package, _, name = spec.partition(":")
    if package.endswith(".py"):
        dotted = ".".join(part for part in Path(package).with_suffix("").parts if part != "/")
        raise UsageError(
            f"teacher {spec}: name the module as Python does, {dotted}:{name}, from the folder "
            "that holds it"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and stays, since the module may import more when it runs
    try:
        module = importlib.import_module(package)
    except (Exception, SystemExit) as error:  # the module may run anything
        raise _unimportable(spec, package, error) from error
    try:
        build = getattr(module, name)
    except AttributeError:
        near = get_close_matches(name, dir(module), n=1)
        hint = f"did you mean {near[0]}?" if near else "name a function or class that is"
        raise TeacherError(f"teacher {spec}: {package} has no {name!r}: {hint}") from None
    if isinstance(build, nn.Module):
        return build
    if not callable(build):
        raise TeacherError(f"teacher {spec}: {name} is not callable: name a function or class")
    arguments = [classes] * _required(build)
    if len(arguments) > 1:
        raise TeacherError(
            f"teacher {spec}: {name} requires {len(arguments)} arguments: name a function that "
            "requires none, or only the number of classes"
        )
    try:
        model = build(*arguments)
    except (Exception, SystemExit) as error:  # it may read arguments that are not its own
        raise TeacherError(f"teacher {spec}: calling it failed: {reason(error)}") from error
    if not isinstance(model, nn.Module):
        raise TeacherError(
            f"teacher {spec}: it returned {type(model).__name__}: return an nn.Module"
        )
    return model


def _unimportable(spec: str, package: str, error: BaseException) -> TeacherError:
    """What to raise when a module cannot be imported, with the fix for each reason."""
    if isinstance(error, SystemExit):
        return TeacherError(
            f"teacher {spec}: {package} ends the program when it is imported (SystemExit: {error}):"
            ' put what runs it or reads its arguments under `if __name__ == "__main__":`'
        )
    said = f"teacher {spec}: {package} cannot be imported ({reason(error)})"
    if not isinstance(error, ModuleNotFoundError):
        return TeacherError(f"{said}: see what it does at import")
    if error.name is None or not f"{package}.".startswith(f"{error.name}."):
        return TeacherError(f"{said}: install what it needs")
    here = Path.cwd()
    return NoTeacherError(
        f"{said}: start from the folder that holds it (this is {here}), or install it"
    )


def _required(build: object) -> int:
    """Number of arguments without a default."""
    try:
        parameters = inspect.signature(build).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not written in Python
        return 0
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(each.default is each.empty and each.kind not in variable for each in parameters)
