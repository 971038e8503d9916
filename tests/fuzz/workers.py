"""Forked workers: one input after another, each within limits of time and memory, and watched.

A worker is watched from outside (time, memory, death) and from inside: an audit hook sees files,
processes and sockets that Python opens; inotify sees the baits, which C opens too, a module among
them; and whatever is written to its standard streams is kept.
"""

import ctypes
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from pointstill.errors import PointstillError

from .seeds import BAITS
from .targets import TARGETS, Place

SECONDS, MEMORY = 2.0, 2 << 30
"""CPU seconds beyond those of the sound input, and resident bytes, of one input."""
WAIT = 60.0
"""Seconds on the clock, for what hangs without computing."""
REUSED = 250
"""Inputs of one worker."""

READ, REFUSED, FAULT = "read", "refused", "fault"


@dataclass
class Outcome:
    """What came of an input."""

    kind: str
    """`READ`, `REFUSED`, or a kind of fault."""
    detail: str = ""
    """The error, or what the fault is."""
    answer: str = ""
    """SHA-256 of what was read."""
    disagreement: str | None = None
    """See `second_readers.disagreement`."""
    seconds: float = 0.0
    """Of CPU."""
    memory: int = 0
    """Most resident bytes."""


@dataclass
class Worker:
    """A process, and the folder of its input."""

    folder: Path
    surroundings: Path
    process: int = 0
    done: int = 0
    connection: Connection | None = None
    began: float = 0.0
    at_first: float = 0.0
    allowed: float = SECONDS
    most: int = 0
    used: Outcome | None = field(default=None)
    """The outcome of the use; a second reader is then at work."""

    def begin(self, target: str, files: dict[str, bytes], main: str, allowed: float) -> None:
        """Lay an input out and use it."""
        if not self.process or self.done >= REUSED:
            self.end()
            self._fork()
        lay_out(self.folder, files)
        self.began, self.used, self.most = time.monotonic(), None, 0
        self.at_first = cpu_seconds(self.process)
        self.allowed = allowed
        self.done += 1
        assert self.connection
        self.connection.send((target, main, sorted({name.partition("/")[0] for name in files})))

    def look(self) -> Outcome | None:
        """The outcome, once there is one; kills what is over a limit."""
        assert self.connection
        seconds = cpu_seconds(self.process) - self.at_first
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Outcome):
                    message.seconds, message.memory = seconds, max(self.most, message.memory)
                    self.used = message
                else:  # the second reader is done
                    assert self.used
                    self.used.disagreement = message
                    return self._judged(self.used)
        except (EOFError, ConnectionError):
            return self._died(seconds)
        self.most = max(self.most, resident(self.process))
        over = None
        if self.most > MEMORY:
            over = Outcome("memory", f"{self.most / 2**30:.1f} GiB")
        elif seconds > self.allowed:
            over = Outcome("time", f"{seconds:.1f} s of CPU")
        elif time.monotonic() - self.began > WAIT:
            over = Outcome("hang", f"{WAIT:.0f} s, {seconds:.1f} of them of CPU")
        if not over:
            return None
        over.seconds, over.memory = seconds, self.most
        self.end()
        return self._judged(self.used or over)

    def _judged(self, outcome: Outcome) -> Outcome:
        if outcome.kind in (READ, REFUSED) and outcome.memory > MEMORY:
            outcome.kind, outcome.detail = "memory", f"{outcome.memory / 2**30:.1f} GiB"
        return outcome

    def _died(self, seconds: float) -> Outcome:
        _, status = os.waitpid(self.process, 0)
        self.process = 0
        self.end()
        if self.used:  # it was the second reader
            return self._judged(self.used)
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return Outcome("abort", name, seconds=seconds, memory=self.most)

    def _fork(self) -> None:
        here, there = Pipe()
        process = os.fork()
        if not process:
            here.close()
            try:
                _work(there, self.folder, self.surroundings)
            finally:
                os._exit(0)
        there.close()
        self.process, self.connection, self.done = process, here, 0

    def end(self) -> None:
        """Kill the process, and those that it began."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.process, 0)
        if self.connection:
            self.connection.close()
        self.process, self.connection = 0, None


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder of the files of an input, and the baits."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in (BAITS | files).items():
        path = folder / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "work").mkdir()


def family(process: int) -> Iterator[int]:
    """A process and its children."""
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def cpu_seconds(process: int) -> float:
    """Of a process and its children, the finished ones among them."""
    ticks = 0
    for each in family(process):
        with suppress(OSError, IndexError):
            text = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2]
            ticks += sum(map(int, text.split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> int:
    """Most resident bytes of a process or of one of its children."""
    sizes = [0]
    for each in family(process):
        with suppress(OSError, IndexError):
            sizes.append(int(Path(f"/proc/{each}/statm").read_text().split()[1]))
    return max(sizes) * os.sysconf("SC_PAGE_SIZE")


# Inside


def _work(connection: Connection, folder: Path, surroundings: Path) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with its parent
    words = tempfile.TemporaryFile()  # noqa: SIM115
    os.dup2(words.fileno(), 1)
    os.dup2(words.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    watch = Watch(folder, surroundings)
    warnings.showwarning = watch.warned
    tempfile.tempdir = str(folder / "work")
    while True:
        try:
            target, main, names = connection.recv()
        except EOFError:
            return
        _reset_peak()
        words.seek(0)
        words.truncate()
        os.chdir(folder / "input")  # where a name alone would be looked for
        before = [*sys.path]
        place = Place(folder / "input" / main, folder / "work", surroundings)
        outcome, found = _used(target, place, watch, names)
        sys.path[:] = before
        sys.modules.pop("bait", None)
        sys.stdout.flush()
        sys.stderr.flush()
        words.seek(0)
        said = words.read(20_000).decode("utf-8", "replace").strip()
        if outcome.kind in (READ, REFUSED):
            loud = "Traceback" in said if TARGETS[target].speaks else bool(said)
            if watch.seen:
                outcome = Outcome("opened", "; ".join(sorted(set(watch.seen)))[:300])
            elif loud:
                outcome = Outcome("words", " ".join(said.split())[:300])
            elif watch.warnings:
                outcome = Outcome("words", watch.warnings[0][:300])
        outcome.memory = _peak()
        connection.send(outcome)
        second = None
        if target == "reader" and outcome.kind == READ and found is not None:
            from .second_readers import disagreement

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                second = disagreement(place.path, found[0])
        connection.send(second)


def _used(
    target: str, place: Place, watch: "Watch", names: list[str]
) -> tuple[Outcome, list[Any] | None]:
    try:
        with watch.at_work(names):
            found = TARGETS[target].use(place)
        return Outcome(READ, answer=digest(found)), found
    except PointstillError as error:
        text = str(error)
        if "\n" in text or any(ord(letter) < 32 for letter in text):
            return Outcome("message", repr(text)[:300]), None
        return Outcome(REFUSED, text[:300]), None
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if "pointstill" in each.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
        said = " ".join(str(error).split())[:160]
        return Outcome("exception", f"{type(error).__name__} in {where}: {said}"), None


def digest(value: Any) -> str:
    """SHA-256 (hex) of arrays, bytes, texts and plain values, nested."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, dict):
        value = sorted(value.items(), key=repr)
    if isinstance(value, list | tuple):
        sha.update(b"[")
        for each in value:
            _feed(sha, each)
        sha.update(b"]")
    elif isinstance(value, np.ndarray):
        sha.update(f"{value.dtype}{value.shape}".encode())
        sha.update(value.tobytes())
    else:
        sha.update(repr(value).encode("utf-8", "surrogatepass"))


