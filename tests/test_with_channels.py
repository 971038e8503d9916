"""Channels by their own names, from data to the robot: two classes that a channel alone tells."""

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import RobustScaler

import stand_ins
from pointstill import Classifier
from pointstill.augment import Clouds
from pointstill.augment.student_only import StudentOnly
from pointstill.data import Dataset, open_dataset
from pointstill.deployment.exporting import RunClassifier, export
from pointstill.errors import DataError, PointstillError, RecordsError, TrainingError, UsageError
from pointstill.evaluation.robustness import measure_points
from pointstill.evaluation.scoring import evaluate
from pointstill.evaluation.unknown import measure_unknown
from pointstill.models import build_model
from pointstill.models.layers.channel_scaling import ScaledChannels
from pointstill.points.features import Scale
from pointstill.recipe import DistillRecipe, RecordRecipe, TrainRecipe
from pointstill.recording.job import record
from pointstill.records import Store
from pointstill.run import Run
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill, train

ALL = ("xyz", "doppler", "time", "intensity")
SEEN = ("xyz", "doppler", "time")
POINTS = 48
NAMES = ("x", "y", "z", "doppler", "time", "intensity")
FIELDS = [("time", "f8"), ("Z", "f4"), ("ring", "u1"), ("doppler", "f4"), ("y", "f8"), ("x", "f4")]


def ball(label: int, seed: list[int]) -> dict[str, np.ndarray]:
    """One that comes nearer or goes away: doppler tells, and nothing else; time is in thousands."""
    draw = np.random.default_rng(seed)
    xyz = draw.normal(size=(50 + seed[0], 3))
    xyz /= np.linalg.norm(xyz, axis=1, keepdims=True)
    count = len(xyz)
    return {
        "xyz": xyz,
        "doppler": (2 * label - 1) * 0.05 + draw.normal(0, 0.02, (count, 1)) - 3,
        "time": draw.uniform(3000, 5000, (count, 1)),
        "intensity": draw.uniform(0, 200, (count, 1)),
    }


def write(root: Path, turned: float = 1.0) -> Path:
    """40 to train on and 10 to test, as structured arrays; `turned` times their doppler."""
    for split, count in (("train", 40), ("test", 10)):
        for i in range(count):
            table = ball(i % 2, [i, len(split)])
            values = [*table["xyz"].T, turned * table["doppler"], table["time"], table["intensity"]]
            rows = np.zeros(len(table["xyz"]), [(name, "f8") for name in NAMES])
            for name, each in zip(NAMES, values, strict=True):
                rows[name] = each.ravel()
            file = root / split / ("away", "nearer")[i % 2] / f"{i:02}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, rows)
    return root


@pytest.fixture(scope="module")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "gestures")


@pytest.fixture(scope="module")
def data(gestures: Path) -> Dataset:
    return open_dataset(gestures, features=SEEN)


@pytest.fixture(scope="module")
def run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = TrainRecipe(epochs=12, points=POINTS, batch_size=8, student_augment="mute(chance=0.2)")
    out = tmp_path_factory.mktemp("run") / "run"
    return train("stillnet-n", data, out=out, recipe=recipe, quiet=True)


@pytest.fixture(scope="module")
def student(run: Run) -> Path:
    return export(run, run.folder.parent / "student.onnx")


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    """(60, 5) numbers of a ball that comes nearer, in the order of SEEN."""
    table = ball(1, [10, 99])
    return np.hstack([100 * table["xyz"] + 1e4, table["doppler"], table["time"]])


def refusal(kind: type[PointstillError], job) -> str:
    with pytest.raises(kind) as caught:
        job()
    return stand_ins.refused(caught.value)


