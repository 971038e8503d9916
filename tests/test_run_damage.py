"""Damage to a single file of a run is found when the file is opened, or changes nothing."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pointstill.errors import TeacherError, TrainingError
from pointstill.models import build_model
from pointstill.models.checkpoints import read_weights
from pointstill.run import METRICS, RECIPE, STATE, WEIGHTS, Run
from pointstill.storage import digests

EPOCHS = 4
Damage = Callable[[random.Random, bytes], bytes]


def made(folder: Path, seed: int, finished: bool) -> Run:
    """A run as training leaves it, in its last epoch or at its end."""
    recipe = {
        "model": "stillnet-n",
        "data": f"scans-{seed}/",
        "epochs": EPOCHS,
        "points": 64,
        "seed": seed,
        "device": "auto",
        "origin": {"model": "stillnet-n", "classes": ["a", "b"], "up": "z", "data": "f00d"},
    }
    run = Run.begin(folder, recipe)
    torch.manual_seed(seed)
    model = build_model("stillnet-n", 2)
    for epoch in range(EPOCHS if finished else EPOCHS - 1):
        run.log({"epoch": epoch, "loss": 1 / (epoch + seed + 1)})
    if finished:
        run.finish(model.state_dict())
    else:
        run.save_state({"epoch": EPOCHS - 1, "step": 3, "model": model.state_dict()})
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, bool], Path]:
    """Runs of two seeds, unfinished and finished."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = [(seed, finished) for seed in (0, 1) for finished in (False, True)]
    return {kind: made(folder / f"{kind[0]}-{kind[1]}", *kind).folder for kind in kinds}


def read(folder: Path) -> list[Any]:
    """Everything that is in a run, as whoever uses it gets it."""
    run = Run(folder)
    state = run.load_state() or {"model": run.model().state_dict()}
    return [run.recipe, run.trained_on.data, run.metrics(), *_plain(state)]


def _plain(state: dict[str, Any]) -> list[Any]:
    tensors = {name: tensor.tolist() for name, tensor in state["model"].items()}
    return [tensors, {name: value for name, value in state.items() if name != "model"}]


def flip(draw: random.Random, content: bytes) -> bytes:
    place = draw.randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content))]


def cut_at_a_line(draw: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: draw.randrange(len(lines))])


def lose(draw: random.Random, content: bytes) -> bytes:
    start, stop = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[stop:]


