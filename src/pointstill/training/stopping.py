"""What ends a training between two steps, with its state saved: a signal, if the caller says so."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from ..errors import Stopped

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Stop:
    """What the loop enters while it makes steps, and asks after each; this one never ends it."""

    number = 0
    """Of the signal that came; 0 for none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class OnSignal(Stop):
    """Ends it when the process is told to end; a second signal does so at once.

    For the command line: a library leaves the signals of a program to that program. What was
    ignored when the process started (by nohup) stays ignored.
    """

    def __enter__(self) -> Self:
        self.number = 0
        self._before: dict[int, Callable[..., Any] | int | None] = {}
        for name in NAMES:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number and signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise Stopped(number)
        self.number = number
