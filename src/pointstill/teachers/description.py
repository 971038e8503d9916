"""What a file of weights does not say, in a small YAML file beside it.

`gdanet.t7.yaml` describes `gdanet.t7`: which network it is, its classes, axes, number of points,
layout and output, and how well it did with them. `pointstill teacher describe` writes it, a person
may, and `load_teacher` reads it when it lies beside the file, or is named itself.
"""

from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import yaml

from ..errors import TeacherError, UsageError
from ..features import parse_features
from ..locking import write_whole
from .files import sha256
from .frame import parse_frame
from .speak import Layout, Output

NORMALISATION: Literal["unit-sphere"] = "unit-sphere"
"""Views are centred on their mean and scaled into the unit sphere: the only one there is."""


FEATURES = "a list of features, such as [xyz, normal]"


@dataclass(frozen=True, kw_only=True)
class Description:
    """The entries of the YAML file, all of them optional."""

    teacher: str | None = None
    """A built-in model, package.module:callable, or the model file, beside the description."""
    weights: str | None = None
    """File of the weights of the first two, beside the description."""
    sha256: str | None = None
    """Of the weights or the model file."""
    classes: list[str] | None = None
    """Its own class names, in the order of its answer."""
    frame: str | None = None
    """Its axes in terms of the data's, such as x,z,y."""
    up: Literal["x", "y", "z"] | None = None
    """The up axis of the data that `frame` is said of."""
    points: int | None = None
    """Points per cloud that it was made for."""
    features: list[str] | None = None
    """What it takes of each point, in its order, such as [xyz, normal]."""
    normalisation: Literal["unit-sphere"] = NORMALISATION
    """How clouds are centred and scaled before augmentation."""
    layout: Layout | None = None
    output: Output | None = None
    checked: dict[str, Any] | None = None
    """What `pointstill teacher describe` measured: data, shapes, accuracy, other frames."""

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            TeacherError: it cannot be written.
        """
        entries = {name: value for name, value in asdict(self).items() if value is not None}
        head = "# Written by `pointstill teacher describe`, read with the file it describes.\n"
        text = head + yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise TeacherError(
                f"{path} cannot be written ({error.strerror}): choose another --out"
            ) from error

    @classmethod
    def read(cls, path: Path) -> "Description":
        """Read and check the file.

        Raises:
            TeacherError: it cannot be read, has an entry that is not known or of the wrong kind,
                or describes another file than the one that is there.
        """
        try:
            found = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise TeacherError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        known = [field.name for field in fields(cls)]
        if not isinstance(found, dict):
            raise TeacherError(f"{path} is no list of `name: value` lines: choose from {known}")
        for name in found:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                raise TeacherError(f"{path} has an entry {name!r}: {hint}")
        found = {name: value for name, value in found.items() if value is not None}
        for name, value in found.items():
            if wanted := _wrong(name, value):
                raise TeacherError(f"{path}: {name} is {value!r}; it must be {wanted}")
        parse_frame(found.get("frame"))
        described = cls(**found)
        target = described.file(path)
        if described.sha256 and target and target.is_file() and sha256(target) != described.sha256:
            raise TeacherError(
                f"{path} describes another {target.name} (by its SHA-256): remove the "
                "description, and make another with `pointstill teacher describe`"
            )
        return described

    def file(self, path: Path) -> Path | None:
        """The file that a description at `path` is about: weights or a model file, beside it."""
        if name := self.weights or (None if ":" in (self.teacher or "") else self.teacher):
            return path.parent / name
        return None


def beside(file: Path) -> Path:
    """Where the description of a file is looked for.

    >>> beside(Path("weights/gdanet.t7")).name
    'gdanet.t7.yaml'
    """
    return file.with_name(f"{file.name}.yaml")


def _texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _wrong(name: str, value: object) -> str | None:
    """What an entry must be, if it is not."""
    choices: dict[str, tuple[str, ...]] = {
        "up": ("x", "y", "z"),
        "layout": get_args(Layout),
        "output": get_args(Output),
    }
    if name == "normalisation":
        fix = "unit-sphere; wrap a network that wants another one in a module that makes it"
        return None if value == NORMALISATION else fix
    if name in choices:
        return None if value in choices[name] else " or ".join(choices[name])
    if name == "points":
        return None if type(value) is int and value > 0 else "a number from 1 up"
    if name == "classes":
        return None if _texts(value) else "a list of names"
    if name == "features":
        try:
            return None if _texts(value) and parse_features(value) else FEATURES
        except UsageError as error:
            return f"{FEATURES} ({error})"
    if name == "checked":
        return None if isinstance(value, dict) else "what describe wrote"
    return None if isinstance(value, str) else "text"
