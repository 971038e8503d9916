"""What must agree: records go on, are read and are trained on with what they were made from."""

from typing import Any

import numpy as np

from ..augment import Pipeline
from ..data import Split
from ..data.selection import limited
from ..errors import RecordsError
from ..points.features import XYZ, Features, format_features
from .store import Store


def made_from(split: Split) -> dict[str, Any]:
    """What a store keeps of the data that it is made from."""
    kept: dict[str, Any] = {
        "classes": list(split.classes),
        "data": {"fingerprint": split.fingerprint, "split": split.name, "shapes": len(split)},
    }
    if split.extra:
        names, fingerprint = list(split.extra.names), split.extra.fingerprint
        kept["features"] = {"names": names, "fingerprint": fingerprint}
    return kept


def check_same(path: Any, made: dict[str, Any], now: dict[str, Any], fix: str) -> None:
    """Refuse to go on with records made from something else.

    Raises:
        RecordsError: names every difference, and the fix.
    """
    found = differences({name: made.get(name) for name in now}, now)
    if found:
        what = f"was made from something else ({'; '.join(found)})"
        raise RecordsError(what, where=path, fix=fix)


def differences(made: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """The leaves in which two nested descriptions differ, as `name: made, now`.

    >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    ['b.c: 2 in the records, now 3']
    """
    found = []
    for name in sorted(made.keys() | now.keys()):
        left, right = made.get(name, "nothing"), now.get(name, "nothing")
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{prefix}{name}.")
        elif left != right:
            found.append(f"{prefix}{name}: {_short(left)} in the records, now {_short(right)}")
    return found


def check_features(store: Store, split: Split) -> None:
    """Refuse data that was opened with other features than those that were recorded with it.

    Raises:
        RecordsError: names both, and the fix.
    """
    now: Features = split.extra.names if split.extra else XYZ
    if now != store.features:
        then = format_features(store.features)
        raise RecordsError(
            f"was recorded with features {then}, and the data was opened with "
            f"{format_features(now)}",
            where=store.path,
            fix=f"give --features {then}, or another store",
        )


def check_made(store: Store, split: Split, teacher: str | None = None) -> Pipeline:
    """Refuse other data, another teacher or other operations than a store was made with.

    Args:
        store: the store.
        split: of the data at hand.
        teacher: fingerprint of the teacher at hand, if there is one.

    Returns:
        The pipeline that it was recorded with.

    Raises:
        RecordsError: names what differs, and the fix.
    """
    check_features(store, split)
    pipeline = Pipeline.restore(store.attributes["augment"])
    now = made_from(split) | {"augment": pipeline.describe()}
    if teacher is not None:
        now["teacher"] = {"fingerprint": teacher}
    fix = "give the teacher and the data that it was made with"
    check_same(store.path, store.attributes, now, fix)
    return pipeline


def check_records(store: Store, split: Split, shapes: np.ndarray) -> np.ndarray:
    """Where training shapes (R,) are in the store.

    Returns:
        (R,) rows.

    Raises:
        RecordsError: another data set, other classes, shapes that were not recorded, or tiles or
            chunks that are missing.
    """
    now = {name: value for name, value in made_from(split).items() if name != "features"}
    fix = "train on the data that was recorded, or record this data"
    check_same(store.path, store.attributes, now, fix)
    absent = np.setdiff1d(shapes, store.shapes)
    if len(absent):
        fix = "train from the store that it was cut from"  # by `subset --classes`
        if np.array_equal(store.shapes, limited(split, store.rows)):
            fix = f"pass --limit {store.rows}, or record all shapes into another store"
        raise RecordsError(
            f"covers {store.rows:,} of the data's {len(split):,} shapes, and {len(absent):,} of "
            "those to train on are not among them",
            where=store.path,
            fix=fix,
        )
    missing, tiles = len(store.missing()), store.views * len(store.tiles_of(0))
    if missing:
        raise RecordsError(
            f"is unfinished, as {missing} of {tiles} tiles are missing",
            where=store.path,
            fix="run the same `pointstill record` again to finish it",
        )
    store.check_chunks()
    rows: np.ndarray = np.searchsorted(store.shapes, shapes)
    return rows


def recorded_pipeline(store: Store) -> Pipeline:
    """The pipeline that a store was recorded with.

    Raises:
        RecordsError: this pointstill has other versions of its operations.
    """
    made = store.attributes["augment"]
    pipeline = Pipeline.restore(made)
    fix = "record again, or install the pointstill that recorded it"
    now = {"augment": _by_name(pipeline.describe())}
    check_same(store.path, {"augment": _by_name(made)}, now, fix)
    return pipeline


def check_past(past: Store, store: Store) -> None:
    """Refuse records of a student's past that do not cover the teacher's, view by view.

    Raises:
        RecordsError: names what differs, and the fix.
    """
    versions = [each.attributes["augment"]["normalize"]["version"] for each in (past, store)]
    if versions[0] > versions[1]:  # nothing is recorded as of old any more
        raise RecordsError(
            f"has views of normalization {versions[0]}, and {store.path}, which is older, of "
            f"{versions[1]}",
            where=past.path,
            fix="record the teacher again, into a new store, or choose another --past",
        )
    shared = ("classes", "data", "augment", "points")
    now = {name: store.attributes[name] for name in shared} | {"views": store.views}
    made = {name: past.attributes[name] for name in shared} | {"views": past.views}
    check_same(past.path, made, now, f"record the student as {store.path} was recorded")
    if not np.array_equal(past.shapes, store.shapes) or past.missing():
        raise RecordsError(
            f"does not cover the shapes of {store.path}",
            where=past.path,
            fix="record the student with the same --limit, to the end",
        )
    past.check_chunks()


def _by_name(augment: dict[str, Any]) -> dict[str, Any]:
    """A description with its operations by name, for a message that names what differs."""
    return augment | {"operations": {each["name"]: each for each in augment["operations"]}}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}...{text[-24:]}"