def test_scales_are_those_of_the_shapes_that_are_trained_on(run: Run, data: Dataset) -> None:
    split = data.train
    held_out = 4
    assert len(run.metrics()) == 12
    recipe = run.recipe
    from pointstill.losses.options import LabelOptions
    from pointstill.training.shapes import training_shapes

    chosen = training_shapes(split, TrainRecipe(points=POINTS, seed=recipe["seed"]), LabelOptions())
    shapes, validation = chosen.train, chosen.validation
    assert len(validation) == held_out
    rows = np.concatenate([np.arange(*split.offsets[i : i + 2]) for i in shapes])
    assert split.extra
    scaler = RobustScaler().fit(split.extra.values[rows].astype(np.float64))
    scales = recipe["origin"]["scaling"]
    assert list(scales) == ["doppler", "time"]
    for place, scale in enumerate(scales.values()):
        assert scale["median"] == pytest.approx(scaler.center_[place], rel=1e-6)
        assert scale["spread"] == pytest.approx(scaler.scale_[place], rel=1e-6)
    model = run.model()
    assert isinstance(model, ScaledChannels)
    assert model.spread.tolist() == [1, 1, 1] + [each["spread"] for each in scales.values()]


def test_a_channel_tells_the_classes(run: Run, data: Dataset) -> None:
    (score,) = evaluate(run, data, quiet=True).scores
    assert np.mean(np.array(score.predictions) == data.test.labels) >= 0.9