class Watch:
    """What the use of an input opens, starts, imports and says."""

    def __init__(self, folder: Path, surroundings: Path):
        self.folder, self.seen, self.warnings = str(folder), list[str](), list[str]()
        roots = {sys.prefix, sys.base_prefix, *(each for each in sys.path if each)}
        roots |= {str(folder), str(surroundings), "/proc", "/sys", "/usr", "/etc", "/dev/shm"}
        roots |= {"/dev/null", "/dev/urandom", "/lib"}
        self.roots = tuple(str(Path(each).resolve()) for each in roots)
        self.on = False
        libc = ctypes.CDLL(None, use_errno=True)
        self._add, self._inotify = libc.inotify_add_watch, libc.inotify_init1(os.O_NONBLOCK)
        sys.addaudithook(self._heard)

    @contextmanager
    def at_work(self, names: list[str]) -> Iterator[None]:
        """Watch; `names` are those of the input, which may be opened."""
        self.seen, self.warnings, self.on = [], [], True
        self._add(self._inotify, f"{self.folder}/input".encode(), 0x20 | 0x100)  # open, create
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
                    warnings.simplefilter("ignore", kind)
                warnings.simplefilter("ignore", ResourceWarning)
                warnings.showwarning = self.warned
                yield
        finally:
            self.on = False
            self.seen += [f"opens {name}" for name in self._opened() if name and name not in names]

    def _opened(self) -> list[str]:
        found = []
        with suppress(BlockingIOError):
            while events := os.read(self._inotify, 1 << 16):
                at = 0
                while at < len(events):
                    length = int.from_bytes(events[at + 12 : at + 16], sys.byteorder)
                    name = events[at + 16 : at + 16 + length].rstrip(b"\0")
                    found.append(name.decode("utf-8", "replace"))
                    at += 16 + length
        return [name for name in found if name in BAITS or name == "opened"]

    def warned(self, message: Warning | str, category: Any, filename: str, *_: Any) -> None:
        """Keep a warning that is not pointstill's own."""
        frame: Any = sys._getframe(1)
        while frame and frame.f_globals.get("__name__") == "warnings":
            frame = frame.f_back
        if not frame or not frame.f_globals.get("__name__", "").startswith("pointstill"):
            text = " ".join(str(message).split())
            self.warnings.append(f"{category.__name__}: {text}")

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("open", "ctypes.dlopen"):
            path = arguments[0]
            if isinstance(path, bytes):
                path = os.fsdecode(path)
            if isinstance(path, str):
                whole = path if path.startswith("/") else f"{os.getcwd()}/{path}"  # noqa: PTH109
                if not os.path.normpath(whole).startswith(self.roots):
                    self.seen.append(f"opens {path}")
        elif event == "subprocess.Popen":
            if arguments[0] != sys.executable:
                self.seen.append(f"runs {arguments[0]}")
        elif event in ("os.system", "os.exec", "os.posix_spawn", "socket.connect"):
            self.seen.append(f"{event} {arguments[0]}")


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    with suppress(OSError, IndexError, ValueError):
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) << 10
    return 0
