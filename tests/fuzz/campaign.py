"""Many inputs on several workers: what is drawn, what came of it, what is kept to be replayed."""

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import mutated
from .seeds import Seed, make
from .targets import TARGETS
from .workers import READ, REFUSED, SECONDS, Outcome, Worker

FOUND = Path(__file__).parents[2] / "fuzz-found"
"""Where inputs that are faults are kept; git ignores it."""
COLUMNS = ("inputs", "read", "refused", "faults", "agreed", "disagreed")
"""What is counted of every row."""
UNSEEN = "unseen"
"""The fault of what is kept: another answer, and no word."""


@dataclass
class Input:
    """A damaged seed."""

    number: int
    seed: Seed
    files: dict[str, bytes]
    steps: list[str]
    """What was done, as `file: way`."""


@dataclass
class Campaign:
    """The seeds, their answers and times, and what came of all inputs."""

    seeds: list[Seed]
    answers: dict[str, str]
    """Of sound seeds, by name; hostile ones have none."""
    baselines: dict[str, float]
    """CPU seconds, by target."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Target, or suffix of a reader -> outcome -> inputs."""
    faults: dict[str, tuple[int, Path]] = field(default_factory=dict)
    """Fault, without its numbers -> how often, and the first input."""
    disagreements: dict[str, tuple[int, Path]] = field(default_factory=dict)

    def judged(self, each: Input, outcome: Outcome) -> Outcome:
        """The outcome, with `UNSEEN` for a kept structure that gives another answer."""
        sound = self.answers.get(each.seed.name, outcome.answer)
        if TARGETS[each.seed.target].kept and outcome.kind == READ and outcome.answer != sound:
            name, _, way = each.steps[0].partition(": ")
            outcome.kind, outcome.detail = UNSEEN, f"{Path(name).name}: another answer ({way})"
        return outcome

    def count(self, each: Input, outcome: Outcome, keep: Path) -> None:
        """Add an outcome, and keep the first input of each fault."""
        row = self.counts.setdefault(row_of(each.seed), Counter())
        row["inputs"] += 1
        if outcome.kind in (READ, REFUSED):
            row[outcome.kind] += 1
            if outcome.disagreement is not None:
                row["disagreed" if outcome.disagreement else "agreed"] += 1
            if outcome.disagreement:
                self._found(self.disagreements, "disagreement", outcome.disagreement, each, keep)
            return
        row["faults"] += 1
        row[outcome.kind] += 1
        self._found(self.faults, outcome.kind, outcome.detail, each, keep)

    def _found(
        self,
        where: dict[str, tuple[int, Path]],
        kind: str,
        detail: str,
        each: Input,
        keep: Path,
    ) -> None:
        key = f"{row_of(each.seed)}: {kind}: {without_numbers(detail)}"
        times, first = where.get(
            key, (0, keep / f"{kind}-{each.seed.name.replace('/', '-')}-{each.number}")
        )
        if not times:
            keep_input(first, each, f"{kind}: {detail}")
        where[key] = (times + 1, first)

    @property
    def fault_count(self) -> int:
        """Inputs that are faults."""
        return sum(row["faults"] for row in self.counts.values())


def row_of(seed: Seed) -> str:
    """Where a seed is counted: a reader by its suffix, other targets by their names."""
    return seed.name.partition("/")[0] if seed.target == "reader" else seed.target


def without_numbers(detail: str) -> str:
    """A fault without what differs from input to input."""
    detail = re.sub(r"\(\w+\)$|/\S*|0x[0-9a-f]+|'[^']*'|[-+]?\d[\d.,e+-]*", "_", detail)
    return detail[:120]


