"""The failures that `pointstill` explains to its user.

Every message names what is wrong, where (file, array, option) and the fix. The command line prints
it on one line, without a traceback, and exits with `exit_code`.
"""


class PointstillError(Exception):
    """Something failed that the user can mend."""

    exit_code = 1


class UsageError(PointstillError):
    """The command line itself is wrong: an option, a value, a name or path of nothing."""

    exit_code = 2


class DataError(PointstillError):
    """A data set, or one cloud of it, cannot be used."""


class ForbiddenError(DataError):
    """A file that may not be read: nothing says that it is bad, so that none is left out for it."""


class EmptySplitError(DataError):
    """A data set without a single shape in the split that was asked for."""


class TeacherError(PointstillError):
    """A teacher cannot be loaded, or does not fit the data."""


class RecordsError(PointstillError):
    """A record store is missing, unfinished, damaged, or made from something else."""


class TrainingError(PointstillError):
    """A training run cannot start, resume or go on."""


class RemoteError(PointstillError):
    """An object store, or the way to it, fails: nothing says that what is there is damaged."""


class UnreachableError(RemoteError):
    """The way to an object store fails."""


# Where there is nothing at all under a name or path that was given, the command line is wrong.


class NoDataError(UsageError, DataError):
    """There is no such data set, or no such file of a cloud."""


class NoTeacherError(UsageError, TeacherError):
    """There is no such file of a teacher."""


class NoRecordsError(UsageError, RecordsError):
    """There is no such record store."""


class NoRunError(UsageError, TrainingError):
    """There is no such run."""
