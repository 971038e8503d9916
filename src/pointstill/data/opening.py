"""How a data set is opened: recognised now, read when a split is asked for."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from ..errors import UsageError
from ..points.features import XYZ, parse_features
from ..storage.paths import local
from .cache import default_root
from .columns import Columns, parse_columns
from .dataset import Dataset, Progress
from .source import FOLDS, Source


def open_dataset(
    source: str | Path,
    *,
    fold: int = 0,
    up: str | None = None,
    group: str | None = None,
    features: str | Iterable[str] = XYZ,
    columns: str | Columns | None = None,
    skip_bad: bool = False,
    drop_missing: bool = False,
    verify: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Recognise a data set; nothing of it is read before `.train` or `.test` is asked for.

    Args:
        source: a folder or its URL, a file of arrays (npz, h5) or the YAML file that describes one,
            or `primitives`, or `primitives-clean`. A folder that holds
            several variants takes one as the last part of its path: `ScanObjectNN/pb_t50_rs`.
        fold: which of five stratified parts is the test split (0 to 4), for a folder without a
            split of its own.
        up: which axis of a folder of class folders points up: x, y or z; z if nothing is said.
        group: what tells shapes that belong together, and are kept on one side of train,
            validation and test: the name of a column or array of the data, or `folder` for the
            folders below class folders. In splits that the data bring they are not moved.
        features: what a point of a view has: `xyz`, then any of `normal`, `colour`, `intensity`,
            `height` and the names of the data's own columns, such as `("xyz", "doppler")`.
        columns: what the files call some columns, as text (`x=origin_x,doppler=v_r`), or as a
            mapping from our names to theirs, or to numbers from 0 where they have no names.
        skip_bad: leave out clouds that cannot be used, and list them in `Split.bad`.
        drop_missing: first leave out points with a NaN or infinite coordinate, and what else they
            have; `Split.missing` counts them.
        verify: read the source again and compare it with the cache.
        cache: folder of parsed splits; `$POINTSTILL_CACHE` or `~/.cache/pointstill` by default.
        progress: called with (done, total) while a split is first read; total 0 is unknown.

    Warns:
        UserWarning: what was passed over and may have been meant.

    Raises:
        DataError: nothing known is at `source`; the message lists what was looked for. If there is
            nothing at all, a NoDataError, which is a UsageError as well.
        RemoteError: an object store cannot be listed.
        UsageError: a fold that does not exist, an up axis that is none or is fixed, a group that
            the data have not, a feature that is none, or columns that are no such text.
    """
    if not 0 <= fold < FOLDS:
        raise UsageError(f"fold is {fold}", fix=f"choose 0 to {FOLDS - 1}")
    if up not in (None, "x", "y", "z"):
        raise UsageError(f"up is {up!r}", fix="choose x, y or z")
    root = cache or default_root()
    data = Dataset(
        name=str(source),
        source=_find(source, fold, up, group, root, quiet=progress is None),
        fold=fold,
        asked_up=up,
        group=group,
        features=parse_features(features),
        columns=None if columns is None else parse_columns(columns),
        skip_bad=skip_bad,
        drop_missing=drop_missing,
        verify=verify,
        cache=root,
        progress=progress,
    )
    for remark in data.listed.remarks:
        # From one place, so that a folder that is opened again is spoken of once.
        warnings.warn(f"{data.name}: {remark}", stacklevel=1)
    return data


def _find(
    source: str | Path, fold: int, up: str | None, group: str | None, cache: Path, quiet: bool
) -> Source:
    """Recognise what is at a path or below a URL."""
    # Imported here, so that `import pointstill.data` stays light: most who do open nothing at once.
    if local(source):
        from .sources.finding import find_source

        return find_source(source, fold, up, group)
    from .remote_folder import find_remote

    return find_remote(str(source), fold, up, group, cache, quiet)
