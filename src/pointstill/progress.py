"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where people read; standard output is kept for results."""

PLAIN_SECONDS = 10.0
"""Time between the first plain lines, where there is no terminal; long work speaks less often."""
READING_SECONDS = 3.0
"""Time between two lines about the first read of a data set."""


class Track:
    """Counts work as it is done; use as a context manager.

    Args:
        label: what is being done, in a word or two.
        total: units of work in all.
        unit: name of a unit, in the plural.
        done: units done before, by an earlier process: they do not count in the rate.
        quiet: say nothing.
    """

    def __init__(self, label: str, total: int, unit: str, done: int = 0, quiet: bool = False):
        self.label, self.total, self.unit, self.quiet = label, total, unit, quiet
        self.count = self.before = self.told = done
        self.started = self.spoke = time.monotonic()
        self.bar: Progress | None = None
        if not quiet and console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                _Rate(unit),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}"),
            )
            self.bar = Progress(*columns, console=console)
            self.task = self.bar.add_task(label, total=total, completed=done, note="")

    def __enter__(self) -> "Track":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif kind is None:
            self._say("")

    def advance(self, units: int, note: str = "") -> None:
        """Count `units` more as done; `note` is shown beside them."""
        self.count += units
        if self.bar:
            self.bar.update(self.task, completed=self.count, note=note)
        elif time.monotonic() - self.spoke >= max(PLAIN_SECONDS, self._elapsed() / 10):
            self._say(note)

    def _elapsed(self) -> float:
        return time.monotonic() - self.started

    def _say(self, note: str) -> None:
        if self.quiet or self.count == self.told:
            return
        self.spoke, self.told = time.monotonic(), self.count
        rate = (self.count - self.before) / max(self._elapsed(), 1e-9)
        left = (self.total - self.count) / rate
        line = f"{self.label}: {self.count:,} of {self.total:,} {self.unit}, {rate:,.4g}/s"
        tail = f", {clock(left)} left" if left > 0 else f" in {clock(self._elapsed())}"
        print(line + tail + (f", {note}" if note else ""), file=sys.stderr, flush=True)


class _Rate(ProgressColumn):
    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.4g} {self.unit}/s" if speed else "", style="cyan")


class Reading:
    """Tells how far the first read of a data set is, every few seconds."""

    def __init__(self, source: str):
        self.source = source
        self.first: tuple[float, int] | None = None
        self.spoke = 0.0

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` clouds are read; a total of 0 is unknown."""
        now = time.monotonic()
        if self.first is None or done <= self.first[1]:  # a split begins
            self.first, self.spoke = (now, done), now
        if now - self.spoke < READING_SECONDS:
            return
        self.spoke = now
        seconds = (now - self.first[0]) / (done - self.first[1])
        of = f" of {total:,}" if total else ""
        left = f", {clock(seconds * (total - done))} left" if total else ""
        print(f"reading {self.source}: {done:,}{of} clouds{left}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as people say them.

    >>> clock(5), clock(75), clock(7300)
    ('5 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as people say them.

    >>> size(900), size(164_000), size(2_500_000)
    ('900 bytes', '164.0 kB', '2.5 MB')
    """
    return decimal(round(count))
