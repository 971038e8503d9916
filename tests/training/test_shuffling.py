"""Epochs in windows: the order of the rows, what is read when, and what training makes of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_resuming import CASES, lives, same

from pointstill.data import Dataset, open_dataset
from pointstill.errors import RecordsError, TrainingError
from pointstill.recipe import DistillRecipe, TrainRecipe
from pointstill.records import Store
from pointstill.run import WEIGHTS
from pointstill.training.jobs import distill, train
from pointstill.training.past_student import RecordedPast
from pointstill.training.shuffling import Order, Windowed, Windows, seed_of
from pointstill.training.views import RecordedViews

CPU = torch.device("cpu")
TILES = np.repeat([0, 1, 2, 4, 5, 6, 9], [4, 4, 3, 4, 1, 4, 2])
"""Of 22 rows: some shapes are held out, and of some tiles all are."""


def windows_of(order: Order) -> list[np.ndarray]:
    return np.split(order.rows, order.ends[:-1])


@pytest.mark.parametrize("size", [22, 23, 1000])
def test_what_fits_is_shuffled_as_a_whole(size):
    """And as it was before there were windows: one permutation by Philox."""
    windows = Windows(TILES, size, seed=3)
    draw = np.random.Generator(np.random.Philox(seed_of("order", 3, 5)))
    assert windows.count == 1
    assert windows.epoch(5).rows.tolist() == draw.permutation(22).tolist()


@pytest.mark.parametrize(
    ("size", "count"),
    [(21, 2), (20, 2), (19, 2), (16, 2), (15, 3), (8, 4), (7, 7), (4, 7), (1, 7)],
)
def test_windows_are_whole_tiles(size, count):
    windows = Windows(TILES, size, seed=0)
    assert windows.count == count
    for epoch in range(20):
        order = windows.epoch(epoch)
        assert sorted(order.rows.tolist()) == list(range(22))
        found = windows_of(order)
        assert len(found) == order.count == count
        assert max(map(len, found)) <= max(size, 4)
        of_tile = {}
        for number, rows in enumerate(found):
            assert order.window(number).tolist() == sorted(rows.tolist())
            for row in rows:
                assert of_tile.setdefault(TILES[row], number) == number


def test_an_order_is_a_function_of_seed_and_epoch():
    def rows(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(Windows(TILES, 8, seed).epoch(epoch).rows.tolist())

    expected = rows(3, 4)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert rows(3, 4) == expected
    assert len({expected, rows(3, 5), rows(4, 4), rows(4, 3), rows(0, 0)}) == 5


def test_tiles_and_rows_come_in_any_order():
    """Over many epochs every tile is as often in each window, and every row at each place."""
    epochs = 3000
    windows = Windows(np.repeat(np.arange(6), 2), 4, seed=1)
    seen = np.zeros((12, 12))
    for epoch in range(epochs):
        seen[np.arange(12), windows.epoch(epoch).rows] += 1
    # Binomial with p = 1/12: six standard deviations.
    assert np.abs(seen - epochs / 12).max() < 6 * np.sqrt(epochs * 11 / 144)


@pytest.mark.parametrize("batch", [1, 3, 5, 22])
def test_a_windowed_table_is_the_table(batch):
    """And reads every window once, in the order of the epoch, whole."""
    values = torch.randn(22, 3)
    order = Windows(TILES, 8, seed=0).epoch(0)
    read: list[list[int]] = []

    def reader(rows: np.ndarray) -> torch.Tensor:
        read.append(rows.tolist())
        return values[rows]

    table = order.table(reader)
    assert isinstance(table, Windowed)
    for rows in torch.from_numpy(order.rows).split(batch):
        assert torch.equal(table[rows], values[rows])
    assert read == [sorted(rows.tolist()) for rows in windows_of(order)]
    # Out of order it is slow, and right.
    rows = torch.tensor([21, 0, 13, 0, 7, 21])
    assert torch.equal(table[rows], values[rows])


def test_a_read_that_fails_is_made_again():
    values, answers = torch.randn(22, 3), iter([False, True])

    def reader(rows: np.ndarray) -> torch.Tensor:
        if not next(answers):
            raise OSError("no answer")
        return values[rows]

    order = Windows(TILES, 8, seed=0).epoch(0)
    table, rows = order.table(reader), torch.from_numpy(order.rows[:3])
    with pytest.raises(OSError, match="no answer"):
        table[rows]
    assert torch.equal(table[rows], values[rows])


# With records


@pytest.fixture(scope="module")
def data(solids: Path) -> Dataset:
    return open_dataset(solids)


@pytest.fixture(scope="module", params=["float16", "int8", "keyed"])
def tiled(data, teacher_run, tmp_path_factory, request) -> Store:
    """Two views of 48 shapes in tiles of 8."""
    from pointstill.recipe import RecordRecipe
    from pointstill.recording.job import record
    from pointstill.teachers import load_teacher

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pointstill.records.layout.TILE", 8)
        teacher = load_teacher(str(teacher_run), classes=data.classes)
        options = {"keyed": True} if request.param == "keyed" else {"codec": request.param}
        out = tmp_path_factory.mktemp("tiled") / "records.zarr"
        store = record(teacher, data, out=out, recipe=RecordRecipe(views=2, **options), quiet=True)
    assert store.attributes["tile"] == 8
    return store


def test_some_rows_of_a_view_are_those_of_the_view(tiled):
    for rows in ([0], [47], [7, 8], [3, 9, 10, 31, 46], range(48)):
        rows = np.array(rows)
        assert tiled.logits(1, rows).shape == (len(rows), 3)
        np.testing.assert_array_equal(tiled.logits(1, rows), tiled.logits(1)[rows])
        np.testing.assert_array_equal(tiled.parameters(1, rows), tiled.parameters(1)[rows])


def test_streamed_views_are_the_views(tiled):
    rows = np.delete(np.arange(48), [0, 9, 47])
    windows = Windows(rows // 8, 20, seed=0)
    assert windows.count == 3
    view = RecordedViews(tiled, rows, windows, CPU, True).view(3)
    assert view.number == 1
    for some in torch.from_numpy(view.order.rows).tensor_split(7):
        expected = rows[some.numpy()]
        np.testing.assert_array_equal(view.teacher[some], tiled.logits(1)[expected])
        np.testing.assert_array_equal(view.parameters[some], tiled.parameters(1)[expected])


def test_only_what_is_needed_is_read(tiled, tmp_path, data):
    """A window needs its tiles and no others: those of the rest of the epoch may even be lost."""
    shutil.copytree(tiled.path, tmp_path / "part.zarr")
    rows = np.arange(48)
    order = Windows(rows // 8, 16, seed=0).epoch(0)
    keep = set((order.window(1) // 8).tolist())
    assert len(keep) == 2
    for tile in tiled.tiles_of(0):
        if tile.number not in keep:
            (tmp_path / "part.zarr" / "logits" / tile.chunk).unlink()
    part = Store.open(tmp_path / "part.zarr")
    view = RecordedViews(part, rows, Windows(rows // 8, 16, seed=0), CPU, True).view(0)
    wanted = torch.from_numpy(windows_of(order)[1])
    np.testing.assert_array_equal(view.teacher[wanted], tiled.logits(0)[wanted])
    with pytest.raises(RecordsError, match=r"view 0, shapes .*repair"):
        view.teacher[torch.from_numpy(windows_of(order)[0])]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("job", ["train", "distill"])
def test_a_window_that_holds_all_changes_no_bit(data, records, tmp_path, job):
    """Nor does one that is shorter than the only tile."""
    found = []
    for window in (65_536, 43, 20):
        common = {"epochs": 2, "points": 64, "batch_size": 8, "window": window}
        out = tmp_path / f"{job}-{window}"
        if job == "train":
            run = train("toy", data, out=out, recipe=TrainRecipe(**common), quiet=True)
        else:
            recipe = DistillRecipe(**common)
            run = distill("toy", data, records=records, out=out, recipe=recipe, quiet=True)
        found.append(load_file(run.folder / WEIGHTS))  # whose seal names the recipe
    for other in found[1:]:
        assert all(torch.equal(other[name], value) for name, value in found[0].items())


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("tiled", ["float16"], indirect=True)
def test_train_and_distill_agree_on_the_windows(data, tiled, tmp_path, monkeypatch):
    from pointstill.augment import Pipeline

    seen: list[list[int]] = []
    replay = Pipeline.replay

    def spy(self, clouds, view, shapes, parameters, count) -> torch.Tensor:
        seen.append(shapes.tolist())
        return replay(self, clouds, view, shapes, parameters, count)

    monkeypatch.setattr(Pipeline, "replay", spy)
    monkeypatch.setattr("pointstill.training.jobs.check_replay", lambda *_: None)  # replays as well
    monkeypatch.setattr("pointstill.records.layout.TILE", 8)
    common = {"epochs": 2, "points": 64, "batch_size": 8, "window": 16}
    recipe = TrainRecipe(**common)
    train("toy", data, out=tmp_path / "train", recipe=recipe, quiet=True)
    half = len(seen)
    recipe = DistillRecipe(loss="kd", **common)
    distill("toy", data, records=tiled.path, out=tmp_path / "kd", recipe=recipe, quiet=True)
    assert len(seen) == 2 * half
    assert seen[:half] == seen[half:]
    # Near in the order means near in the data: a batch has shapes of two windows, so of 4 tiles.
    assert all(len({shape // 8 for shape in batch}) <= 4 for batch in seen)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("tiled", ["int8"], indirect=True)
@pytest.mark.parametrize("case", ["kd", "snapshot", "table", "records"])
def test_killed_inside_a_window_a_run_ends_with_the_same_bits(
    data, tiled, tmp_path, monkeypatch, case
):
    """Six tiles of eight in three windows, and batches of five: some are of two windows."""
    options = {"epochs": 3, "batch_size": 5, "window": 16, "val": 0, "points": 64}

    def go_on(out: Path, minutes: float):
        recipe = DistillRecipe(save_minutes=minutes, **options, **CASES[case])
        past = tiled.path if case == "records" else None
        arguments = {"records": tiled.path, "past_records": past, "out": out, "recipe": recipe}
        return distill("toy", data, quiet=True, **arguments)

    whole = go_on(tmp_path / "whole", 1e9)
    # Ten steps an epoch, windows of 16 shapes: lives end in each of an epoch's windows.
    killed = lives(monkeypatch, lambda: go_on(tmp_path / "run", 0.0), [3, 4, 7, 9, 5])
    assert same(whole, killed)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("tiled", ["float16"], indirect=True)
def test_a_windowed_run_is_another_run(data, tiled, tmp_path):
    """The window decides the order, so a run is not gone on with in another one."""
    recipe = DistillRecipe(epochs=1, window=16)
    run = distill("toy", data, records=tiled.path, out=tmp_path / "r", recipe=recipe, quiet=True)
    assert run.recipe["window"] == 16
    recipe = DistillRecipe(epochs=1)
    with pytest.raises(TrainingError, match="window: 16 then, 65536 now"):
        distill("toy", data, records=tiled.path, out=run.folder, recipe=recipe, quiet=True)


def test_the_recorded_past_streams_too(tiled):
    rows = np.arange(1, 48)
    windows = Windows(rows // 8, 16, seed=0)
    past = RecordedPast(tiled, rows, windows, CPU)
    past.begin_epoch(3, torch.nn.Identity())
    assert isinstance(past.view, Windowed)
    for some in torch.from_numpy(windows.epoch(3).rows).split(5):
        found = past.logits(torch.empty(0), 3, some)
        np.testing.assert_array_equal(found, tiled.logits(1)[rows[some.numpy()]])
