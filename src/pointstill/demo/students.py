"""Training runs side by side: one process a core, one thread each, as small nets like it."""

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from types import TracebackType

from ..errors import TrainingError
from ..progress import Track
from .schedule import DATA, STORE, Job, Plan

POLL_SECONDS = 0.5


class Crew:
    """Processes that train; use as a context manager.

    Results do not depend on how many they are. Killed at any moment, the same calls go on.
    """

    def __init__(self, plan: Plan, out: Path):
        self.plan, self.out = plan, out
        workers = min(_cores(), plan.workers)
        self.pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error:  # Ctrl-C as well: leave nobody at work
            self.pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
        self.pool.shutdown()

    def train(self, jobs: Sequence[Job], shapes: int, label: str) -> None:
        """Train what is not trained yet.

        Args:
            jobs: the runs.
            shapes: shapes of the training split.
            label: what is being done, in a word.

        Raises:
            TrainingError: a run failed, or its process was killed.
        """
        done = self._seen(jobs, shapes)
        total = sum(job.epochs(self.plan) * job.shapes(self.plan, shapes) for job in jobs)
        with Track(label, total, "shapes", done) as track:
            todo = [job for job in jobs if not job.finished(self.out)]
            waiting = {self.pool.submit(_train, job, self.plan, self.out) for job in todo}
            while waiting:
                ready, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
                track.advance(self._seen(jobs, shapes) - track.count)
                for future in ready:
                    try:
                        future.result()
                    except BrokenProcessPool as error:
                        raise TrainingError(
                            f"a training process was killed (out of memory?): run the same "
                            f"command again to go on in {self.out}"
                        ) from error

    def _seen(self, jobs: Sequence[Job], shapes: int) -> int:
        """Shapes that all runs have been through, by their logs."""
        total = 0
        for job in jobs:
            log = job.folder(self.out) / "metrics.jsonl"
            epochs = len(log.read_text("utf-8").splitlines()) if log.exists() else 0
            total += epochs * job.shapes(self.plan, shapes)
        return total


def _begin() -> None:
    """Set a worker up: it dies at once with its parent, or with Ctrl-C, and says nothing."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
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
        train(plan.student, data, out=folder, recipe=plan.fresh_recipe(job.seed), quiet=True)
    else:
        recipe = plan.recorded_recipe(method.loss, job.seed)
        distill(plan.student, data, records=out / STORE, out=folder, recipe=recipe, quiet=True)


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
