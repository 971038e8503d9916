"""What a server may be asked for: sizes, times, and how much at once."""

from dataclasses import dataclass, fields

from ...errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond these a request is refused; see docs/serve.md for what it gets.

    Raises:
        UsageError: one that is not above zero.
    """

    upload: int = 16
    """MiB of a request at most."""
    most_points: int = 1_000_000
    """Points of a cloud at most."""
    seconds: int = 10
    """Time to send a request, and time to read its file, each."""
    memory: int = 1024
    """MiB that reading one file may take."""
    readers: int = 2
    """Requests that are read and classified at once, each read in a process of its own."""
    waiting: int = 32
    """Requests that may wait for that, their content in memory; others are told to come again."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) < 1:
                flag = field.name.replace("_", "-")
                raise UsageError(f"--{flag} is {value}", fix="choose 1 or more")

    @property
    def upload_bytes(self) -> int:
        """`upload`, in bytes."""
        return self.upload << 20
