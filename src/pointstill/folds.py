"""No model is measured, or recorded, on another fold than the one it was trained on."""

from pathlib import Path

from .data import Dataset, open_dataset
from .errors import PointstillError, RemoteError, UsageError
from .remote import local
from .run import Run
from .teachers import Teacher
from .teachers.load import networks


def check_folds(teacher: Teacher, data: Dataset) -> None:
    """Refuse a teacher made of a run that was trained on another fold of the very same data.

    Evaluated, it would be asked about shapes that it was trained on; recorded, it would tell a
    student of the shapes that the student is tested on.

    Raises:
        UsageError: names the run and the fold to give.
    """
    for network in networks(teacher):
        if network.run:
            check_fold(Run(network.run), data)


def check_fold(run: Run, data: Dataset) -> None:
    """Refuse a run that was trained on another fold of the very data that is opened.

    Another data set with the same classes is fine: that the data is the same is told by where it
    is, or else by the fingerprint of the run's training split.

    Raises:
        UsageError: this test split is part of what it was trained on.
    """
    fold = run.recipe.get("fold", data.fold)
    if fold == data.fold or not _same_source(run, data, fold):
        return
    raise UsageError(
        f"{run.folder} was trained on fold {fold} of {data.name}, so on shapes of the test split "
        f"of fold {data.fold}: give --fold {fold}"
    )


def _same_source(run: Run, data: Dataset, fold: int) -> bool:
    if _place(data.name) == _place(run.recipe["data"]):
        return True
    left_out = {name: run.recipe.get(name, False) for name in ("skip_bad", "drop_missing")}
    try:
        then = open_dataset(
            data.name, fold=fold, up=data.asked_up, **left_out, cache=data.cache
        ).train
    except RemoteError:  # nobody knows
        raise
    except PointstillError:  # no such fold, or a bad cloud: not what the run was trained on
        return False
    return bool(then.fingerprint == run.recipe["origin"]["data"])


def _place(name: str) -> Path | str:
    path = local(name)
    return path.expanduser().resolve() if path else name.rstrip("/")
