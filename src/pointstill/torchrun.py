"""What torchrun tells a process: whether it is one of several, and which.

All ranks run the same command line. To read a source once and to fail with one voice they meet at
the key-value store that torchrun keeps for them, which is there before they can compute together.
Light: torch is imported only by a process that torchrun started.
"""

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

_turns = count()
_ending = threading.Event()


def world() -> int:
    """How many ranks there are, on all machines; 1 for a process by itself."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def first() -> bool:
    """Whether this is the rank that prints and writes, as a process by itself does."""
    return world() == 1 or os.environ["RANK"] == "0"


@contextmanager
def in_turn() -> Iterator[None]:
    """Let the first rank of each machine do something before the others, which find it done."""
    if world() == 1:
        yield
        return
    store, leads = _store(), os.environ["LOCAL_RANK"] == "0"
    turn = f"turn/{os.environ['GROUP_RANK']}/{next(_turns)}"
    if not leads:
        # However long it takes: if the one that leads fails, torchrun ends those that wait.
        store.wait([turn], timedelta(days=30))
    yield
    if leads:
        store.set(turn, "done")


def tell(line: str) -> None:
    """Say on standard error how the job ended; of several ranks, the first to come says it."""
    store = None
    _ending.set()
    if world() > 1:
        # A store that is not to be had went with its machine: better said twice than not at all.
        with suppress(Exception):
            store = _store()
            if store.add("ended", 1) > 1:
                # Whoever ends first makes torchrun end the others, so let the line be out before.
                store.wait(["told"], timedelta(seconds=10))
                return
    with suppress(OSError):  # a terminal that hung up
        print(line, file=sys.stderr, flush=True)
    if store is not None:
        with suppress(Exception):
            store.set("told", "")


def watch() -> None:
    """From now on, end this process once another rank has told why the job ended.

    On one machine torchrun would; but one on another machine may be waited for to no end.
    """
    thread = threading.Thread(target=_look, daemon=True)
    thread.start()
    atexit.register(_end_watch, thread)


def _look() -> None:
    """Ask the store once a second; never wait inside it: see `_end_watch`."""
    store = None
    while not _ending.wait(1.0):
        if store is None:
            with suppress(Exception):  # a busy machine: the next time
                store = _connect(seconds=5)
            continue
        try:
            told = store.check(["told"])
        except Exception:  # the store is gone: the job is over, or collectives fail
            return
        # A rank that is about to fail by itself does so in better order.
        if told and not _ending.wait(2.0):
            os._exit(1)


def _end_watch(thread: threading.Thread) -> None:
    """End the watch before the interpreter ends, which would abort a thread inside the store."""
    _ending.set()
    thread.join(timeout=15)
    if thread.is_alive():  # it asks a machine that went without a word, and the job with it
        os._exit(1)


def left_alone(error: Exception) -> bool:
    """Whether an error says that other ranks are gone, and not what made them go."""
    return world() > 1 and (
        type(error).__name__.startswith("Dist")  # torch.distributed.DistError and its kinds
        or any(name in str(error) for name in ("gloo", "NCCL", "ncclInternal"))
    )


def _connect(seconds: float = 300) -> Any:
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    patience = timedelta(seconds=seconds)  # to connect, and for an answer
    attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]  # with --max-restarts: a life of its own
    store = TCPStore(address, port, is_master=False, timeout=patience)
    return PrefixStore(f"pointstill/{attempt}", store)


_store = cache(_connect)
