"""Options that several commands share, and the reading of recipe files. Light: no torch here."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token, convert
from cyclopts.config import Dict

from .. import torchrun
from ..errors import UsageError, one_line
from ..recipe import RecordRecipe, of_its_loss
from ..storage.files import read_bounded
from ..storage.paths import here

if TYPE_CHECKING:
    from ..data import Dataset, Split
    from ..recording.engine import Engine
    from ..teachers import Teacher

Up = Literal["x", "y", "z"] | None
TRAIN = (
    *("fpsample", "jinja2", "lightning-fabric", "matplotlib", "onnx", "onnxscript"),
    *("safetensors", "scipy", "torch", "torchmetrics", "zarr"),
)
"""The packages of the extra `train`."""
Flat = Parameter(name="*")
"""The fields of a class of options as flags of their own."""
RecipeFile = Annotated[Path | None, Parameter(name="--recipe")]
PATHS = (Path, Path | None, list[Path], list[Path] | None)


@dataclass(frozen=True, kw_only=True)
class MaybeData:
    """Where labelled clouds come from, for a command that may go without."""

    data: str | None = None
    """The data set of the records, as `record` is given it: a folder, file, URL, or primitives."""
    fold: int = 0
    """Which of five parts is the test split (0 to 4), for a folder without a split of its own."""
    up: Up = None
    """Axis that points up, for class folders of your own; z if nothing is said."""
    group: str | None = None
    """What tells shapes that stay on one side of every split: a column, an array, or folder."""
    features: str = "xyz"
    """What a point has: xyz, then any of normal, colour, intensity, height and columns by name."""
    columns: str | None = None
    """What files call columns, as x=origin_x,doppler=v_r, or by number from 0, as doppler=3."""
    skip_bad: bool = False
    """Leave out clouds that cannot be used, and list them."""
    drop_missing: bool = False
    """Leave out points with a NaN or infinite coordinate, instead of refusing their cloud."""

    def open(self) -> "Dataset | None":
        """Recognise the data set, if there is one."""
        return self._opened(self.data) if self.data else None

    def _opened(self, source: str, verify: bool = False) -> "Dataset":
        from ..data import open_dataset
        from ..progress import Reading

        return open_dataset(
            source,
            fold=self.fold,
            up=self.up,
            group=self.group,
            features=self.features,
            columns=self.columns,
            skip_bad=self.skip_bad,
            drop_missing=self.drop_missing,
            verify=verify,
            progress=Reading(source),
        )


@dataclass(frozen=True, kw_only=True)
class DataOptions(MaybeData):
    """Where labelled clouds come from."""

    data: str = field()  # `field`, as the default of none would be inherited
    """Data set: a folder, a file of arrays or its description, or a URL; primitives[-clean]."""
    verify: bool = False
    """Read the source again and compare it with the cache."""

    def open(self) -> "Dataset":
        """Recognise the data set."""
        return self._opened(self.data, self.verify)

    def beside(self, source: str) -> "DataOptions":
        """Another data set, of which the same features are read, if from files by the same columns.

        How its shapes are parted is its own.
        """
        from ..data.sources.finding import GENERATED

        columns = None if source in GENERATED else self.columns
        return replace(self, data=source, fold=0, up=None, group=None, columns=columns)

    @property
    def flags(self) -> str:
        """The same data again, for a command to come.

        >>> DataOptions(data="my scans", fold=2, up="y", skip_bad=True).flags
        "--data 'my scans' --fold 2 --up y --skip-bad"
        >>> DataOptions(data="radar", columns="x=px,v=v r").flags
        "--data radar --columns 'x=px,v=v r'"
        """
        features = self.features if self.features != "xyz" else None
        group = quote(self.group) if self.group else None
        columns = quote(self.columns) if self.columns else None
        said = {"fold": self.fold, "up": self.up, "group": group}
        said |= {"features": features, "columns": columns}
        flags = [f"--{name} {value}" for name, value in said.items() if value]
        flags += ["--skip-bad"] * self.skip_bad + ["--drop-missing"] * self.drop_missing
        return " ".join([f"--data {quote(self.data)}", *flags])


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How one network is loaded and asked."""

    weights: list[Path] | None = None
    """Weights of a built-in or your own model; with several, in the order of the teachers."""
    class_names: Path | None = None
    """File with the teacher's class names, one a line, in the order of its logits."""
    class_map: Path | None = None
    """YAML file of `teacher class: data class` (null drops it), where the classes differ."""
    axes: Annotated[str | None, Parameter(name=("--axes", "--frame"))] = None
    """Axes the teacher expects, in terms of the data's, such as x,z,y or x,z,-y."""
    layout: Literal["auto", "bn3", "b3n"] = "auto"
    """Layout of its input: (B, N, 3) or (B, 3, N); auto tries."""
    output: Literal["auto", "logits", "probabilities"] = "auto"
    """What it returns; log-softmax counts as logits."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int = 0
    """CPU threads; 0 for torch's own choice, or where workers are many (--engine ray) for 1."""

    def load(self, spec: str | Sequence[str], data: "Dataset", *, many: bool = False) -> "Teacher":
        """Load a teacher for the classes of the data; several names are an ensemble.

        Args:
            spec: one name, or several.
            data: what it is loaded for.
            many: whether it will be one of many on this machine.
        """
        from ..teachers import load_teacher
        from ..training.device import pick_device, set_threads

        set_threads(self.threads or int(many))
        options = self.options(data, str(pick_device(self.device)))
        return load_teacher(spec, weights=self.weights, **options)

    def options(self, data: "Dataset", device: str) -> dict[str, Any]:
        """Arguments of `load_teacher`, all but the teacher and its weights."""
        from ..data.selection import check_classes

        check_classes(data)  # which the teacher would be said not to fit
        names = None
        if self.class_names:
            try:
                lines = read_bounded(self.class_names).decode("utf-8-sig").splitlines()
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"cannot be read ({one_line(error)})",
                    where=self.class_names,
                    fix="give a text file with a class name a line",
                ) from error
            names = [line.strip() for line in lines if line.strip()]
        return {
            "classes": data.classes,
            "class_names": names,
            "class_map": self.class_map,
            "axes": self.axes,
            "layout": self.layout,
            "output": self.output,
            "up": data.up,
            "features": data.features,
            "device": device,
        }