def draw_input(seeds: list[Seed], entropy: int, number: int) -> Input:
    """Input `number` of a campaign: the same for the same seed of the generator."""
    draw = np.random.default_rng([entropy, number])
    targets = [name for name in TARGETS if any(seed.target == name for seed in seeds)]
    shares = np.array([TARGETS[name].share for name in targets])
    target = targets[draw.choice(len(shares), p=shares / shares.sum())]
    mine = [seed for seed in seeds if seed.target == target]
    if target == "reader":  # suffixes alike, however many seeds they have
        suffixes = sorted({row_of(seed) for seed in mine})
        suffix = suffixes[draw.integers(len(suffixes))]
        mine = [seed for seed in mine if row_of(seed) == suffix]
    seed = mine[draw.integers(len(mine))]
    others = [each.files[each.damage[0]] for each in seeds if each.target == target]
    files, steps = dict(seed.files), list[str]()
    name = seed.damage[draw.integers(len(seed.damage))]
    if len(seed.files) > 1 and draw.random() < 0.15:  # files change places, or one is gone
        names = [*seed.files]
        other = names[draw.integers(len(names))]
        if draw.random() < 0.3 or other == name:
            del files[name]
            return Input(number, seed, files, [f"{name}: gone"])
        files[name], files[other] = files[other], files[name]
        return Input(number, seed, files, [f"{name}: changes places with {other}"])
    suffix = _suffix(name)
    for _ in range(1 + int(draw.choice(4, p=(0.65, 0.2, 0.1, 0.05)))):
        files[name], way = mutated(draw, files[name], suffix, others)
        steps.append(f"{name}: {way}")
    return Input(number, seed, files, steps)


def untouched(seed: Seed) -> Input:
    """A seed as it is."""
    return Input(0, seed, seed.files, ["nothing"])


def _suffix(name: str) -> str:
    suffix = Path(name).suffix[1:]
    return "las" if suffix == "laz" else suffix


