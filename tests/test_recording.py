"""Recording: what is recorded, and that no way of stopping it changes a byte."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from torch import Tensor

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.augment.key import Key
from pointstill.data import Dataset, open_dataset
from pointstill.errors import DataError, RecordsError, UsageError
from pointstill.recording import record
from pointstill.records import Store, Tile, codec, disk
from pointstill.records import codec as codecs
from pointstill.records import layout as module
from pointstill.records.store import SIDECAR
from pointstill.records.verify import check_replay

CLASSES = ("bench", "lamp", "tree")
VIEWS, POINTS = 2, 16


class Toy:
    """A teacher in duck's clothing; its logits tell the size of its batch, so that none goes by."""

    spec, fingerprint, points, device = "toy", "f00d", None, torch.device("cpu")

    def __init__(self, before: Callable[[], None] = lambda: None, batch: float = 0.0):
        self.before, self.batch = before, batch

    def logits(self, points: Tensor) -> Tensor:
        self.before()
        far = points.norm(dim=2)
        parts = far.mean(dim=1), points[:, :, 2].amax(dim=1), points[:, 0, 0]
        return torch.stack(parts, dim=1) + self.batch * len(points)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 shapes, and a cache that is not at home."""
    monkeypatch.setattr(module, "TILE", 4)
    monkeypatch.setattr(disk, "_sync", lambda path: None)  # a thousand waits for a real disk
    monkeypatch.setenv("POINTSTILL_CACHE", str(tmp_path / "cache"))


def scans(root: Path, seed: int = 0) -> Path:
    """Ten training clouds of 9 to 22 points in three classes; test files that are none."""
    draw = np.random.default_rng(seed)
    for label, (name, count) in enumerate(zip(CLASSES, (4, 3, 3), strict=True)):
        for part in ("train", "test"):
            (root / part / name).mkdir(parents=True)
        for i in range(count):
            cloud = draw.normal(size=(9 + 5 * label + i, 3)).astype(np.float32)
            np.save(root / "train" / name / f"{i}.npy", cloud)
        (root / "test" / name / "0.npy").write_bytes(b"never to be opened")
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans`, and two finished stores of them, `plain` and `batched`.

    The teacher of the second sees the size of its batch, which was 3.
    """
    folder = tmp_path_factory.mktemp("made")
    data = open_dataset(scans(folder / "scans"), cache=folder / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", 4)
        run(folder / "plain", data)
        run(folder / "batched", data, Toy(batch=1.0), batch_size=3)
    return folder


@pytest.fixture(scope="module")
def data(made: Path) -> Dataset:
    return open_dataset(made / "scans", cache=made / "cache")


@pytest.fixture
def recorded(tmp_path: Path, made: Path) -> Store:
    """A finished store."""
    return Store.open(shutil.copytree(made / "plain", tmp_path / "recorded.zarr"))


def run(out: Path, data: Dataset, teacher: Toy | None = None, **options) -> Store:
    options = {"views": VIEWS, "augment": "scale,shift", "points": POINTS, "quiet": True} | options
    return record(teacher or Toy(), data, out=out, **options)  # type: ignore[arg-type]


def files(path: Path) -> dict[str, bytes]:
    """All files of a store but the sidecar."""
    found = {str(f.relative_to(path)): f for f in path.rglob("*") if f.is_file()}
    return {name: f.read_bytes() for name, f in sorted(found.items()) if name != SIDECAR}


def said(store: Path, data: Dataset, teacher: Toy | None = None, **options) -> str:
    """How a recording is refused: one line, exit code 1, and no byte changed."""
    before = files(store)
    with pytest.raises(RecordsError) as caught:
        run(store, data, teacher, **options)
    assert files(store) == before
    assert str(store) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    return str(caught.value)


# What is recorded.


def unit(bits: list[int]) -> np.ndarray:
    return np.array([(word >> 8) / 2**24 for word in bits])


def test_a_record_is_what_the_teacher_says_of_the_view(tmp_path, made, data):
    """From the files on, in NumPy, one shape at a time."""
    store = run(tmp_path / "r.zarr", data, seed=7)
    paths = sorted((made / "scans/train").rglob("*.npy"))
    assert (store.views, store.rows) == (VIEWS, len(paths)) == (2, 10)
    assert store.columns == ["scale_x", "scale_y", "scale_z", "shift_x", "shift_y", "shift_z"]
    for view in range(VIEWS):
        logits, parameters = store.logits(view), store.parameters(view)
        for shape, path in enumerate(paths):
            cloud = np.load(path).astype(np.float64)
            cloud -= cloud.mean(axis=0)
            cloud /= np.linalg.norm(cloud, axis=1).max()
            names = ("resample#0", "scale#0", "shift#0")
            draws = [Key(7, "train", view, torch.tensor([shape]), name) for name in names]
            order = np.argsort(unit(draws[0].bits(len(cloud))[0].tolist()), kind="stable")
            scale = 2 / 3 + (3 / 2 - 2 / 3) * unit(draws[1].bits(3)[0].tolist())
            shift = 0.2 * (2 * unit(draws[2].bits(3)[0].tolist()) - 1)
            shown = cloud[[order[i % len(cloud)] for i in range(POINTS)]] * scale + shift
            expected = np.linalg.norm(shown, axis=1).mean(), shown[:, 2].max(), shown[0, 0]
            np.testing.assert_allclose(parameters[shape], [*scale, *shift], atol=1e-6)
            np.testing.assert_allclose(logits[shape], expected, rtol=2e-3, atol=1e-5)


def test_a_store_says_what_it_was_made_from(tmp_path, data):
    store = run(tmp_path / "r.zarr", data, augment="rotate,jitter", seed=9, batch_size=3)
    split = data.train
    assert store.attributes["classes"] == list(CLASSES)
    assert store.attributes["data"] == {
        "fingerprint": split.fingerprint,
        "split": "train",
        "shapes": 10,
    }
    assert store.attributes["teacher"] == {"fingerprint": "f00d"}
    assert store.attributes["teacher_spec"] == "toy"
    pipeline = Pipeline.restore(store.attributes["augment"])
    assert pipeline == Pipeline(parse("rotate,jitter", "z"), 9)
    assert store.columns == ["rotate_1", "rotate_2", "rotate_3"]
    assert (store.attributes["points"], store.attributes["batch"]) == (POINTS, 3)
    clouds = Clouds(split.points, split.offsets)
    shapes = torch.tensor([0, 1, 2, 3, 4, 5, 7, 8])  # the first tile, and four of the six behind
    views = pipeline.replay(clouds, 0, shapes, pipeline.sample(0, shapes), POINTS)
    logits = Toy().logits(views).numpy()
    expected = {"records": 8, **codec.error(logits, logits.astype(np.float16))}
    found = store.attributes["codec"]
    assert found.pop("name") == "float16"
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("teachers", "asked", "expected"), [(None, None, 1024), (12, None, 12), (12, 20, 20)]
)
def test_the_number_of_points(tmp_path, data, teachers, asked, expected):
    teacher = Toy()
    teacher.points = teachers
    store = run(tmp_path / "r.zarr", data, teacher, views=1, points=asked)
    assert store.attributes["points"] == expected