def test_scaled_by_hand() -> None:
    class Given(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return points

    scales = {"doppler": Scale(-3.0, 0.5)}
    scaled = ScaledChannels(Given(), ("xyz", "normal", "doppler"), scales)
    points = torch.tensor([[[9.0, 8, 7, 0, 0, 1, -2], [9, 8, 7, torch.nan, 0, 1, torch.nan]]])
    expected = [[9, 8, 7, 0, 0, 1, 2], [9, 8, 7, 0, 0, 1, 0]]
    assert scaled(points)[0].tolist() == expected
    assert scaled.in_order(points)[0].tolist() == expected
    assert not scaled.state_dict()


def test_channels_that_tell_little(gestures: Path) -> None:
    """Quartiles that are equal, a channel that is one number, and channels as they are."""
    from pointstill.training.channel_scales import channel_scales

    class Split:
        sizes, offsets = np.array([50, 50]), np.array([0, 50, 100])

        class extra:
            names = ("xyz", "rare", "intensity", "same")
            values = np.zeros((100, 3), np.float32)

    Split.extra.values[:7, 0] = 4
    Split.extra.values[:, 2] = 5
    with pytest.warns(UserWarning, match="same is 5 in all training shapes, and tells nothing"):
        found = channel_scales(Split, np.array([0, 1]), "robust")  # type: ignore[arg-type]
    assert found == {"rare": Scale(0.0, 4.0), "same": Scale(5.0, 1.0)}
    assert channel_scales(Split, np.array([0, 1]), "none") == {}  # type: ignore[arg-type]
    assert (
        channel_scales(open_dataset(gestures, features=("xyz",)).train, np.array([0]), "robust")
        is None
    )


def test_many_points_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the golden ratio: a channel that repeats with every 16th point is seen in full."""
    from pointstill.training import channel_scales as module

    monkeypatch.setattr(module, "SAMPLE", 1 << 10)

    class Split:
        sizes, offsets = np.full(16, 1 << 10), np.arange(17) << 10

        class extra:
            names = ("xyz", "ring")
            values = (np.arange(1 << 14) % 16).astype(np.float32)[:, None]

    found = module.channel_scales(Split, np.arange(16), "robust")  # type: ignore[arg-type]
    assert found
    assert abs(found["ring"].median - 7.5) <= 0.5
    assert abs(found["ring"].spread - 8) <= 1


def test_the_file_says_what_torch_says(run: Run, student: Path, cloud: np.ndarray) -> None:
    classifier, torch_one = Classifier(student), RunClassifier(run.folder)
    assert classifier.features == torch_one.features == SEEN
    assert (classifier.about["features"], classifier.about["channels"]) == (list(SEEN), 5)
    np.testing.assert_allclose(classifier.logits(cloud), torch_one.logits(cloud), atol=1e-4)
    assert classifier.predict(cloud)[0][0] == "nearer"


def test_any_order_by_name(student: Path, cloud: np.ndarray) -> None:
    classifier = Classifier(student)
    wanted = classifier.logits(cloud)
    named = dict(zip(("x", "y", "z", "doppler", "time"), cloud.T, strict=True))
    message = np.zeros((6, 10), FIELDS)  # as an organised cloud of ROS
    for name in message.dtype.names or ():
        if name != "ring":
            message[name] = named[name.lower()].reshape(6, 10)
    near = classifier.logits(message)
    np.testing.assert_allclose(near, wanted, atol=1e-3)  # x, Z and doppler are float32 there
    shuffled = {name: named[name] for name in ("time", "z", "doppler", "x", "y")}
    np.testing.assert_array_equal(classifier.logits(shuffled | {"more": "?"}), wanted)
    parts = {"TIME": cloud[:, 4:], "doppler": cloud[:, 3].tolist(), "xyz": cloud[:, :3]}
    np.testing.assert_array_equal(classifier.logits(parts), wanted)

    class Table:
        columns = tuple(shuffled)

        def __getitem__(self, name: str) -> np.ndarray:
            return named[name]

    np.testing.assert_array_equal(classifier.logits(Table()), wanted)
    masked = np.ma.array(np.r_[cloud, cloud[:3] + 5], mask=False)
    masked[60:, 3] = np.ma.masked
    np.testing.assert_array_equal(classifier.logits(masked), wanted)
    masked_named = named | {"time": np.ma.array(named["time"])}
    np.testing.assert_array_equal(classifier.logits(masked_named), wanted)


def test_columns_as_the_files_called_them(student: Path, cloud: np.ndarray) -> None:
    """Theirs come first in what has columns, ours else; a mapping has our names."""
    classifier = Classifier(student)
    wanted = classifier.logits(cloud.astype(np.float32))
    classifier.columns = {"x": "origin_x", "doppler": "Velocity", "time": 4}

    def message(*names: str) -> np.ndarray:
        rows = np.zeros(len(cloud), [(name, "f4") for name in names])
        for name, values in zip(names, cloud.T, strict=False):
            rows[name] = values
        return rows

    theirs = message("origin_x", "y", "z", "velocity", "time", "x", "doppler")
    ours = message("x", "y", "z", "doppler", "time")
    for rows in (theirs, ours):
        np.testing.assert_allclose(classifier.logits(rows), wanted, atol=1e-6)


def test_what_is_missing_is_named(student: Path, cloud: np.ndarray) -> None:
    classifier = Classifier(student)
    named = dict(zip(("x", "y", "z", "Time"), cloud.T[[0, 1, 2, 4]], strict=True))
    said = refusal(DataError, lambda: classifier.logits(named))
    assert said == (
        "the cloud has no doppler, but x, y, z, Time: give an (n, 5) array of numbers, "
        "xyz,doppler,time, or all of these by name"
    )
    said = refusal(DataError, lambda: classifier.logits({"doppler": 1, "time": 1, "z": 1}))
    assert "has no x and no y, but doppler, time, z" in said
    for given, words in (
        (cloud[:, :3], "shape (60, 3) was given; it must be (n, 5), n >= 8: xyz,doppler,time"),
        (cloud.T, "transpose it"),
        (named | {"doppler": cloud[:9, 3]}, "has 60 points and 9 of doppler"),
        (named | {"doppler": cloud[:, 3:]}, "has for doppler an array of shape (60, 2)"),
        (named | {"doppler": ["a"] * 60}, "the cloud has doppler as <U1: give numbers"),
        (named | {"doppler": cloud[:, 3], "Doppler": 0}, "has several columns called doppler"),
    ):
        assert words in refusal(DataError, lambda given=given: classifier.logits(given))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_channels_that_are_not_finite(student: Path, cloud: np.ndarray, value: float) -> None:
    holes = np.r_[cloud, cloud[:4]]
    holes[60:, 3] = value
    said = refusal(DataError, lambda: Classifier(student).logits(holes))
    assert "the cloud has 4 of 64 points whose doppler or time is NaN or infinite" in said
    left = Classifier(student, drop_missing=True).logits(holes)
    np.testing.assert_array_equal(left, Classifier(student).logits(cloud))


@pytest.fixture(scope="module")
def store(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Records of a teacher that sees all there is."""
    data = open_dataset(gestures, features=ALL)
    folder = tmp_path_factory.mktemp("records")
    options = TrainRecipe(epochs=1, points=POINTS, batch_size=8)
    teacher = train("pointnet", data, out=folder / "t", recipe=options, quiet=True)
    assert list(teacher.recipe["origin"]["scaling"]) == ["doppler", "time"]
    loaded = load_teacher(teacher.folder, classes=data.classes, features=ALL)
    recipe = RecordRecipe(views=2, points=POINTS, augment="scale,rotate")
    return record(loaded, data, out=folder / "r.zarr", recipe=recipe, quiet=True)


@pytest.mark.parametrize("features", [("xyz", "time"), ("xyz",), ("xyz", "time", "height")])
def test_a_student_may_see_less_than_its_teacher(
    store: Store, gestures: Path, tmp_path: Path, features: tuple[str, ...]
) -> None:
    """Or something else: height was not recorded."""
    data, recipe = open_dataset(gestures, features=features), DistillRecipe(epochs=1, batch_size=8)
    run = distill(
        "stillnet-n", data, records=store.path, out=tmp_path / "run", recipe=recipe, quiet=True
    )
    assert run.features == features
    assert ("scaling" in run.recipe["origin"]) == (len(features) > 1)


def test_channels_that_the_teacher_did_not_see_do_not_replay(
    store: Store, gestures: Path, tmp_path: Path
) -> None:
    """Of a student with fewer features, those that both see are compared."""
    other = open_dataset(write(tmp_path / "other", 1.01), features=("xyz", "doppler"))
    recipe = DistillRecipe(epochs=1, batch_size=8)
    said = refusal(
        RecordsError,
        lambda: distill(
            "stillnet-n", other, records=store.path, out=tmp_path / "run", recipe=recipe, quiet=True
        ),
    )
    assert "away from what the teacher saw" in said


def test_a_student_with_channels_is_a_teacher(run: Run, student: Path, gestures: Path) -> None:
    """A run and its file, on data that has more, in another order."""
    data = open_dataset(gestures, features=("xyz", "time", "intensity", "doppler"))
    points = Clouds.of(data.test).plain(torch.arange(10), POINTS)
    by_run, by_file = (
        load_teacher(str(each), classes=data.classes, features=data.features).logits(points)
        for each in (run.folder, student)
    )
    torch.testing.assert_close(by_run, by_file, atol=0.05, rtol=0.05)  # centred anew in the graph
    assert torch.equal(by_run.argmax(1), by_file.argmax(1))
    less = open_dataset(gestures, features=("xyz", "time"))
    for each in (run.folder, student):
        with pytest.raises(PointstillError, match="give --features") as caught:
            load_teacher(str(each), classes=less.classes, features=less.features)
        stand_ins.refused(caught.value)


def test_height_is_measured_in_the_graph(
    gestures: Path, tmp_path: Path, cloud: np.ndarray, toy: str
) -> None:
    """A student of xyz, height and time is given xyz and time; what evaluation sees is the same."""
    data = open_dataset(gestures, features=("xyz", "height", "time"))
    recipe = TrainRecipe(epochs=1, points=POINTS, batch_size=8)
    run = train(toy, data, out=tmp_path / "run", recipe=recipe, quiet=True)
    classifier = Classifier(export(run, tmp_path / "s.onnx"))
    assert classifier.features == ("xyz", "time")
    split, clouds = data.test, Clouds.of(data.test)
    assert split.extra
    for i in range(3):
        start, stop = split.offsets[i : i + 2]
        given = np.hstack([split.points[start:stop], split.extra.values[start:stop, 1:]])
        with torch.inference_mode():
            wanted = run.model()(clouds.plain(torch.tensor([i]), POINTS))[0].numpy()
        for one in (classifier, RunClassifier(run.folder)):
            np.testing.assert_allclose(one.logits(given), wanted, atol=1e-3)
            np.testing.assert_allclose(
                one.logits({"xyz": 9 * given[:, :3], "time": given[:, 3], "height": "?"}),
                wanted,
                atol=1e-3,
            )


def test_mute() -> None:
    features = ("xyz", "normal", "time")
    points = torch.rand(400, 20, 7, generator=torch.Generator().manual_seed(0))
    shapes = torch.arange(400)
    seen = StudentOnly.of("mute(chance=0.4)", 3, features).apply(points, 0, shapes, features)
    lost = seen.isnan()
    assert not lost[..., :3].any()
    assert torch.equal(lost, lost[:, :1].expand_as(lost))
    mute = StudentOnly.of("mute(chance=0.4)", 3, features)
    alone = mute.apply(points[5:9], 0, shapes[5:9], features)
    assert torch.equal(alone.isnan(), lost[5:9])
    assert not torch.equal(mute.apply(points, 1, shapes, features).isnan(), lost)
    normal, time = lost[:, 0, 3], lost[:, 0, 6]
    assert torch.equal(lost[:, 0, 3:6], normal[:, None].expand(-1, 3))
    assert not (normal & time).any()
    for each in (normal, time):
        assert each.double().mean() == pytest.approx(0.2, abs=0.06)
    both = StudentOnly.of("mute(chance=1),mute(chance=1)", 3).apply(points, 0, shapes, features)
    assert both[:, 0, [3, 6]].isnan().all(1).double().mean() == pytest.approx(0.5, abs=0.08)
    for features in (("xyz",), ("xyz", "time")):
        if len(features) == 1:
            said = refusal(UsageError, lambda: StudentOnly.of("mute", 0, ("xyz",)))
            assert said.startswith("mute has nothing to mute, as points have xyz alone: leave it")
        else:
            StudentOnly.of("mute", 0, features)


def test_a_muted_channel_is_taken_for_its_median(run: Run) -> None:
    model = run.model()
    points = torch.rand(2, POINTS, 5)
    muted, median = points.clone(), points.clone()
    muted[..., 4], median[..., 4] = torch.nan, model.median[4]
    with torch.inference_mode():
        assert torch.equal(model(muted), model(median))


@pytest.mark.parametrize("name", ["stillnet-n", "stillnet-s", "stillnet-m"])
def test_stillnet_sees_its_channels(name: str) -> None:
    """Where points are the same, logits differ by channels; a batch changes nothing."""
    torch.manual_seed(0)
    model = build_model(name, 4, 6).double().eval()
    clouds = torch.rand(2, 64, 6, dtype=torch.float64)
    clouds[1, :, :3] = clouds[0, :, :3]
    with torch.inference_mode():
        one, two = model(clouds)
        assert (one - two).abs().max() > 1e-4
        torch.testing.assert_close(model(clouds[1:])[0], two)
        order = torch.randperm(64)
        torch.testing.assert_close(model(clouds[:1, order])[0], one)


def test_an_edited_scale_is_damage(run: Run, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    text = (copy / "recipe.yaml").read_text()
    spread = str(run.recipe["origin"]["scaling"]["time"]["spread"])
    (copy / "recipe.yaml").write_text(text.replace(spread, "1.0"))
    assert "is damaged, or was edited" in refusal(TrainingError, lambda: Run(copy).model())


def test_the_scaling_is_part_of_the_recipe(run: Run, data: Dataset) -> None:
    recipe = TrainRecipe(epochs=12, points=POINTS, batch_size=8, student_augment="mute(chance=0.2)")
    again = partial(train, "stillnet-n", data, out=run.folder, quiet=True)
    assert again(recipe=recipe).finished
    with warnings.catch_warnings():
        said = refusal(TrainingError, lambda: again(recipe=replace(recipe, scaling="none")))
    assert "scaling: robust then, none now" in said


def test_the_commands(gestures: Path, tmp_path: Path, cli, toy: str) -> None:
    """Columns of other names are said once: `predict` knows them, of a run and of its file."""
    options = ("--data", gestures, "--features", "xyz,v,time", "--columns", "v=doppler")
    run, file = tmp_path / "run", tmp_path / "s.onnx"
    code, out, err = cli(
        *("train", "--model", toy, *options, "--epochs", "1", "--points", POINTS),
        *("--student-augment", "mute", "--out", run),
    )
    assert code == 0, err
    assert f"pointstill export {run} --out student.onnx" in out
    assert Run(run).recipe["columns"] == "v=doppler"
    code, _, err = cli("export", run, "--out", file)
    assert code == 0, err
    assert Classifier(file).about["columns"] == {"v": "doppler"}
    cloud = next(gestures.rglob("test/*/*.npy"))
    said = []
    for model in (run, file):
        code, out, err = cli("predict", model, cloud, "--format", "csv")
        assert code == 0, err
        said.append(out)
    assert said[0] == said[1]
    text = tmp_path / "cloud.csv"
    rows = np.load(cloud)
    np.savetxt(
        text, np.c_[[rows[n] for n in NAMES]].T, delimiter=",", header="x,y,z,w,time,i", comments=""
    )
    code, out, err = cli("predict", file, text, "--columns", "v=w", "--format", "csv")
    assert code == 0, err
    assert out.splitlines()[1].partition(",")[2] == said[0].splitlines()[1].partition(",")[2]
    code, _, err = cli("predict", file, text)
    assert (code, "has no column doppler" in err) == (1, True)
    code, _, err = cli("evaluate", run, *options)
    assert code == 0, err
    code, _, err = cli("train", "--model", "stillnet-n", "--data", gestures, "--out", "r",
                       "--student-augment", "mute")  # fmt: skip
    assert (code, "mute has nothing to mute" in err) == (2, True)


def test_clouds_of_few_points_keep_their_channels(run: Run, data: Dataset) -> None:
    """Doppler alone tells the two, at any number of points."""
    loaded = load_teacher(str(run.folder), classes=data.classes, features=data.features)
    (found,) = measure_points([loaded], data, [16, 10_000], quiet=True)
    plain = evaluate([loaded], data, quiet=True).scores[0].overall_accuracy
    assert found.accuracy[10_000] == plain
    assert min(found.accuracy.values()) >= 0.9


def test_unknown_clouds_have_the_same_channels(run: Run, data: Dataset, tmp_path: Path) -> None:
    loaded = load_teacher(str(run.folder), classes=data.classes, features=data.features)
    others = write(tmp_path / "others", turned=0.0)
    for split in ("train", "test"):
        for name in data.classes:
            (others / split / name).rename(others / split / f"still {name}")
    (found,) = measure_unknown([loaded], data, open_dataset(others, features=SEEN), quiet=True)
    assert set(found.taken_for) == {"still away", "still nearer"}
    unknown = open_dataset(others, features=SEEN).test
    clouds = Clouds(unknown.points, unknown.offsets, extra=unknown.extra)
    answers = loaded.logits(clouds.plain(torch.arange(len(unknown)), POINTS)).argmax(1)
    counted = sum(each.get(data.classes[0], 0) for each in found.taken_for.values())
    assert counted == int((answers == 0).sum())
    with pytest.raises(UsageError, match=r"has xyz a point, .* has xyz,doppler,time: open both"):
        measure_unknown([loaded], data, open_dataset(others), quiet=True)
