"""How the teacher of a store was named, so that it can be asked again without being named anew.

A store is data, and may come from anybody: what it names is opened only where opening runs no
code. A teacher that is a program runs when the user names it.
"""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from ..errors import RecordsError, UsageError, one_line
from ..models import MODELS
from ..records import headers
from ..records.attributes import check_attributes
from ..records.folder_or_bucket import locate, no_store
from ..records.layout import check_format
from ..run import Run
from ..storage.documents import parse_json
from ..teachers.resolve import is_model, is_run, kind_of, resolve, share_weights


def recorded_source(path: str | Path, weights: Sequence[Path] | None = None) -> dict[str, Any]:
    """How the teacher of a store was named; see `records.attributes.Source`.

    Args:
        path: the store; one whose headers are damaged will do, if their backup is not.
        weights: where its weights are now, if not where they were.

    Raises:
        RecordsError: there is no store, or what it says of itself cannot be read.
        UsageError: it does not say, or names code, or what is no longer there.
    """
    location = locate(path)
    if not location.holds():
        raise no_store(location)
    try:
        copies = headers.backup(location) or {}
        root = copies.get("zarr.json") or location.read("zarr.json")
        attributes = parse_json(root).get("attributes", {})
        check_format(location.path, attributes)
        check_attributes(attributes)
    except (OSError, ValueError, AttributeError) as error:
        fix = f"run `pointstill records repair {location.path}`"
        raise RecordsError(
            f"is damaged ({one_line(error)})", where=location.path, fix=fix
        ) from error
    source: dict[str, Any] | None = attributes.get("teacher_source")
    if not source or not source.get("teacher"):
        raise UsageError(
            f"does not say how its teacher ({attributes['teacher_spec']}) is loaded",
            where=location.path,
            fix="give --teacher, with the options that it was recorded with",
        )
    specs = source["teacher"]
    files = share_weights(specs, weights or [Path(each) for each in source.get("weights", ())])
    for spec, file in zip(specs, files, strict=True):
        if file is not None and not file.is_file():
            raise UsageError(
                f"names {file} as the weights of its teacher {spec}, and they are not there",
                where=location.path,
                fix="give --weights, wherever they are now",
            )
        if not (is_model(spec) or ":" in spec or Path(spec).exists()):
            raise UsageError(
                f"names {spec} as its teacher, which is not there",
                where=location.path,
                fix="give --teacher, with the options that it was recorded with",
            )
        if runs(spec, file):
            raise UsageError(
                f"names {spec} as its teacher, which is a program, and none is run because a "
                "store names it",
                where=location.path,
                fix=f"if you trust it, give {flags(source)}",
            )
    return source


def runs(spec: str, weights: Path | None) -> bool:
    """Whether loading a teacher may run code: all but built-in models, their runs, and ONNX."""
    _, named, _ = resolve(spec, weights)
    file = Path(named)
    if is_model(named) and (weights is not None or not is_run(named)):
        return False
    if is_run(named):
        return Run(named).model_name not in MODELS
    if file.is_file():
        return kind_of(file) not in ("onnx", "weights")
    return ":" in named


def flags(source: dict[str, Any]) -> str:
    """The flags of `pointstill record` that say the same.

    >>> flags({"teacher": ["a b.onnx", "c.pt2"], "votes": 3, "vote_augment": "scale,rotate"})
    "--teacher 'a b.onnx' --teacher c.pt2 --votes 3 --vote-augment scale,rotate"
    """
    said = [
        (name, each)
        for name, value in source.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    return " ".join(f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in said)
