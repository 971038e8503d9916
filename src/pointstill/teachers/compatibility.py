"""What a teacher takes of the features that the data was opened with."""

from ..data import Dataset
from ..data.selection import check_classes
from ..errors import TeacherError, UsageError
from ..points.features import XYZ, Features, format_features, width
from .teacher import Network, Teacher


def own_features(spec: str, network: Network, known: Features | None, given: Features) -> Features:
    """What a network takes of the features that it is given.

    What a run was trained on, or what its description names; else xyz alone where its file declares
    three numbers a point, or else all.

    Raises:
        TeacherError: more than it is given, or others than its file declares.
    """
    own = known or (XYZ if network.channels == 3 else given)
    if network.channels not in (None, width(own)):
        raise TeacherError(
            f"teacher {spec} takes {network.channels} numbers a point, and {format_features(own)} are "
            f"{width(own)}: say what it takes in its description"
        )
    if not set(own) <= set(given):
        raise TeacherError(
            f"teacher {spec} takes {format_features(own)} of each point, and the data was opened with "
            f"{format_features(given)}: give --features {format_features(own)}"
        )
    return own


def check_given(teacher: Teacher, features: Features) -> None:
    """Refuse a teacher that was loaded for other features than those of the data.

    Raises:
        UsageError: names both.
    """
    from .load import networks  # which is built on this file

    for network in networks(teacher):
        if network.given != features:
            raise UsageError(
                f"teacher {network.spec} was loaded for data with {format_features(network.given)}, and this "
                f"is opened with {format_features(features)}: load it with features=data.features"
            )


def check_fits(teacher: Teacher, data: Dataset) -> None:
    """Refuse a teacher that must not, or cannot, be asked about data; before any of it is read.

    Raises:
        DataError: the data has fewer than two classes.
        UsageError: the teacher has seen shapes of the test split, or was loaded for other features.
    """
    from .folds import check_folds  # which is built on what is built on this file

    check_classes(data)
    check_folds(teacher, data)
    check_given(teacher, data.features)
