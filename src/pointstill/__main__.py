"""The entry of the command line: one line for every failure, and its exit code."""

import os
import signal
import sys
import warnings
from io import TextIOBase, TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from cyclopts import CycloptsError

from .cli.commands import app
from .cli.shared_options import lacking, read_recipe
from .errors import PointstillError, Stopped, UsageError, one_line, printable
from .torchrun import first, left_alone, tell, world

GOES_ON = ("train", "distill", "record", "demo", "records repair", "records extend")
"""Commands that go on where they were stopped; any other has kept nothing."""


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 misused, 128 + n ended by signal n."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name it cannot write ends no finished job
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = (cast(TextIO, _Printable(each)) for each in (sys.stdout, sys.stderr))
    warnings.showwarning = _warn
    # A rank that is told to end may be inside torch, where no handler would run.
    ours = []
    for name in ("SIGTERM", "SIGHUP") if world() == 1 else ():
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) == signal.SIG_DFL:  # or nohup has it ignored
            signal.signal(number, _stop)
            ours.append(number)
    # Torch reads it at its first tensor: large ones lie in pages of 2 MB, where Linux has them.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    code = run(sys.argv[1:])
    for number in ours:  # while Python leaves there is nothing to close, and nobody to catch it
        signal.signal(number, signal.SIG_DFL)
    sys.exit(code)


def run(tokens: list[str]) -> int:
    """Run one command line; a failure is one line on standard error. Returns the exit code."""
    plain = all(token == printable(token) for token in tokens)  # else Cyclopts would print it raw
    by_cyclopts = plain and world() == 1
    try:
        _check_folder()
        if world() > 1 and tokens[:1] not in (["train"], ["distill"]):
            raise UsageError(
                "other jobs are one process's", fix="start train or distill of several ranks"
            )
        recipe = _value_of("--recipe", tokens)
        command = tokens[:2] if tokens[:1] == ["records"] else tokens[:1]
        loss = _value_of("--loss", tokens)
        app.config = (read_recipe(Path(recipe), *command, loss=loss),) if recipe else ()
        app(tokens, exit_on_error=False, print_error=by_cyclopts, result_action="return_none")
    except CycloptsError as error:
        if not by_cyclopts:
            tell(f"error: {one_line(error, most=None)}")
        return 2  # Cyclopts has said what is wrong, and what was perhaps meant
    except PointstillError as error:
        tell(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt as stop:
        return _stopped(tokens, stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT))
    except SystemExit as leave:
        if leave.code != signal.SIGTERM:  # which Ray takes for itself, and leaves by
            raise
        return _stopped(tokens, Stopped(signal.SIGTERM))
    except BrokenPipeError:
        return 0
    except OSError as error:
        tell(f"error: {error}: check the path, its permissions and the space")
        return 1
    except Exception as error:
        if package := lacking(error):
            tell(f"error: this needs {package}: pip install 'pointstill[train]'")
            return UsageError.exit_code
        if os.environ.get("POINTSTILL_DEBUG"):
            raise
        if left_alone(error):
            tell(
                "error: another rank was killed or cannot be reached: the same command goes on "
                "from the last save"
            )
        else:
            tell(
                f"error: {type(error).__name__}: {one_line(error, most=None)} (a fault of "
                "pointstill: set POINTSTILL_DEBUG=1 for the traceback, and report it)"
            )
        return 1
    return 0


def _check_folder() -> None:
    """Refuse to work in a folder that was removed meanwhile, where no path means anything.

    Raises:
        UsageError: it was.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder is gone", fix="change to one that is there") from error


class _Printable(TextIOBase):
    """A stream to which nothing goes that steers a terminal, but for Rich's own colours."""

    def __init__(self, stream: TextIO):
        self._stream = self.rich_proxied_file = stream  # where Rich writes, whose tables are safe

    def write(self, text: str) -> int:
        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def _stop(number: int, frame: FrameType | None) -> None:
    """End the job in good order: what is kept is closed, drafts and locks go."""
    raise Stopped(number)


def _stopped(tokens: list[str], stop: Stopped) -> int:
    """Say that a signal ended the job, and whether it goes on. Returns the exit code."""
    goes_on = " ".join(tokens).startswith(GOES_ON)
    tell(f"{stop.what}; the same command goes on from here" if goes_on else stop.what)
    return 128 + stop.number


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line for a warning, without the place in the code."""
    if first():
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _value_of(flag: str, tokens: list[str]) -> str | None:
    """What follows a flag, as `--flag value` or `--flag=value`."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        if token == flag:
            return following
        if token.startswith(f"{flag}="):
            return token.removeprefix(f"{flag}=")
    return None


if __name__ == "__main__":
    main()
