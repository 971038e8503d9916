"""The verb about data sets."""

from cyclopts import App

from .shared_options import DataOptions, Up

data_app = App(name="data", help="Look at data sets.")


@data_app.command(name="info")
def data_info(
    source: str,
    /,
    *,
    fold: int = 0,
    up: Up = None,
    group: str | None = None,
    features: str = "xyz",
    columns: str | None = None,
    skip_bad: bool = False,
    drop_missing: bool = False,
    verify: bool = False,
) -> None:
    """Count the shapes, classes and points of a data set, and say what its points have.

    **Examples**

        pointstill data info primitives
        pointstill data info modelnet40_ply_hdf5_2048/
        pointstill data info my_scans/ --up y --skip-bad
        pointstill data info gestures.yaml --group user

    Parameters
    ----------
    source:
        Folder of a data set, a file of arrays, its description, or primitives[-clean].
    fold:
        Which of five parts is the test split, for a folder without a split of its own.
    up:
        Axis that points up, for class folders of your own; z if nothing is said.
    group:
        What tells shapes that stay on one side of every split: a column, an array, or folder.
    features:
        Read these too, such as xyz,normal,doppler, and give their ranges.
    columns:
        What files call columns, as x=origin_x,doppler=v_r, or by number from 0, as doppler=3.
    skip_bad:
        Leave out clouds that cannot be used, and list them.
    drop_missing:
        Leave out points with a NaN or infinite coordinate, and count them.
    verify:
        Read the source again and compare it with the cache.
    """
    from .listing import describe_dataset

    options = DataOptions(
        data=source,
        fold=fold,
        up=up,
        group=group,
        features=features,
        columns=columns,
        skip_bad=skip_bad,
        drop_missing=drop_missing,
        verify=verify,
    )
    describe_dataset(options.open())
