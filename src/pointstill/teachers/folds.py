"""No model is measured, or recorded, on another fold than the one it was trained on."""

from pathlib import Path

from ..data import Dataset, open_dataset
from ..errors import PointstillError, RemoteError, UsageError
from ..run import TrainedOn
from ..storage.paths import local
from . import Teacher
from .load import networks


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
    if fold == data.fold or not _same_source(seen, data, fold):
        return
    raise UsageError(
        f"{seen.who} was trained on fold {fold} of {data.name}, so on shapes of the test split "
        f"of fold {data.fold}: give --fold {fold}"
    )


def _same_source(seen: TrainedOn, data: Dataset, fold: int) -> bool:
    if seen.data is not None and _place(data.name) == _place(seen.data):
        return True
    try:
        then = open_dataset(
            data.name,
            fold=fold,
            up=data.asked_up,
            skip_bad=seen.skip_bad,
            drop_missing=seen.drop_missing,
            cache=data.cache,
        ).train
    except RemoteError:  # nobody knows
        raise
    except PointstillError:  # no such fold, or a bad cloud: not what it was trained on
        return False
    return bool(then.fingerprint == seen.fingerprint)


def _place(name: str) -> Path | str:
    path = local(name)
    return path.expanduser().resolve() if path else name.rstrip("/")