@pytest.mark.parametrize("text", ["scale,shift", "none", "rotate(axis=any),jitter,dropout,mirror"])
def test_what_was_recorded_replays(tmp_path, data, text):
    store = run(tmp_path / "r.zarr", data, augment=text)
    pipeline = Pipeline.restore(store.attributes["augment"])
    clouds = Clouds(data.train.points, data.train.offsets)
    for tile in store.tiles():
        check_replay(store, tile, pipeline, clouds)


def test_a_flipped_parameter_or_changed_data_does_not_replay(tmp_path, recorded, data):
    store = recorded
    pipeline = Pipeline.restore(store.attributes["augment"])
    other = open_dataset(scans(tmp_path / "other", seed=1)).train
    for tile in store.tiles():
        with pytest.raises(RecordsError, match="away from what the teacher saw"):
            check_replay(store, tile, pipeline, Clouds(other.points, other.offsets))
    augment = zarr.open_array(store.path / "augment", mode="r+")
    augment[1, 2, 3] = -augment[1, 2, 3]
    clouds = Clouds(data.train.points, data.train.offsets)
    with pytest.raises(RecordsError, match="does not replay"):
        check_replay(store, Tile(1, 0, 0, 4), pipeline, clouds)


def test_the_batch_decides_nothing_but_what_the_teacher_makes_of_it(tmp_path, data):
    stores = [run(tmp_path / f"{size}.zarr", data, batch_size=size) for size in (1, 3, 16)]
    for store in stores[1:]:
        for view in range(VIEWS):
            np.testing.assert_allclose(store.logits(view), stores[0].logits(view), atol=1e-3)
            np.testing.assert_array_equal(store.parameters(view), stores[0].parameters(view))
        proofs = [[each.probe(tile)[0] for tile in each.tiles()] for each in (store, stores[0])]
        assert proofs[0] == proofs[1]


