"""What a file announces, compared with what is there."""

from ...errors import DataError

LARGE = 32 << 20
"""Bytes that any file may unpack to."""
RATIO = 64
"""How many times its size a larger one may unpack to: clouds are packed to a tenth at best."""


def check_count(what: str, announced: int, there: int) -> None:
    """Find out files that were cut off where no library notices."""
    if there < announced:
        raise DataError(f"is truncated (it announces {announced} {what}, but has {there})")


def bad_line(number: int, line: object) -> DataError:
    """The error for a line that is not what its format has there."""
    return DataError(f"cannot be read in line {number} ({str(line).strip()[:40]!r})")


def check_unpacked(announced: int, packed: int, large: int = LARGE) -> None:
    """Refuse what would unpack to far more bytes than clouds do, before memory is taken for it."""
    if announced > max(large, RATIO * packed):
        raise DataError(
            f"announces {announced:,} bytes, packed into {packed:,}: more than clouds unpack to"
        )
