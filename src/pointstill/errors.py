"""The failures that `pointstill` explains to its user.

An error keeps apart what a message joins: where (a file, a store, a run), what is wrong, and the
fix; the cause is what it was raised `from`. The command line prints it on one line, without a
traceback, and exits with `exit_code`.
"""

from typing import Any, Self


class PointstillError(Exception):
    """Something failed that the user can mend.

    Args:
        what: what is wrong: with `where`, a predicate of it (`is not finished`); without, a whole
            sentence (`views is 0`). No full stop.
        where: the file, store, teacher or run that it is about.
        fix: what to do, as an order (`give another --out`).

    >>> print(PointstillError("is not finished", where="runs/a", fix="run the same command again"))
    runs/a is not finished: run the same command again
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, fix: str | None = None):
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __str__(self) -> str:
        """The message: the only place that puts one together."""
        said = self.what if self.where is None else f"{self.where} {self.what}"
        said = said if self.fix is None else f"{said}: {self.fix}"
        # One line, also where a name of a file has several.
        return printable(said).replace("\n", r"\n").replace("\t", r"\t")

    def but(self, **fields: Any) -> Self:
        """The same error with another `what`, `where` or `fix`."""
        now = {"what": self.what, "where": self.where, "fix": self.fix} | fields
        return type(self)(now.pop("what"), **now)

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is sent from a worker to the process that waits for it."""
        return _remade, (type(self), self.what, self.where, self.fix)


def one_line(error: BaseException, most: int | None = 300) -> str:
    """The words of foreign code, for the brackets of a message: on one line, and not for ever."""
    return printable(" ".join(str(error).split())[:most])


_ORDERS = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Characters that steer a terminal, or turn the direction of what it shows."""
_WRITTEN_OUT = {code: ascii(chr(code))[1:-1] for code in _ORDERS if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """Text in which nothing steers a terminal: names of files and classes come from anywhere.

    >>> print(printable("a\\x1b[31mchair"))
    a\\x1b[31mchair
    """
    return text.translate(_WRITTEN_OUT)


def _remade(
    kind: type[PointstillError], what: str, where: str | None, fix: str | None
) -> PointstillError:
    return kind(what, where=where, fix=fix)


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


class Stopped(KeyboardInterrupt):
    """A signal ended the work, which nothing that handles faults may take for one.

    Args:
        number: of the signal.
        what: what became of the work, in a few words.
    """

    def __init__(self, number: int, what: str = "stopped"):
        super().__init__(number, what)
        self.number, self.what = number, what


# Where there is nothing at all under a name or path that was given, the command line is wrong.


class NoDataError(UsageError, DataError):
    """There is no such data set, or no such file of a cloud."""


class NoTeacherError(UsageError, TeacherError):
    """There is no such file of a teacher."""


class NoRecordsError(UsageError, RecordsError):
    """There is no such record store."""


class NoRunError(UsageError, TrainingError):
    """There is no such run."""