@dataclass(frozen=True, kw_only=True)
class TeacherOptions(NetworkOptions):
    """How a teacher of one or several networks is loaded, and whether it votes."""

    ensemble: Literal["logits", "probabilities"] | None = None
    """What of several teachers is averaged; logits if nothing is said."""
    ensemble_weights: str | None = None
    """Weights of several teachers, in their order, such as 2,1; alike if nothing is said."""
    votes: int = 1
    """Ask about so many keyed views of every cloud, and average the logits; 1: no voting."""
    vote_augment: str = "scale"
    """Operations of the views that are voted on: scale, shift, rotate, mirror, with options."""
    vote_seed: int = 0
    """Seed of the views that are voted on."""

    def options(self, data: "Dataset", device: str) -> dict[str, Any]:
        """Arguments of `load_teacher`, all but the teacher and its weights."""
        if self.votes == 1 and (self.vote_augment, self.vote_seed) != ("scale", 0):
            raise UsageError(
                "--vote-augment and --vote-seed are for votes", fix="give --votes as well"
            )
        return super().options(data, device) | {
            "ensemble": self.ensemble,
            "ensemble_weights": self._numbers(),
            "votes": self.votes,
            "vote_augment": self.vote_augment,
            "vote_seed": self.vote_seed,
        }

    def source(self, specs: Sequence[str]) -> dict[str, Any]:
        """What a store keeps of how its teacher was named: all that is not at its default."""
        said = {name: value for name, value in self._said.items() if name in KEPT}
        as_text = {
            name: [str(each) for each in value] if isinstance(value, list) else value
            for name, value in said.items()
        }
        paths = {name: str(value) for name, value in said.items() if isinstance(value, Path)}
        return {"teacher": list(specs), **as_text, **paths}

    def completed(self, source: dict[str, Any]) -> "tuple[list[str], TeacherOptions]":
        """The teachers that a store names, and how they are loaded; what is typed comes first."""
        kept = {name: value for name, value in source.items() if name in KEPT}
        for name in ("class_names", "class_map"):
            if name in kept:
                kept[name] = Path(kept[name])
        if "weights" in kept:
            kept["weights"] = [Path(each) for each in kept["weights"]]
        return list(source["teacher"]), replace(TeacherOptions(), **(kept | self._said))

    @property
    def _said(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        usual = vars(TeacherOptions())
        return {name: value for name, value in vars(self).items() if value != usual[name]}

    def load_each(self, specs: Sequence[str], data: "Dataset") -> "list[Teacher]":
        """Load each of several teachers by itself, and after them their ensemble if one is said."""
        from ..teachers.load import load_each
        from ..training.device import pick_device, set_threads

        set_threads(self.threads)
        options = self.options(data, str(pick_device(self.device)))
        if self.ensemble is None and self.ensemble_weights is not None:
            raise UsageError("--ensemble-weights are of an ensemble", fix="give --ensemble as well")
        if self.ensemble and len(specs) == 1:
            raise UsageError("an ensemble needs several models", fix="name more than one")
        alone = options | {"ensemble": None, "ensemble_weights": None}
        each = load_each(specs, weights=self.weights, **alone)
        if self.ensemble is None:
            return each
        from ..teachers import Ensemble

        return [*each, Ensemble(each, self.ensemble, options["ensemble_weights"])]

    def _numbers(self) -> list[float] | None:
        if self.ensemble_weights is None:
            return None
        try:
            return [float(number) for number in self.ensemble_weights.split(",")]
        except ValueError as error:
            raise UsageError(
                f"ensemble weights {self.ensemble_weights!r} are no numbers",
                fix="write them as 2,1",
            ) from error


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Who computes the tiles."""

    engine: Literal["local", "ray"] = "local"
    """This process, or workers on a Ray cluster (pip install 'pointstill[ray]')."""
    ray_address: str | None = None
    """Of a running cluster: auto, host:port or ray://host:port; else one of this machine alone."""
    workers: int | None = None
    """Workers on Ray, each with --threads CPU threads; as many as it has CPUs (or GPUs) for."""

    def __post_init__(self) -> None:
        if self.engine != "ray" and (self.ray_address or self.workers is not None):
            raise UsageError(
                "--ray-address and --workers are for --engine ray", fix="give that as well"
            )

    def ready(
        self, specs: str | Sequence[str], data: DataOptions, teacher_options: TeacherOptions
    ) -> "Engine":
        """The engine, whose workers load the same teacher and data; before either is read.

        Raises:
            UsageError: it is not installed, or would have no workers.
        """
        if self.engine == "local":
            from ..recording.engine import one_process

            return one_process
        from ..recording.ray_engine import RayEngine

        load = partial(load_both, specs, replace(data, verify=False), teacher_options)
        return RayEngine(load, self.ray_address, self.workers)

    @property
    def many(self) -> bool:
        """Whether teachers are many on a machine."""
        return self.engine == "ray"


KEPT = frozenset(TeacherOptions.__dataclass_fields__) - {"device", "threads"}
"""The options of a teacher that decide its logits: what a store keeps of how it was named."""
TEACHER, ENGINE, RECORD = TeacherOptions(), EngineOptions(), RecordRecipe()
"""What is meant where nothing is said."""


def load_both(
    specs: str | Sequence[str], data: DataOptions, teacher_options: TeacherOptions, device: str
) -> "tuple[Teacher, Dataset]":
    """Teacher and data, as a worker loads them; the number of threads is left alone."""
    opened = data.open()
    return replace(teacher_options, device=device, threads=0).load(specs, opened), opened


def read_recipe(path: Path, *command: str, loss: str | None = None) -> Dict:
    """A YAML file as defaults of a command's flags.

    What a run noted of its origin is passed over; so are options that the loss does not use, in the
    recipe of a run (0.1.0 noted all options there) and where another loss is typed.

    Args:
        path: the file.
        command: the names of the command, such as `records`, `estimate`.
        loss: what is typed as `--loss`.

    Raises:
        UsageError: it cannot be read, or is no list of `name: value` lines.
    """
    from ..storage.documents import parse_yaml  # 40 ms of the start, which few commands need

    try:
        recipe = parse_yaml(read_bounded(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be read ({one_line(error)})",
            where=f"recipe {path}",
            fix="give a YAML file of `name: value` lines",
        ) from error
    if not isinstance(recipe, dict) or not all(isinstance(name, str) for name in recipe):
        raise UsageError(
            "is not a list of `name: value` lines",
            where=f"recipe {path}",
            fix="write the flags there without their dashes, one a line",
        )
    recipe = {name: value for name, value in recipe.items() if value is not None}
    by_a_run = recipe.pop("origin", None) is not None
    if command == ("distill",) and (by_a_run or loss):  # no other command has a loss
        recipe = of_its_loss(recipe, loss)
    # Under the command's name, as Cyclopts passes over top keys that are commands too (data).
    for name in reversed(command):
        recipe = {name: recipe}
    return Dict(recipe, source=str(path))


def converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """What was typed, as Cyclopts reads it, but for paths and for 2.5 where no fraction is meant.

    Raises:
        UsageError: such a number, which Cyclopts would round; or a URL where a path is meant.
    """
    if kind in PATHS:  # as a `Path`, a URL would be one no more
        paths = [here(token.value, token.keyword or "this") for token in tokens]
        return paths[0] if kind in PATHS[:2] else paths
    for token in tokens if kind in (int, int | None) else ():
        try:
            whole = float(token.value).is_integer()
        except ValueError:
            continue  # Cyclopts says what is wrong
        if not whole:
            name = token.keyword or "a number"
            raise UsageError(f"{name} is {token.value}", fix="give a whole number")
    return convert(kind, tokens)


def whole_numbers(name: str, text: str) -> list[int]:
    """Whole numbers from a text such as `16,64,256`.

    Raises:
        UsageError: one is none.
    """
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        fix = "write whole numbers as 16,64,256"
        raise UsageError(f"{name} is {text!r}", fix=fix) from error


def left_out(split: "Split", most: int = 3) -> None:
    """Say on standard error what `drop_missing` and `skip_bad` left out."""
    if not torchrun.first():
        return
    if split.missing:
        points, clouds = f"{sum(split.missing):,} missing points", f"{len(split.missing):,} clouds"
        print(f"left out {points} of {clouds} of the {split.name} split", file=sys.stderr)
    if not split.bad:
        return
    print(f"left out {len(split.bad):,} bad clouds of the {split.name} split:", file=sys.stderr)
    for line in split.bad[:most]:
        print(f"  {line}", file=sys.stderr)
    if len(split.bad) > most:
        print("  and others: `pointstill data info` lists all", file=sys.stderr)


def finished(folder: Path, data: DataOptions) -> None:
    """Say what can be done with a run now."""
    if not torchrun.first():
        return
    place = quote(str(folder))
    print(f"finished {folder}")
    print(f"next: pointstill evaluate {place} {data.flags}")
    print(f"      pointstill export {place} --out student.onnx")


def needs_torch() -> None:
    """Say how to get PyTorch where a command needs it and it is not installed.

    Raises:
        UsageError: it is not.
    """
    from importlib.util import find_spec

    if not find_spec("torch"):
        raise UsageError(
            "this command needs PyTorch",
            fix="install it as pytorch.org says for your machine, then "
            "pip install 'pointstill[train]'",
        )


def lacking(error: Exception) -> str | None:
    """The package of the extra `train` that an import of ours did not find, if it is that.

    What the code of a user's own teacher lacks, `load_teacher` tells.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0].replace("_", "-")
    return package if package in TRAIN else None
