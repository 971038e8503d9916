"""Fixtures for all tests."""

import fcntl
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from solid_clouds import solid

if TYPE_CHECKING:
    from pointstill.run import Run

# A failed assertion in what tests share shows its values, as one in a test does.
pytest.register_assert_rewrite("stand_ins", "distilling", "rank_launcher")

NOBODY = 65534
SOLIDS = ("ball", "box", "rod")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data and weights; tests that need it skip, loudly, without it."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("POINTSTILL_SHARED", default))
    if not folder.is_dir():
        reason = f"research data not found at {folder}: set POINTSTILL_SHARED to test with it"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of tests, which all of its workers have."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "common"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def session_cache(common: Path) -> Iterator[Path]:
    """The cache of all tests, so that none is written at home."""
    folder = common / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POINTSTILL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def few_curves(common: Path) -> Iterator[None]:
    """Runs for all tests alone have a picture of curves: it takes ten times a toy's training."""
    from pointstill.training import curves

    draw = curves.draw_curves

    def draw_some(run: "Run") -> None:
        if common in run.folder.parents:
            draw(run)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "loop"):  # which may have taken it from there already
            if module := sys.modules.get(f"pointstill.training.{name}"):
                patch.setattr(module, "draw_curves", draw_some)
        yield


@pytest.fixture(scope="session")
def once(common: Path) -> Callable[..., Path]:
    """`once("folder/name", make)`: the path of what the first worker that asks makes by `make`.

    `make` is given the path, and has its folder for itself; what failed there is made again.
    """

    def made_once(name: str, make: Callable[[Path], object]) -> Path:
        path, mark = common / name, common / f"{name.replace('/', '-')}.made"
        with mark.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                shutil.rmtree(path.parent, ignore_errors=True)
                path.parent.mkdir(parents=True)
                make(path)
                mark.touch()
        return path

    return made_once


def write_solids(root: Path, each: int = 20, first_seed: int = 0) -> Path:
    """Class folders of `SOLIDS`, with `each` clouds of 64 points and more."""
    for label, name in enumerate(SOLIDS):
        (root / name).mkdir(parents=True)
        for i in range(each):
            seed = first_seed + 1000 * label + i
            np.save(root / name / f"{i:02}.npy", solid(name, 64 + i, seed))
    return root


@pytest.fixture(scope="session")
def make_solids() -> Callable[..., Path]:
    """`make_solids(folder, each=20, first_seed=0)` writes a data set like `solids`."""
    return write_solids


@pytest.fixture(scope="session")
def solids(once: Callable[..., Path]) -> Path:
    """A data set of 60 ragged clouds in 3 classes: 48 to train on, 12 to test on."""
    return once("data/solids", write_solids)


@pytest.fixture(scope="session")
def teacher_run(solids: Path, once: Callable[..., Path]) -> Path:
    """A finished run of 3 epochs on `solids`, at 64 points."""
    from pointstill.data import open_dataset
    from pointstill.recipe import TrainRecipe
    from pointstill.training.jobs import train

    recipe = TrainRecipe(epochs=3, points=64, batch_size=8)
    data = open_dataset(solids)
    return once(
        "teacher/run",
        lambda out: train("stillnet-n", data, out=out, recipe=recipe, quiet=True),
    )


@pytest.fixture(scope="session")
def records(solids: Path, teacher_run: Path, once: Callable[..., Path]) -> Path:
    """Three views of the training shapes of `solids`, recorded from `teacher_run`."""
    from pointstill.data import open_dataset
    from pointstill.recipe import RecordRecipe
    from pointstill.recording.job import record
    from pointstill.teachers import load_teacher

    data = open_dataset(solids)
    teacher = load_teacher(str(teacher_run), classes=data.classes)
    recipe = RecordRecipe(views=3)
    return once(
        "records/records.zarr",
        lambda out: record(teacher, data, out=out, recipe=recipe, quiet=True),
    )


@pytest.fixture(scope="session")
def student_run(solids: Path, records: Path, once: Callable[..., Path]) -> Path:
    """A student of 3 epochs, distilled from `records`."""
    from pointstill.data import open_dataset
    from pointstill.recipe import DistillRecipe
    from pointstill.training.jobs import distill

    recipe = DistillRecipe(loss="nwsd", epochs=3, batch_size=8, snapshot_age=1)
    data = open_dataset(solids)
    return once(
        "student/run",
        lambda out: distill(
            "stillnet-n", data, records=records, out=out, recipe=recipe, quiet=True
        ),
    )


@pytest.fixture(scope="session")
def student_onnx(student_run: Path, once: Callable[..., Path]) -> Path:
    """`student_run`, exported: the slowest of all that is shared, as torch traces the network."""
    from pointstill.deployment.exporting import export

    return once("exported/student.onnx", lambda out: export(student_run, out))


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A temporary folder that every user may enter and write to (`tmp_path` is the owner's)."""
    folder = Path(tempfile.mkdtemp(prefix="pointstill-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """`with unprivileged():` is run without the rights of root, to whom no folder is closed."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    return drop


@pytest.fixture(scope="module")
def toy() -> Iterator[str]:
    """Name of a small PointNet with all that a resumed run may forget: BatchNorm and dropout.

    It takes features too, and is exported in a third of the time of a student.
    """
    from torch import Tensor, nn

    from pointstill.models import FEATURED, MODELS

    class Toy(nn.Module):
        def __init__(self, classes: int, channels: int = 3):
            super().__init__()
            self.lift, self.norm = nn.Linear(channels, 16), nn.BatchNorm1d(16)
            self.head = nn.Sequential(nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, classes))

        def forward(self, points: Tensor) -> Tensor:
            logits: Tensor = self.head(self.norm(self.lift(points).amax(1)))
            return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", Toy)
        patch.setattr("pointstill.models.FEATURED", (*FEATURED, "toy"))
        yield "toy"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line: `cli("train", ...)` gives exit code, standard output and error."""
    from pointstill import __main__

    def run(*tokens: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = __main__.run([str(token) for token in tokens])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
