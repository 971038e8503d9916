"""What a file announces, compared with what is there."""

from ...errors import DataError


def check_count(what: str, announced: int, there: int) -> None:
    """Find out files that were cut off where no library notices."""
    if there < announced:
        raise DataError(f"is truncated (it announces {announced} {what}, but has {there})")


def printable(name: str) -> str:
    """A name out of a file, for a message: short, and without what a terminal would obey."""
    return repr(name[:60])[1:-1]


def bad_line(number: int, line: object) -> DataError:
    """The error for a line that is not what its format has there."""
    return DataError(f"cannot be read in line {number} ({str(line).strip()[:40]!r})")