def keep_input(folder: Path, each: Input, said: str) -> None:
    """Write an input to a folder, with what it takes to use it again."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in each.files.items():
        path = folder / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    recipe = {"number": each.number, "seed": each.seed.name, "target": each.seed.target}
    recipe |= {"main": each.seed.main, "steps": each.steps, "outcome": said}
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")


def kept_input(folder: Path, seeds: list[Seed]) -> Input:
    """What `keep_input` wrote."""
    recipe = json.loads((folder / "recipe.json").read_text())
    inside = folder / "input"
    files = {
        path.relative_to(inside).as_posix(): path.read_bytes()
        for path in sorted(inside.rglob("*"))
        if path.is_file()
    }
    seed = next(each for each in seeds if each.name == recipe["seed"])
    return Input(recipe["number"], seed, files, recipe["steps"])


class Prepared:
    """A folder of work, the seeds, and a sound answer of each."""

    def __init__(
        self,
        processes: int,
        found: Path = FOUND,
        student: Path | None = None,
        rows: Sequence[str] = (),
    ):
        self.found = found
        shutil.rmtree(found, ignore_errors=True)
        self.work = Path(tempfile.mkdtemp(prefix="pointstill-fuzz-"))
        surroundings = self.work / "surroundings"
        surroundings.mkdir()
        self.workers = [Worker(self.work / f"worker{i}", surroundings) for i in range(processes)]
        _import_all()
        kept = not rows or any(name in rows for name, target in TARGETS.items() if target.kept)
        seeds = _in_a_child(lambda: make(surroundings, student, kept))
        seeds = [seed for seed in seeds if not rows or row_of(seed) in rows]
        self.campaign = Campaign(seeds, {}, {})
        for each, outcome in self.outcomes(map(untouched, seeds), allowed=30.0):
            name, target = each.seed.name, each.seed.target
            self.campaign.answers[name] = outcome.answer
            times = self.campaign.baselines
            times[target] = max(times.get(target, 0.0), outcome.seconds)
            if TARGETS[target].kept and outcome.kind != READ:
                raise RuntimeError(f"the sound {name} is not read: {outcome.kind} {outcome.detail}")
            self.campaign.count(each, outcome, found)

    def outcomes(
        self, inputs: Iterator[Input], allowed: float | None = None
    ) -> Iterator[tuple[Input, Outcome]]:
        """Use inputs on all workers, each in so many CPU seconds; outcomes as they are there."""
        busy: dict[int, Input] = {}
        while True:
            for place, worker in enumerate(self.workers):
                if place not in busy and (each := next(inputs, None)):
                    busy[place] = each
                    usual = self.campaign.baselines.get(each.seed.target, 0.0) + SECONDS
                    worker.begin(each.seed.target, each.files, each.seed.main, allowed or usual)
            if not busy:
                return
            connections = [self.workers[place].connection for place in busy]
            wait([each for each in connections if each], timeout=0.02)
            for place in [*busy]:
                if outcome := self.workers[place].look():
                    each = busy.pop(place)
                    yield each, self.campaign.judged(each, outcome)

    def run(self, entropy: int, count: int, tell: Callable[[int, Campaign], None]) -> Campaign:
        """Damage seeds until there are so many inputs, the sound seeds among them."""
        seeds = self.campaign.seeds
        inputs = (draw_input(seeds, entropy, i) for i in range(count - len(seeds)))
        for done, (each, outcome) in enumerate(self.outcomes(inputs), len(seeds) + 1):
            self.campaign.count(each, outcome, self.found)
            tell(done, self.campaign)
        return self.campaign

    def used(self, each: Input) -> Outcome:
        """What comes of one input."""
        ((_, outcome),) = self.outcomes(iter([each]))
        return outcome

    def shrink(self, folder: Path, trials: int = 150) -> None:
        """Leave out of an input that was kept what its fault does not need."""
        each = kept_input(folder, self.campaign.seeds)
        name, outcome = each.steps[-1].partition(":")[0], self.used(each)
        if name not in each.files or outcome.kind in (READ, REFUSED, "time", "hang", UNSEEN):
            return
        content = each.files[name]
        size = len(content) // 2
        while size and trials:
            start = 0
            while start < len(content) and trials:
                less = content[:start] + content[start + size :]
                trials -= 1
                now = self.used(replace(each, files=each.files | {name: less}))
                if (now.kind, now.detail[:40]) == (outcome.kind, outcome.detail[:40]):
                    content = less
                else:
                    start += size
            size //= 2
        if len(content) < len(each.files[name]):
            smaller = replace(each, files=each.files | {name: content})
            keep_input(folder, smaller, f"{outcome.kind}: {outcome.detail}")

    def end(self) -> None:
        """End the workers and remove the folder."""
        for worker in self.workers:
            worker.end()
        shutil.rmtree(self.work, ignore_errors=True)


def _import_all() -> None:
    """Import what the uses import, so that every fork has it; nothing is computed before a fork."""
    import importlib

    for name in (
        *("h5py", "laspy", "lazrs", "plyfile", "pypcd4.pypcd4", "trimesh", "trimesh.exchange.gltf"),
        *("onnx", "onnxruntime", "safetensors.torch", "torch", "yaml", "zarr", "lightning_fabric"),
        *("pointstill.__main__", "pointstill.data.sources.finding", "pointstill.training.jobs"),
        *("pointstill.deployment.exporting", "pointstill.recording.maintenance"),
        *("pointstill.teachers.load", "pointstill.recording.job"),
    ):
        importlib.import_module(name)
    for name in ("meshio", "laszip"):
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"{name} is not installed: no second reader of what it reads")
    importlib.import_module("torch").set_num_threads(1)


def _in_a_child(make: Callable[[], Any]) -> Any:
    """What a function gives in a fork: threads that it starts are not in later forks."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=lambda: there.send(make()))
    child.start()
    there.close()
    try:
        found = here.recv()
    except EOFError as error:
        raise RuntimeError("the seeds cannot be made") from error
    child.join()
    return found