def lose_a_line(draw: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.pop(draw.randrange(len(lines)))
    return b"".join(lines)


def swap_lines(draw: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = (draw.randrange(len(lines)) for _ in range(2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def zero(draw: random.Random, content: bytes) -> bytes:
    start, stop = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + bytes(stop - start) + content[stop:]


def insert(draw: random.Random, content: bytes) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.randbytes(draw.randrange(1, 9)) + content[place:]


def edit(draw: random.Random, content: bytes) -> bytes:
    """Another digit: what an editor would do."""
    places = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    changed = bytearray(content)
    changed[draw.choice(places or [0])] = ord(draw.choice("0123456789"))
    return bytes(changed)


DAMAGES: list[Damage] = [
    *(flip, cut, cut_at_a_line, lose, lose_a_line, swap_lines, zero, insert, edit)
]


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_damage_is_unseen(runs, tmp_path, count):
    draw, ends = random.Random(count), Counter()
    sound = {kind: read(folder) for kind, folder in runs.items()}
    for _ in range(count):
        finished = draw.random() < 0.5
        folder = shutil.copytree(runs[0, finished], tmp_path / "run")
        name = draw.choice([RECIPE, METRICS, WEIGHTS if finished else STATE])
        if draw.random() < 0.1:
            damage, content = "another run's", (runs[1, finished] / name).read_bytes()
        else:
            chosen = draw.choice(DAMAGES)
            damage, content = chosen.__name__, chosen(draw, (folder / name).read_bytes())
        (folder / name).write_bytes(content)
        try:
            end = "harmless" if read(folder) == sound[0, finished] else "unseen"
        except TrainingError:
            end = "found"
        assert end != "unseen", (name, damage)
        ends[end] += 1
        shutil.rmtree(folder)
    assert ends["found"] > 0.8 * count, ends
    print(dict(ends))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (RECIPE, "is another run's"),  # so that its weights are
        (METRICS, "line 1 differs from the SHA-256"),
        (WEIGHTS, "is another run's"),
        (STATE, "is another run's"),
    ],
)
def test_a_file_of_another_run(runs, tmp_path, name, said):
    finished = name != STATE
    folder = shutil.copytree(runs[0, finished], tmp_path / "run")
    shutil.copy(runs[1, finished] / name, folder)
    with pytest.raises(TrainingError, match=said):
        read(folder)


def test_an_edited_recipe_is_refused_and_says_how(runs, tmp_path):
    folder = shutil.copytree(runs[0, True], tmp_path / "run")
    path = folder / RECIPE
    path.write_text(path.read_text().replace("scans-0/", "scans-9/"))
    with pytest.raises(TrainingError) as caught:
        Run(folder)
    assert f"{path} is damaged, or was edited (differs from the SHA-256" in str(caught.value)
    assert "give it as --recipe, with another --out, to train by it" in str(caught.value)


def test_line_ends_of_another_system_are_no_edit(runs, tmp_path):
    folder = shutil.copytree(runs[0, True], tmp_path / "run")
    for name in (RECIPE, METRICS):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(text.replace(b"\n", b"\r\n"))
    assert read(folder) == read(runs[0, True])


def test_a_run_without_digests_opens_and_goes_on_without(runs, tmp_path):
    """As those of 0.1 and 0.2; but one that has lost a digest is damaged."""
    folder = shutil.copytree(runs[0, False], tmp_path / "run")
    recipe = (folder / RECIPE).read_text()
    (folder / RECIPE).write_text("".join(recipe.splitlines(keepends=True)[:-1]))
    with pytest.raises(TrainingError, match=r"carries a SHA-256, and recipe\.yaml does not"):
        read(folder)
    state, _ = digests.without_trailer((folder / STATE).read_bytes())
    (folder / STATE).write_bytes(state)
    lines, _ = digests.open_lines((folder / METRICS).read_text(), _seal_of(runs[0, False]))
    (folder / METRICS).unlink()
    run = Run(folder)
    assert not run.sealed
    for line in lines:
        run.log(line)
    assert read(folder) == read(runs[0, False])
    kept = run.load_state()
    assert kept
    run.log({"epoch": EPOCHS - 1})
    run.save_state(kept)
    run.finish(kept["model"])
    run.check_finished()
    assert digests.check_seal((folder / WEIGHTS).read_bytes()) is None


def _seal_of(folder: Path) -> str:
    sealed_for = digests.check_seal((folder / RECIPE).read_bytes())
    assert sealed_for
    return sealed_for


def test_metrics_may_go_as_a_whole_until_a_run_is_finished(runs, tmp_path):
    for finished in (False, True):
        folder = shutil.copytree(runs[0, finished], tmp_path / f"run-{finished}")
        (folder / METRICS).unlink()
        if not finished:
            assert read(folder)[2] == []
            continue
        for reading in (Run(folder).metrics, Run(folder).check_finished):
            with pytest.raises(TrainingError, match=r"metrics\.jsonl is missing: restore it"):
                reading()


def test_weights_that_are_named_alone_are_compared_with_their_digest(runs, tmp_path):
    path = tmp_path / "w.safetensors"
    content = bytearray((runs[0, True] / WEIGHTS).read_bytes())
    path.write_bytes(content)
    assert len(read_weights(path)) == len(build_model("stillnet-n", 2).state_dict())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TeacherError, match=r"w\.safetensors is damaged \(differs from the SHA-256"):
        read_weights(path)
