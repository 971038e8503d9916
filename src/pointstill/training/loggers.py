"""The metrics of a run for other readers, CSV or TensorBoard, by Lightning Fabric's loggers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from .. import torchrun
from ..errors import UsageError, one_line
from ..recipe import LoggerName
from ..run import METRICS, Run
from . import ranks


def check_logger(name: LoggerName) -> None:
    """See that a logger is installed, before any work.

    Raises:
        UsageError: it is not.
    """
    if name == "tensorboard" and torchrun.first() and not find_spec("tensorboard"):
        raise UsageError(
            "--logger tensorboard needs tensorboard", fix="pip install 'pointstill[tensorboard]'"
        )


class MetricsLogger:
    """Hands each epoch's metrics to a logger in the run folder; on the first rank alone.

    The log is a copy of `metrics.jsonl`, written anew whenever the run goes on, so that it is whole
    whatever was logged before. Nothing is read from it, and where it fails, training goes on.

    Args:
        run: whose folder it is written into.
        name: of the logger.
        epoch: the one that the run goes on with; those before it are copied.
    """

    def __init__(self, run: Run, name: LoggerName, epoch: int):
        self.run = run
        self.logger: Logger | None = None
        if name == "none" or ranks.rank():
            return
        with self._harmless():
            self.logger = _opened(name, run.folder)
            for line in run.metrics():
                if line["epoch"] < epoch:
                    self.log(line)

    def log(self, line: dict[str, Any]) -> None:
        """Hand over a line of the metrics; its epoch is the step."""
        with self._harmless():
            if self.logger:
                values = {name: value for name, value in line.items() if name != "epoch"}
                self.logger.log_metrics(values, line["epoch"])
                self.logger.save()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._harmless():
            if self.logger:
                self.logger.finalize("")

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Leave the log alone once it fails, and say so."""
        try:
            yield
        except Exception as error:
            self.logger = None
            warnings.warn(
                f"{self.run.folder}: its log fails ({one_line(error, 160)}), and training goes on "
                f"without; {METRICS} has everything",
                stacklevel=2,
            )


def _opened(name: LoggerName, folder: Path) -> Logger:
    """A logger that writes into a folder: `metrics.csv`, or `events.out.tfevents.*`."""
    if name == "csv":
        csv = CSVLogger(folder, name=None, version="")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")  # ours is never empty
            _ = csv.experiment  # removes what was logged before
        return csv
    # Readers drop what they know from step 0 on: an earlier process logged it.
    events = TensorBoardLogger(folder, name="", version="", purge_step=0)
    if Path(events.log_dir) != folder:
        raise ValueError(f"its logger takes the path for {events.log_dir}")
    return events