def test_batches_do_not_cross_tiles(tmp_path, data):
    store = run(tmp_path / "r.zarr", data, Toy(batch=10.0), batch_size=3, augment="none")
    sizes = [np.round(store.logits(view)[:, 0] / 10).astype(int).tolist() for view in range(2)]
    assert sizes == [[3, 3, 3, 1, 3, 3, 3, 1, 2, 2]] * 2


def test_a_limit_records_a_part_as_it_is_in_the_whole(tmp_path, recorded, data):
    whole, part = recorded, run(tmp_path / "part.zarr", data, limit=5)
    assert part.rows == 5
    labels = data.train.labels[part.shapes]
    assert np.bincount(labels).min() >= 1
    assert part.shapes.tolist() == sorted(set(part.shapes.tolist()))
    for view in range(VIEWS):
        np.testing.assert_array_equal(part.logits(view), whole.logits(view)[part.shapes])
        np.testing.assert_array_equal(part.parameters(view), whole.parameters(view)[part.shapes])
    assert run(tmp_path / "most.zarr", data, limit=99, views=1).rows == 10


def test_every_tile_is_noted(recorded):
    sidecar = recorded.path / SIDECAR
    notes = [json.loads(line) for line in sidecar.read_text().splitlines()]
    assert [(note["view"], note["tile"]) for note in notes] == [
        (tile.view, tile.number) for tile in recorded.tiles()
    ]
    assert sum(note["records"] for note in notes) == 20


def test_the_test_split_stays_closed(tmp_path):
    data = open_dataset(scans(tmp_path / "scans"))
    with pytest.raises(DataError):
        _ = data.test
    shutil.rmtree(tmp_path / "scans/test")
    assert not run(tmp_path / "r.zarr", data).missing()


# What is refused.


@pytest.mark.parametrize("option", ["views", "points", "limit", "batch_size"])
@pytest.mark.parametrize("value", [0, -3])
def test_numbers_below_one_are_refused(tmp_path, data, option, value):
    with pytest.raises(UsageError, match="must be 1 or more"):
        run(tmp_path / "r.zarr", data, **{option: value})
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_are_none(tmp_path, data, seed):
    with pytest.raises(UsageError, match=f"seed is {seed}; choose 0 to"):
        run(tmp_path / "r.zarr", data, seed=seed)
    assert not (tmp_path / "r.zarr").exists()


