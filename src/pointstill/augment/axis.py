"""Axes as options of operations: x, y, z, or up, which stands for that of the data."""

from ..errors import UsageError

AXES = ("x", "y", "z")


def check_axis(operation: str, option: str, value: str, *more: str) -> None:
    """Refuse an option of an operation that is no axis, and none of what `more` allows.

    Raises:
        UsageError: names the operation, the option and what may be chosen.
    """
    allowed = (*AXES, *more, "up")
    if value not in allowed:
        raise UsageError(
            f"has {option}={value}, which is no axis",
            where=operation,
            fix=f"choose from {', '.join(allowed)}",
        )
