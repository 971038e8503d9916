"""Training runs side by side: one process a core, one thread each, as small nets like it."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

from ..deployment.runtime import cores
from ..errors import TrainingError
from ..progress import Track
from .experiment import DATA, STORE, Job, Plan

POLL_SECONDS = 0.5


@contextmanager
def trainers(most: int) -> Iterator[Executor]:
    """Processes that train, one a core at most; they die with an error in the body, or Ctrl-C.

    Results do not depend on how many they are.
    """
    pool = ProcessPoolExecutor(min(cores(), most), get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown()


def train_all(
    pool: Executor, jobs: Sequence[Job], plan: Plan, out: Path, *, shapes: int, label: str
) -> None:
    """Train what is not trained yet; killed at any moment, the same call goes on.

    Args:
        pool: from `trainers`.
        jobs: the runs.
        plan: the sizes of everything.
        out: folder of the demo.
        shapes: shapes of the training split.
        label: what is being done, in a word.

    Raises:
        TrainingError: a run failed, or its process was killed.
    """

    def seen() -> int:
        """Shapes that all runs have been through, by their logs."""
        return sum(_epochs(job.folder(out)) * job.shapes(plan, shapes) for job in jobs)

    total = sum(job.epochs(plan) * job.shapes(plan, shapes) for job in jobs)
    with Track(label, total, "shapes", seen()) as track:
        waiting = {pool.submit(_train, job, plan, out) for job in jobs if not job.finished(out)}
        while waiting:
            ready, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            track.advance(seen() - track.count)
            for future in ready:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise TrainingError(
                        "lost a training process, which was killed (out of memory?)",
                        where=out,
                        fix="run the same command again to go on",
                    ) from error


def _epochs(run: Path) -> int:
    """Epochs in the log of a run."""
    log = run / "metrics.jsonl"
    return len(log.read_text("utf-8").splitlines()) if log.exists() else 0


def _begin() -> None:
    """Set a worker up: it dies at once with its parent, or with Ctrl-C, and says nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    parent = parent_process()
    assert parent

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _train(job: Job, plan: Plan, out: Path) -> None:
    """One training run, in a process of its own."""
    from ..data import open_dataset
    from ..training.jobs import distill, train

    data, folder, method = open_dataset(DATA), job.folder(out), job.method
    if method is None:
        train(plan.teacher, data, out=folder, recipe=plan.teacher_recipe(), quiet=True)
    elif method.loss is None:
        recipe = plan.fresh_recipe(method.smoothing, job.seed)
        train(plan.student, data, out=folder, recipe=recipe, quiet=True)
    else:
        taught = plan.recorded_recipe(method.loss, job.seed)
        distill(plan.student, data, records=out / STORE, out=folder, recipe=taught, quiet=True)