def test_an_unknown_augmentation_is_refused(tmp_path, data):
    with pytest.raises(UsageError, match="unknown augmentation 'warp'"):
        run(tmp_path / "r.zarr", data, augment="warp")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"views": 3}, "views: 2 in the records, now 3"),
        ({"augment": "scale"}, "augment.operations: "),
        ({"augment": "scale,shift(by=0.1)"}, "'by': 0.1}]"),
        ({"augment": "shift,scale"}, "columns: ['scale_x'"),
        ({"points": 15}, "points: 16 in the records, now 15"),
        ({"seed": 1}, "augment.seed: 0 in the records, now 1"),
        ({"limit": 9}, "shapes: 10 in the records, now 9"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused_by_name(recorded, data, options, named, finished):
    if not finished:
        (recorded.path / "probe/c.1.1.0").unlink()
    message = said(recorded.path, data, **options)
    assert named in message
    assert "choose another --out, or give the options it was made with" in message


def test_another_teacher_is_refused(recorded, data):
    other = Toy()
    other.fingerprint = "beef"
    assert "teacher.fingerprint: f00d in the records, now beef" in said(recorded.path, data, other)


def test_the_same_teacher_from_another_place_goes_on(recorded, data):
    moved = Toy()
    moved.spec = "elsewhere/toy"
    assert run(recorded.path, data, moved).attributes["teacher_spec"] == "toy"


def test_other_data_is_refused(tmp_path, recorded):
    other = open_dataset(scans(tmp_path / "other", seed=1))
    assert "data.fingerprint: " in said(recorded.path, other)
    scans(tmp_path / "scans")
    for part in ("train", "test"):
        (tmp_path / "scans" / part / "lamp").rename(tmp_path / "scans" / part / "mast")
    message = said(recorded.path, open_dataset(tmp_path / "scans"))
    assert "classes: ['bench', 'lamp', 'tree'] in the records, now ['bench', 'mast'," in message


def test_a_folder_of_something_else_is_refused(made, data):
    message = said(made / "scans", data)
    assert "is no record store" in message
    assert "does not exist yet" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_logits_that_cannot_be_stored_are_refused(tmp_path, data, value):
    class Bad(Toy):
        def logits(self, points: Tensor) -> Tensor:
            logits = super().logits(points)
            logits[-1, 1] = value
            return logits

    with pytest.raises(RecordsError, match="view 0, shapes 0 to 3"):
        run(tmp_path / "r.zarr", data, Bad())
    assert not (tmp_path / "r.zarr").exists()


# Stopped, and gone on with.


class Killed(BaseException):
    """No `except Exception` sees it, as none sees a SIGKILL."""


def countdown(steps: int) -> Callable[[], None]:
    """Pass `steps` times, then kill."""
    left = steps

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    return step


@pytest.fixture
def batched(tmp_path: Path, made: Path) -> Path:
    """A finished store of the teacher that sees its batch."""
    return Path(shutil.copytree(made / "batched", tmp_path / "batched.zarr"))


@pytest.fixture
def expected(made: Path) -> dict[str, bytes]:
    """The files of a store that was recorded in one go by the teacher that sees its batch."""
    return files(made / "batched")


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 9])
def test_killed_in_the_teacher(tmp_path, data, expected, steps):
    out = tmp_path / "r.zarr"
    with pytest.raises(Killed):
        run(out, data, Toy(countdown(steps), batch=1.0), batch_size=3)
    with suppress(Killed):
        run(out, data, Toy(countdown(4), batch=1.0), batch_size=3)
    # It exists by now, and keeps its batch size.
    assert files(run(out, data, Toy(batch=1.0), batch_size=7).path) == expected


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_of_any_write(tmp_path, data, expected, monkeypatch, every):
    """Whenever a file is made or moved, or a folder made; what is half written stays behind."""

    def killing(real, step):
        def method(self, *arguments, **options):
            if real.__name__ != "open" or (arguments and arguments[0] != "rb"):
                step()
            return real(self, *arguments, **options)

        return method

    for count in range(0, 999, every):
        out, step = tmp_path / f"{count}.zarr", countdown(count)
        with monkeypatch.context() as patch:
            for name in ("open", "replace", "rename", "mkdir"):
                patch.setattr(Path, name, killing(getattr(Path, name), step))
            try:
                run(out, data, Toy(batch=1.0), batch_size=3)
            except Killed:
                pass
            else:
                break
        assert files(run(out, data, Toy(batch=1.0), batch_size=3).path) == expected, count
    assert count > 60


def test_a_finished_store_is_left_alone(batched, data):
    stamps = {file: file.stat().st_mtime_ns for file in batched.rglob("*")}

    def never() -> None:
        pytest.fail("the teacher was asked again")

    assert not run(batched, data, Toy(never), batch_size=5).missing()
    assert {file: file.stat().st_mtime_ns for file in batched.rglob("*")} == stamps


def test_a_tile_without_its_mark_is_recorded_again(batched, data, expected):
    for chunk in ("probe/c.1.0.0", "logits/c.1.0.0", "probe/c.0.2.0"):
        (batched / chunk).unlink()
    (batched / "augment/c.0.2.0").write_bytes(b"garbage")
    (batched / "logits/c.0.0.0.1234.partial").write_bytes(b"half")
    assert files(run(batched, data, Toy(batch=1.0), batch_size=3).path) == expected


SIGKILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_recording as tests
from pointstill.data import open_dataset
from pointstill.records import layout as module
from pointstill.records.store import SIDECAR

