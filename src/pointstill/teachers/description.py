"""What a file of weights does not say, in a small YAML file beside it.

`gdanet.t7.yaml` describes `gdanet.t7`: which network it is, its classes, axes, number of points,
layout and output, and how well it did with them. `pointstill teacher describe` writes it, a person
may, and `load_teacher` reads it when it lies beside the file, or is named itself. Code that it
names is run in the second case alone: see `resolve`.
"""

import math
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

import yaml
from msgspec import Meta

from ..errors import TeacherError, UsageError, one_line
from ..points.features import parse_features
from ..storage.documents import check, parse_yaml
from ..storage.files import read_bounded, write_whole
from .axes import format_axes, parse_axes
from .file_kind import sha256
from .network import Layout, Output

NORMALISATION: Literal["unit-sphere"] = "unit-sphere"
"""Views are centred on their mean and scaled into the unit sphere: the only one there is."""
GOOD = 0.9
"""A teacher that is right on so many training shapes is not asked again in other axes."""
MOST = 1_000_000
"""The most points of a cloud that a description may name."""
MOST_CLASSES = 10_000
"""The most classes that it may name."""
Text = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""Words for a line of a message: nothing in them moves the cursor of a terminal."""
WANTED = {
    "classes": f"a list of names, at most {MOST_CLASSES:,}",
    "up": "x or y or z",
    "points": f"a number from 1 to {MOST:,}",
    "features": "a list of features, such as [xyz, normal]",
    "normalisation": "unit-sphere, or wrap a network that wants another one in a module that "
    "makes it",
    "layout": "bn3 or b3n",
    "output": "logits or probabilities",
    "checked": "what describe wrote",
}
"""What an entry must be; the others are text."""


class Checked(TypedDict, total=False):
    """What `pointstill teacher describe` measured."""

    date: Any
    """Of the day; YAML takes it for one where its quotes are lost."""
    data: str
    fingerprint: str
    shapes: int
    accuracy: float
    frames: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Description:
    """The entries of the YAML file, all of them optional."""

    teacher: Text | None = None
    """A built-in model, package.module:callable, or the model file, beside the description."""
    weights: Text | None = None
    """File of the weights of the first two, beside the description."""
    sha256: Text | None = None
    """Of the weights or the model file."""
    classes: Annotated[list[Text], Meta(max_length=MOST_CLASSES)] | None = None
    """Its own class names, in the order of its answer."""
    frame: Text | None = None
    """Its axes in terms of the data's, such as x,z,y."""
    up: Literal["x", "y", "z"] | None = None
    """The up axis of the data that `frame` is said of."""
    points: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    """Points per cloud that it was made for."""
    features: list[Text] | None = None
    """What it takes of each point, in its order, such as [xyz, normal]."""
    normalisation: Literal["unit-sphere"] = NORMALISATION
    """How clouds are centred and scaled before augmentation."""
    layout: Layout | None = None
    output: Output | None = None
    checked: Checked | None = None
    """What was measured: data, shapes, accuracy, other axes."""

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
    def read(cls, path: Path, file: Path | None = None) -> "Description":
        """Read and check the file.

        Args:
            path: the description.
            file: of weights or a network, beside which it lies; None: it was named itself.

        Raises:
            TeacherError: it cannot be read, has an entry that is not known or of the wrong kind,
                or describes another file than the one that is there.
        """
        try:
            found = parse_yaml(read_bounded(path))
        except (OSError, ValueError) as error:
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
                near = get_close_matches(str(name)[:40], known, n=1)
                fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                raise TeacherError(f"has an entry {shown(name)}", where=path, fix=fix)
        found = {name: value for name, value in found.items() if value is not None}
        for name, value in found.items():
            _check(path, name, value)
        described = cls(**found)
        described._check_file(path, file)
        return described

    def _check_file(self, path: Path, file: Path | None) -> None:
        """Refuse a description of another file than the one that is there.

        Raises:
            TeacherError: its SHA-256 is another's; or without one, its name.
        """
        named = self.file(path)
        target = file or named
        if self.sha256:
            if target and target.is_file() and sha256(target) != self.sha256:
                raise TeacherError(
                    f"describes another {target.name} (by its SHA-256)",
                    where=path,
                    fix="remove the description, and make another with `pointstill teacher "
                    "describe`",
                )
        elif file and self.weights and named and named.name != file.name:
            raise TeacherError(
                f"describes {named.name}, and lies beside {file.name}",
                where=path,
                fix="mend its entry `weights`, or name the description itself as --teacher",
            )

    def verified_on(self, classes: int) -> str | None:
        """Fingerprint of the training split on which `frame` was measured and found right.

        None where other axes did better or no others were tried, unless it is right on `GOOD`
        and more, and where it did no better than guessing among the classes of the data.
        """
        checked = self.checked or {}
        count, accuracy = checked.get("shapes", 0), checked.get("accuracy")
        if accuracy is None or count < 1:
            return None
        tried = checked.get("frames", {})
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


def shown(value: object) -> str:
    """A value of a file, for a message: on one line, and not for ever.

    >>> shown("x,y"), shown(["a"] * 99)
    ("'x,y'", "['a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', '...")
    """
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number without end"
    text = text if text.isprintable() else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_KINDS = get_type_hints(Description, include_extras=True)


def _check(path: Path, name: str, value: object) -> None:
    """Refuse an entry of the wrong kind.

    Raises:
        TeacherError: says what it must be.
    """
    wanted = WANTED.get(name, "text")
    try:
        check(value, _KINDS[name])
    except ValueError as error:
        raise TeacherError(
            f"has {name} {shown(value)}", where=path, fix=f"write {wanted}"
        ) from error
    try:
        if name == "frame":
            parse_axes(str(value))
    except UsageError as error:
        raise TeacherError(
            f"has frame {shown(value)}", where=path, fix="write all three axes, such as x,z,y"
        ) from error
    try:
        if name == "features":
            parse_features(list(value))  # type: ignore[call-overload]
    except UsageError as error:
        raise TeacherError(
            f"has features {shown(value)} ({error.what})", where=path, fix=error.fix
        ) from error
