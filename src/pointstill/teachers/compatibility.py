"""Whether a teacher and the data at hand belong together."""

from collections.abc import Sequence
from pathlib import Path

from ..data import Dataset, open_dataset
from ..data.selection import check_classes
from ..data.source import FOLDS
from ..errors import PointstillError, RemoteError, TeacherError, UsageError
from ..points.features import XYZ, Features, format_features, width
from ..run import TrainedOn
from ..storage.paths import local
from .ensemble import Ensemble
from .network import Network
from .teacher import NetworkTeacher, Teacher
from .votes import Votes


def networks(teacher: Teacher) -> Sequence[NetworkTeacher]:
    """The networks that a teacher is made of."""
    if isinstance(teacher, Votes):
        return networks(teacher.teacher)
    if isinstance(teacher, Ensemble):
        return [each for member in teacher.members for each in networks(member)]
    return [teacher] if isinstance(teacher, NetworkTeacher) else []


# Features.


def own_features(
    spec: str, network: Network, known: Features | None, features: Features
) -> Features:
    """What a network takes of the features of the data.

    What a run was trained on, or what its description names (`known`); else xyz alone where its
    file declares three numbers a point, or else all.

    Raises:
        TeacherError: more than the data has, or others than its file declares.
    """
    own = known or (XYZ if network.channels == 3 else features)
    if network.channels not in (None, width(own)):
        raise TeacherError(
            f"takes {network.channels} numbers a point, and {format_features(own)} are "
            f"{width(own)}",
            where=f"teacher {spec}",
            fix="say what it takes in its description",
        )
    if not set(own) <= set(features):
        raise TeacherError(
            f"takes {format_features(own)} of each point, and the data was opened with "
            f"{format_features(features)}",
            where=f"teacher {spec}",
            fix=f"give --features {format_features(own)}",
        )
    return own


def check_data_features(teacher: Teacher, features: Features) -> None:
    """Refuse a teacher that was loaded for other features than those of the data.

    Raises:
        UsageError: names both.
    """
    for network in networks(teacher):
        if network.data_features != features:
            raise UsageError(
                f"was loaded for data with {format_features(network.data_features)}, and this is "
                f"opened with {format_features(features)}",
                where=f"teacher {network.spec}",
                fix="load it with features=data.features",
            )


# Folds: no model is measured, or recorded, on another one than it was trained on.


def check_folds(teacher: Teacher, data: Dataset) -> None:
    """Refuse a teacher made of a student that was trained on another fold of the very same data.

    Evaluated, it would be asked about shapes that it was trained on; recorded, it would tell a
    student of the shapes that the student is tested on. Runs and exported students know what they
    have seen.

    Raises:
        UsageError: names the run or file, and the fold to give.
    """
    for network in networks(teacher):
        if network.trained_on:
            check_fold(network.trained_on, data)


def check_fold(seen: TrainedOn, data: Dataset) -> None:
    """Refuse what was trained on another fold of the very data that is opened.

    Another data set with the same classes is fine: that the data is the same is told by where it
    is, or else by the fingerprint of the training split.

    Raises:
        UsageError: this test split is part of what it was trained on.
    """
    fold = data.fold if seen.fold is None else seen.fold
    same_groups = seen.group == data.group or not data.listed.folded
    if (fold == data.fold and same_groups) or not _same_source(seen, data, fold):
        return
    grouped = f" by {seen.group}" * bool(seen.group)
    flags = f"--fold {fold}" + f" --group {seen.group}" * bool(seen.group)
    without = " and no --group" * bool(data.group and not seen.group)
    raise UsageError(
        f"was trained on fold {fold}{grouped} of {data.name}, so on shapes of the test split of "
        f"fold {data.fold}{f' by {data.group}' * bool(data.group)}",
        where=seen.who,
        fix=f"give {flags}{without}",
    )


def check_unseen(teacher: Teacher, data: Dataset) -> None:
    """Refuse a teacher made of a student that was trained on the very data, on whichever fold.

    Raises:
        UsageError: names the run or file.
    """
    for network in networks(teacher):
        seen = network.trained_on
        if seen is None:
            continue
        every = range(FOLDS if data.listed.folded else 1)
        if any(
            _same_source(seen, data, f) for f in ([seen.fold] if seen.fold is not None else every)
        ):
            raise UsageError(
                f"was trained on shapes of {data.name}, which --split all would measure it on",
                where=seen.who,
                fix="leave --split all out, to measure it on those that were held out",
            )


def _same_source(seen: TrainedOn, data: Dataset, fold: int) -> bool:
    if seen.data is not None and _location(data.name) == _location(seen.data):
        return True
    try:
        then = open_dataset(
            data.name,
            fold=fold,
            up=data.asked_up,
            group=seen.group,
            skip_bad=seen.skip_bad,
            drop_missing=seen.drop_missing,
            cache=data.cache,
        ).train
    except RemoteError:  # nobody knows
        raise
    except PointstillError:  # no such fold, or a bad cloud: not what it was trained on
        return False
    return bool(then.fingerprint == seen.fingerprint)


def _location(name: str) -> Path | str:
    path = local(name)
    return path.expanduser().resolve() if path else name.rstrip("/")


# Both, before a job.


def check_fits(teacher: Teacher, data: Dataset) -> None:
    """Refuse a teacher that must not, or cannot, be asked about data; before any of it is used.

    Raises:
        DataError: the data has fewer than two classes.
        UsageError: the teacher has seen shapes of the test split, or was loaded for other features.
    """
    check_classes(data)
    check_folds(teacher, data)
    check_data_features(teacher, data.features)
