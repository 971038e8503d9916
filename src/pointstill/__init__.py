"""pointstill: record a large point-cloud classifier once, distil small ones for the CPU.

The public names load on first use, so that `import pointstill` costs nothing and classifying with
an exported student needs neither PyTorch nor anything that imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .data import open_dataset
    from .deployment.exporting import export
    from .deployment.runtime import Classifier
    from .errors import PointstillError
    from .evaluation.scoring import evaluate
    from .recording.job import record
    from .teachers import load_teacher
    from .training.jobs import distill, train

_HOMES = {
    "Classifier": "deployment.runtime",
    "PointstillError": "errors",
    "distill": "training.jobs",
    "evaluate": "evaluation.scoring",
    "export": "deployment.exporting",
    "load_teacher": "teachers",
    "open_dataset": "data",
    "record": "recording.job",
    "train": "training.jobs",
}

__all__ = [
    "Classifier",
    "PointstillError",
    "distill",
    "evaluate",
    "export",
    "load_teacher",
    "open_dataset",
    "record",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pointstill' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
