"""Work on many clouds over processes, whose answers come in the order of the clouds.

A process that dies, as of a file that needs too much memory, costs the answer of that file alone.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from ...errors import PointstillError
from .answers import Answer
from .named_clouds import NamedCloud

Ask = Callable[[NamedCloud], Answer]
MOST_AT_ONCE = 16
"""Clouds that are sent to a process at once: so many take far longer than the message."""


def spread(ask: Ask, clouds: Sequence[NamedCloud], workers: int) -> Iterator[Answer]:
    """The answers to clouds, in their order, by so many processes; by this one for 1.

    Args:
        ask: what is done with a cloud; can be pickled, and raises nothing.
        clouds: what it is done with.
        workers: how many processes.

    Raises:
        PointstillError: a process cannot start.
    """
    if workers == 1:
        yield from map(ask, clouds)
        return
    size = max(1, min(MOST_AT_ONCE, len(clouds) // (4 * workers)))
    starts = range(0, len(clouds), size)
    batches: deque[Sequence[int]] = deque(
        range(start, min(start + size, len(clouds))) for start in starts
    )
    found: dict[int, Answer] = {}
    crew: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, len(batches))):
            worker = _Worker.start(ask)
            crew[worker.connection] = worker
        for number in range(len(clouds)):
            while number not in found:
                for connection in wait([*crew]):
                    assert isinstance(connection, Connection)
                    worker = crew[connection]
                    try:
                        worker.take(found)
                    except (EOFError, OSError):  # it is dead
                        del crew[connection]
                        if left := worker.bury(clouds, found):
                            batches.appendleft(left)
                        if batches:
                            worker = _Worker.start(ask)
                            crew[worker.connection] = worker
                        continue
                    if not worker.waiting and batches:
                        worker.give(batches.popleft(), clouds)
            yield found.pop(number)
    except BaseException:
        for worker in crew.values():
            worker.process.terminate()
        raise
    finally:
        for worker in crew.values():
            worker.connection.close()  # which ends it
            worker.process.join()


@dataclass
class _Worker:
    """A process, and which clouds it has not answered yet."""

    process: BaseProcess
    connection: Connection
    ready: bool = False
    waiting: deque[int] = field(default_factory=deque)

    @classmethod
    def start(cls, ask: Ask) -> "_Worker":
        context = get_context("spawn")  # a fork would share the threads of ONNX Runtime
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, ask), daemon=True)
        # Ctrl-C is for this process alone, from the first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return cls(process, ours)

    def give(self, batch: Sequence[int], clouds: Sequence[NamedCloud]) -> None:
        """Send clouds."""
        self.waiting.extend(batch)
        with suppress(OSError):  # dead: `take` will find it so
            self.connection.send([clouds[number] for number in batch])

    def take(self, found: dict[int, Answer]) -> None:
        """Receive that it is ready, or the answer to the next cloud.

        Raises:
            EOFError, OSError: it is dead.
        """
        answer = self.connection.recv()
        if self.ready:
            found[self.waiting.popleft()] = answer
        self.ready = True

    def bury(self, clouds: Sequence[NamedCloud], found: dict[int, Answer]) -> list[int]:
        """Say of which cloud it died; what it had beside that is left.

        Raises:
            PointstillError: it never worked.
        """
        self.connection.close()
        self.process.join()
        how = _ended(self.process.exitcode)
        if not self.ready:
            raise PointstillError(f"a worker {how} as it started", fix="give --workers 1")
        if self.waiting:
            number = self.waiting.popleft()
            said = (
                f"broke the process that read it, which {how}: classify it alone, or leave it out"
            )
            found[number] = Answer(clouds[number].name, error=said)
        return list(self.waiting)


def _ended(code: int | None) -> str:
    """How a process ended."""
    if code is not None and code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def _work(connection: Connection, ask: Ask) -> None:
    """Answer until there are no more clouds, or nobody is there to tell."""
    with suppress(EOFError, OSError):
        connection.send(None)
        while True:
            for cloud in connection.recv():
                connection.send(ask(cloud))
