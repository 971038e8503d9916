"""What a file of weights does not say, in a small YAML file beside it.

`gdanet.t7.yaml` describes `gdanet.t7`: which network it is, its classes, axes, number of points,
layout and output, and how well it did with them. `pointstill teacher describe` writes it, a person
may, and `load_teacher` reads it when it lies beside the file, or is named itself.
"""

import math
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from ..errors import TeacherError, UsageError, one_line
from ..points.features import parse_features
from ..storage.files import write_whole
from .axes import format_axes, parse_axes
from .file_kind import sha256
from .network import Layout, Output

NORMALISATION: Literal["unit-sphere"] = "unit-sphere"
"""Views are centred on their mean and scaled into the unit sphere: the only one there is."""
GOOD = 0.9
"""A teacher that is right on so many training shapes is not asked again in other axes."""
MOST = 1_000_000
"""The most points of a cloud that a description may name."""
LISTS = {"classes": "a list of names", "features": "a list of features, such as [xyz, normal]"}


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
    """What `pointstill teacher describe` measured: data, shapes, accuracy, other axes."""

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
                f"cannot be written ({error.strerror})", where=path, fix="choose another --out"
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
            raise TeacherError(
                f"cannot be read ({one_line(error)})",
                where=path,
                fix="mend or remove it",
            ) from error
        known = [field.name for field in fields(cls)]
        if not isinstance(found, dict):
            raise TeacherError(
                "is no list of `name: value` lines",
                where=path,
                fix=f"choose from {', '.join(known)}",
            )
        for name in found:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                raise TeacherError(f"has an entry {name!r}", where=path, fix=fix)
        found = {name: value for name, value in found.items() if value is not None}
        for name, value in found.items():
            _check(path, name, value)
        described = cls(**found)
        target = described.file(path)
        if described.sha256 and target and target.is_file() and sha256(target) != described.sha256:
            raise TeacherError(
                f"describes another {target.name} (by its SHA-256)",
                where=path,
                fix="remove the description, and make another with `pointstill teacher describe`",
            )
        return described

    def verified_on(self, classes: int) -> str | None:
        """Fingerprint of the training split on which `frame` was measured and found right.

        None where other axes did better or no others were tried, unless it is right on `GOOD`
        and more, and where it did no better than guessing among the classes of the data.
        """
        checked = self.checked or {}
        count, accuracy, frames = (checked.get(key) for key in ("shapes", "accuracy", "frames"))
        if not (isinstance(count, int) and isinstance(accuracy, float) and count > 0):
            return None
        tried = frames if isinstance(frames, dict) else {}
        if not all(isinstance(each, float) for each in tried.values()):
            return None  # not what was written
        found = tried.get(format_axes(parse_axes(self.frame))) == accuracy
        sure = accuracy >= GOOD or (len(tried) > 1 and accuracy == max(tried.values()))
        if not (found and sure) or guesses(accuracy, count, classes):
            return None
        return str(checked.get("fingerprint"))

    def file(self, path: Path) -> Path | None:
        """The file that a description at `path` is about: weights or a model file, beside it."""
        if name := self.weights or (None if ":" in (self.teacher or "") else self.teacher):
            return path.parent / name
        return None


def guesses(accuracy: float, shapes: int, classes: int) -> bool:
    """Whether a teacher is right no more often than by guessing, within 3 standard errors.

    >>> guesses(0.30, 64, 4), guesses(0.50, 64, 4)
    (True, False)
    """
    chance = 1 / classes
    return accuracy <= chance + 3 * math.sqrt(chance * (1 - chance) / shapes)


def is_description(path: Path) -> bool:
    """Whether it is called as descriptions of teachers are; it need not be there."""
    return path.suffix.lower() in (".yaml", ".yml")


def description_path(file: Path) -> Path:
    """Where the description of a file is looked for.

    >>> description_path(Path("weights/gdanet.t7")).name
    'gdanet.t7.yaml'
    """
    return file.with_name(f"{file.name}.yaml")


def _check(path: Path, name: str, value: object) -> None:
    """Refuse an entry of the wrong kind.

    Raises:
        TeacherError: says what it must be.
    """
    if wanted := _wanted(name, value):
        raise TeacherError(f"has {name} {value!r}", where=path, fix=f"write {wanted}")
    if name == "features":
        try:
            parse_features(cast("list[str]", value))
        except UsageError as error:
            raise TeacherError(
                f"has features {value!r} ({error.what})", where=path, fix=error.fix
            ) from error


def _wanted(name: str, value: object) -> str | None:
    """What an entry must be, if it is not."""
    choices: dict[str, tuple[str, ...]] = {
        "up": ("x", "y", "z"),
        "layout": get_args(Layout),
        "output": get_args(Output),
    }
    if name == "normalisation":
        wrap = "wrap a network that wants another one in a module that makes it"
        return None if value == NORMALISATION else f"{NORMALISATION}, or {wrap}"
    if name in choices:
        return None if value in choices[name] else " or ".join(choices[name])
    if name == "points":
        return None if type(value) is int and 0 < value <= MOST else f"a number from 1 to {MOST:,}"
    if name in LISTS:
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        return None if texts else LISTS[name]
    if name == "checked":
        return None if isinstance(value, dict) else "what describe wrote"
    if name == "frame" and isinstance(value, str):
        try:
            parse_axes(value)
        except UsageError:
            return "all three axes, such as x,z,y"
    return None if isinstance(value, str) else "text"
