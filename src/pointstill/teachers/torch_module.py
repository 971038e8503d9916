"""A torch module as a network; and one from the user's own code: `package.module:callable`."""

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import NoTeacherError, TeacherError, UsageError
from .network import Layout, error_summary


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

    @classmethod
    def frozen(cls, module: nn.Module, device: torch.device) -> "TorchNetwork":
        """A module from code, put in eval mode on a device; it is not to learn any more."""
        return cls(module.to(device).eval().requires_grad_(False), device)

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


def load_callable(spec: str, classes: int, trained: bool = False) -> nn.Module:
    """Import and call `package.module:callable`, as seen from the current folder.

    It is called without arguments, or with the number of classes where it requires one.

    Args:
        spec: names it.
        classes: the number of classes.
        trained: whether what it returns is to have its weights already.

    Warns:
        UserWarning: it is, and called once more the callable gives other weights: they are drawn.

    Raises:
        NoTeacherError: there is no such module.
        TeacherError: it cannot be imported, has no such name, fails, or returns something else.
        UsageError: a file is named, not a module.
    """
    where = f"teacher {spec}"
    package, _, name = spec.partition(":")
    if package.endswith(".py"):
        dotted = ".".join(part for part in Path(package).with_suffix("").parts if part != "/")
        raise UsageError(
            "names a file, not a module",
            where=where,
            fix=f"name the module as Python does, {dotted}:{name}, from the folder that holds it",
        )
    build = _imported(where, package, name)
    if isinstance(build, nn.Module):
        return build
    if not callable(build):
        raise TeacherError(
            f"cannot be built, as {name} is not callable",
            where=where,
            fix="name a function or class",
        )
    arguments = [classes] * _required(build)
    if len(arguments) > 1:
        raise TeacherError(
            f"cannot be built, as {name} requires {len(arguments)} arguments",
            where=where,
            fix="name a function that requires none, or only the number of classes",
        )
    try:
        model = build(*arguments)
        drawn = _drawn(model, lambda: build(*arguments)) if trained else []
    except (Exception, SystemExit) as error:  # it may read arguments that are not its own
        raise TeacherError(
            f"cannot be built, as calling it failed ({error_summary(error)})",
            where=where,
            fix="see what it needs",
        ) from error
    if not isinstance(model, nn.Module):
        raise TeacherError(
            f"cannot be used, as it returned {type(model).__name__}",
            where=where,
            fix="return an nn.Module",
        )
    if drawn:
        warnings.warn(
            f"{where} has weights that are drawn at random ({len(drawn)} of "
            f"{len(model.state_dict())} tensors, {drawn[0]} first), as if it was never trained: "
            "give --weights FILE, or load them in the callable",
            stacklevel=5,
        )
    return model


def _drawn(model: object, again: Callable[[], object]) -> list[str]:
    """Names of the tensors of a model that are others when it is made again."""
    if not isinstance(model, nn.Module):
        return []
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        other = again()
    except (Exception, SystemExit):  # it can be called once
        return []
    second = other.state_dict() if isinstance(other, nn.Module) else {}
    return [
        name
        for name, tensor in first.items()
        if name not in second or not torch.equal(tensor, second[name].to(tensor.device))
    ]


def _imported(where: str, package: str, name: str) -> object:
    """The object of that name in a module, as seen from the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and stays, since the module may import more when it runs
    try:
        module = importlib.import_module(package)
    except (Exception, SystemExit) as error:  # the module may run anything
        raise _unimportable(where, package, error) from error
    try:
        return getattr(module, name)
    except AttributeError:
        near = get_close_matches(name, dir(module), n=1)
        fix = f"did you mean {near[0]}?" if near else "name a function or class that is"
        raise TeacherError(
            f"cannot be built, as {package} has no {name!r}", where=where, fix=fix
        ) from None


def _unimportable(where: str, package: str, error: BaseException) -> TeacherError:
    """What to raise when a module cannot be imported, with the fix for each reason."""
    if isinstance(error, SystemExit):
        return TeacherError(
            f"cannot be imported, as {package} ends the program (SystemExit: {error})",
            where=where,
            fix='put what runs it or reads its arguments under `if __name__ == "__main__":`',
        )
    what = f"cannot be imported from {package} ({error_summary(error)})"
    if not isinstance(error, ModuleNotFoundError):
        return TeacherError(what, where=where, fix="see what it does at import")
    if error.name is None or not f"{package}.".startswith(f"{error.name}."):
        return TeacherError(what, where=where, fix="install what it needs")
    fix = f"start from the folder that holds it (this is {Path.cwd()}), or install it"
    return NoTeacherError(what, where=where, fix=fix)


def _required(build: object) -> int:
    """Number of arguments without a default."""
    try:
        parameters = inspect.signature(build).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not written in Python
        return 0
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(each.default is each.empty and each.kind not in variable for each in parameters)