folder, rounds = Path(sys.argv[2]), int(sys.argv[3])
module.TILE = 4
data = open_dataset(folder / "scans")
data.train
teacher = tests.Toy(lambda: time.sleep(0.002), batch=1.0)
options = {"batch_size": 3, "views": 8}
random.seed(rounds)
kills = 0
while kills < rounds:
    out = folder / f"killed-{kills % 2}.zarr"
    child = os.fork()
    if not child:
        try:
            tests.run(out, data, teacher, **options)
        finally:
            os._exit(0)
    time.sleep(random.uniform(0.01, 0.25))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kills += 1
    else:  # it had ended: begin anew
        shutil.rmtree(out)
for name in ("killed-0", "killed-1", "whole"):
    tests.run(folder / f"{name}.zarr", data, teacher, **options)
"""


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_by_a_signal_at_random_moments(tmp_path, kills):
    """SIGKILL, with the disk waited for; two stores by turns, then compared file by file."""
    scans(tmp_path / "scans")
    arguments = [str(Path(__file__).parent), str(tmp_path), str(kills)]
    command = [sys.executable, "-c", SIGKILLED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".partial", ".draft")]
    for name in ("killed-0", "killed-1"):
        difference = subprocess.run(
            [
                "diff",
                "-r",
                "-x",
                SIDECAR,
                tmp_path / f"{name}.zarr",
                tmp_path / "whole.zarr",
            ],
            capture_output=True,
            text=True,
        )
        assert (difference.returncode, difference.stdout, difference.stderr) == (0, "", "")


# Small, and at once.


@pytest.mark.parametrize("codec", ["int8", "topk:2"])
def test_a_codec_is_kept_and_measured(tmp_path, recorded, data, codec):
    store = run(tmp_path / "r.zarr", data, codec=codec)
    assert store.attributes["codec"]["name"] == codec
    coding = codecs.parse(codec, 3)
    for view in range(VIEWS):
        whole = recorded.logits(view)
        found = store.logits(view)
        np.testing.assert_allclose(found, coding.decode(coding.encode(whole)), atol=2e-3)
    assert "codec: " + codec + " in the records, now float16" in said(store.path, data)


@pytest.mark.parametrize("tame", [0, 4])
def test_a_codec_that_loses_too_much_leaves_nothing(tmp_path, data, tame):
    class Wide(Toy):
        asked = 0

        def logits(self, points: Tensor) -> Tensor:
            logits = super().logits(points)
            # The first tile alone, which may be of one class, may lose nothing.
            logits[:, 2] = -60_000 if self.asked >= tame else 0
            self.asked += len(points)
            return logits

    with pytest.raises(RecordsError, match=r"codec int8 loses too much .* use --codec float16"):
        run(tmp_path / "r.zarr", data, Wide(), codec="int8")
    assert not list(tmp_path.glob("*.zarr"))
    assert not run(tmp_path / "r.zarr", data, Wide()).missing()


def test_keyed_parameters_cost_no_byte_and_are_the_same(tmp_path, data):
    stores = [
        run(tmp_path / f"{keyed}.zarr", data, keyed=keyed, augment="scale,jitter,rotate")
        for keyed in (False, True)
    ]
    assert not (stores[1].path / "augment").exists()
    for view in range(VIEWS):
        np.testing.assert_array_equal(stores[0].parameters(view), stores[1].parameters(view))
        np.testing.assert_array_equal(stores[0].logits(view), stores[1].logits(view))
    assert files(stores[0].path)["probe/c.1.1.0"] == files(stores[1].path)["probe/c.1.1.0"]


def test_two_recorders_of_one_store(tmp_path, data):
    """The second is refused while the first is in the teacher; the first ends undisturbed."""
    out, refusals = tmp_path / "r.zarr", []

    def second() -> None:
        if len(refusals) < 2:
            with pytest.raises(RecordsError) as caught:
                run(out, data)
            refusals.append(str(caught.value))

    run(out, data, Toy(second))
    assert not (tmp_path / ".r.zarr.lock").exists()
    who = f"process {os.getpid()} on {os.uname().nodename}"
    for message in refusals:
        assert message == (
            f"{out} is being written by {who}: wait until it ends, or choose another --out"
        )
    assert files(out) == files(run(tmp_path / "alone.zarr", data).path)
