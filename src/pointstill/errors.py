"""The failures that `pointstill` explains to its user.

Every message names what is wrong, where (file, array, option) and the fix. The command line prints
it on one line, without a traceback, and exits with `exit_code`.
"""


class PointstillError(Exception):
    """Something failed that the user can mend."""

    exit_code = 1


class UsageError(PointstillError):
    """An option, name or recipe that makes no sense; nothing was started."""

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
