"""A teacher's classes in terms of the data's: the same names in another order, or a map."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from ..errors import TeacherError, UsageError, one_line
from ..storage.documents import check, parse_yaml
from ..storage.files import read_bounded

Columns = tuple[int, ...] | tuple[tuple[int, ...], ...] | None
"""For each class of the data its column in the teacher's answer, or its columns; None: the same."""
ClassMap = Mapping[str, str | None]
"""Class of the teacher -> class of the data, or None where it has no match and is dropped.

`OTHERS` stands for all that are neither listed nor called as a class of the data is.
"""
OTHERS = "*"


def read_class_map(path: Path) -> dict[str, str | None]:
    """Read a YAML file of lines `teacher class: data class`, or `teacher class: null`.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    where = f"class map {path}"
    try:
        found = parse_yaml(read_bounded(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be read ({one_line(error)})",
            where=where,
            fix="give a text file in YAML, with each class on one line, and quotes round '*'",
        ) from error
    try:  # YAML takes a plain no, on or 7 for something else than text
        return check(found, dict[str, str | None])
    except ValueError as error:
        raise UsageError(
            "maps something else than names",
            where=where,
            fix="write lines `teacher class: data class`, or `teacher class: null` to drop one; "
            "put quotes round names such as 'no' or '7'",
        ) from error


def find_columns(
    names: Sequence[str], classes: Sequence[str], class_map: ClassMap | None, spec: str
) -> Columns:
    """Columns of a teacher with these class names for each class of the data.

    Without a map the names must be the same. With one, a class that it does not name keeps its own
    name. A teacher that has just the data's classes needs no map, and none is used.

    Raises:
        TeacherError: they are not the same classes, or the map does not bring them together.
    """
    if len(set(names)) < len(names):
        raise TeacherError(
            f"has a class name twice ({Counter(names).most_common(1)[0][0]})",
            where=f"teacher {spec}",
            fix="check --class-names",
        )
    if set(names) == set(classes):
        places = {name: column for column, name in enumerate(names)}
        order = tuple(places[name] for name in classes)
        return None if order == tuple(range(len(classes))) else order
    if class_map is None:
        raise _different(names, classes, spec)
    return _mapped(names, classes, class_map, spec)


def select_columns(logits: Tensor, columns: Columns) -> Tensor:
    """Logits (B, own classes) -> (B, classes of the data).

    Several columns become one by logsumexp, which adds up their probabilities. What is dropped is
    left out of the softmax: the rest keeps its proportions.
    """
    if columns is None:
        return logits
    if isinstance(columns[0], int):
        return logits[:, list(columns)]
    return torch.stack([logits[:, list(own)].logsumexp(1) for own in columns], 1)


def _mapped(
    names: Sequence[str], classes: Sequence[str], class_map: ClassMap, spec: str
) -> tuple[tuple[int, ...], ...]:
    where = f"teacher {spec}"
    known, own = {*names, OTHERS}, set(classes)
    if unknown := [name for name in class_map if name not in known]:
        near = get_close_matches(unknown[0], names, n=1)
        fix = f"did you mean {near[0]}?" if near else f"choose from {shortened(names)}"
        raise TeacherError(
            f"has no class {unknown[0]}, which the class map names", where=where, fix=fix
        )
    targets = {
        name: class_map.get(name, name if name in own else class_map.get(OTHERS, name))
        for name in names
    }
    lost = [name for name in targets if targets[name] not in own and targets[name] is not None]
    if lost:
        raise TeacherError(
            f"has classes that lead to none of the data ({shortened(lost)})",
            where=where,
            fix=f"map them by the class map to one of {shortened(classes)}, or to null ('*': null "
            "drops all of them)",
        )
    groups = [
        tuple(column for column, name in enumerate(names) if targets[name] == wanted)
        for wanted in classes
    ]
    if bare := [name for name, group in zip(classes, groups, strict=True) if not group]:
        raise TeacherError(
            f"has nothing that is mapped to {', '.join(bare)} of the data",
            where=where,
            fix=f"map one of its {shortened(names)} to it by the class map",
        )
    return tuple(groups)


def _different(names: Sequence[str], classes: Sequence[str], spec: str) -> TeacherError:
    theirs = [name for name in names if name not in set(classes)]
    ours = [name for name in classes if name not in set(names)]
    sides = [
        f"only the {who} has {shortened(some)}"
        for who, some in (("teacher", theirs), ("data", ours))
        if some
    ]
    return TeacherError(
        f"knows {len(names)} classes ({shortened(names)}) and the data {len(classes)} "
        f"({shortened(classes)}), not the same ({'; '.join(sides)})",
        where=f"teacher {spec}",
        fix="choose the data set it was trained on, check --class-names, or map one to the other "
        "by --class-map",
    )


def shortened(names: Sequence[str], most: int = 60) -> str:
    """A list of names for a message, whole unless it is very long.

    >>> shortened(["a", "b", "c", "d"], most=3)
    'a, b, ... d'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])}, ... {names[-1]}"
