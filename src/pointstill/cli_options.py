"""Options that several commands share, and the reading of recipe files. Light: no torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from cyclopts.config import Dict

from .errors import UsageError

if TYPE_CHECKING:
    from .data import Dataset
    from .teachers import Teacher


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where labelled clouds come from."""

    data: str
    """Folder of a data set (its kind is recognised), or primitives, or primitives-clean."""
    fold: int = 0
    """Which of five parts is the test split (0 to 4), for a folder without a split of its own."""
    skip_bad: bool = False
    """Leave out clouds that cannot be used, and list them."""
    verify: bool = False
    """Read the source again and compare it with the cache."""

    def open(self) -> "Dataset":
        """Recognise the data set."""
        from .data import open_dataset
        from .progress import Reading

        return open_dataset(
            self.data,
            fold=self.fold,
            skip_bad=self.skip_bad,
            verify=self.verify,
            progress=Reading(self.data),
        )


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """How a teacher is loaded and spoken to."""

    weights: Path | None = None
    """Weights of a built-in or your own model; a run folder brings its own."""
    class_names: Path | None = None
    """File with the teacher's class names, one a line, in the order of its logits."""
    frame: str | None = None
    """Axes the teacher expects, in terms of the data's, such as x,z,y or x,z,-y."""
    layout: Literal["auto", "bn3", "b3n"] = "auto"
    """Layout of its input: (B, N, 3) or (B, 3, N); auto tries."""
    output: Literal["auto", "logits", "probabilities"] = "auto"
    """What it returns; log-softmax counts as logits."""

    def load(self, spec: str, data: "Dataset", device: str, threads: int) -> "Teacher":
        """Load a teacher for the classes of the data."""
        from .device import pick_device, set_threads
        from .teachers import load_teacher

        set_threads(threads)
        names = None
        if self.class_names:
            try:
                lines = self.class_names.read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{self.class_names} cannot be read: {error}") from error
            names = [line.strip() for line in lines if line.strip()]
        return load_teacher(
            spec,
            weights=self.weights,
            classes=data.classes,
            class_names=names,
            frame=self.frame,
            layout=self.layout,
            output=self.output,
            up=data.up,
            device=str(pick_device(device)),
        )


def read_recipe(path: Path, command: str) -> Dict:
    """A YAML file as defaults of a command's flags; what a run noted of its origin is passed over.

    Raises:
        UsageError: it cannot be read, or is no list of `name: value` lines.
    """
    try:
        recipe = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise UsageError(f"recipe {path} is not a list of `name: value` lines")
    recipe = {name: value for name, value in recipe.items() if value is not None}
    recipe.pop("origin", None)
    # Under the command's name, as Cyclopts passes over top keys that are commands too (data).
    return Dict({command: recipe}, source=str(path))


def needs_torch() -> None:
    """Say how to get PyTorch where a command needs it and it is not installed.

    Raises:
        UsageError: it is not.
    """
    from importlib.util import find_spec

    if not find_spec("torch"):
        raise UsageError(
            "this command needs PyTorch: install it as pytorch.org says for your machine, then "
            "pip install 'pointstill[train]'"
        )
