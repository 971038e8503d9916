"""A teacher that sees normals, from files to a student that does not."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from pointstill.augment import Clouds, Pipeline
from pointstill.data import Dataset, open_dataset
from pointstill.deployment.exporting import RunClassifier, export
from pointstill.deployment.runtime import Classifier
from pointstill.errors import PointstillError, RecordsError, TeacherError, UsageError
from pointstill.evaluation.scoring import evaluate
from pointstill.recipe import DistillRecipe, RecordRecipe, TrainRecipe
from pointstill.recording.job import record
from pointstill.recording.maintenance import extend, repair, verify
from pointstill.records import Store
from pointstill.records import layout as module
from pointstill.records.merge_and_subset import merge, subset
from pointstill.run import WEIGHTS, Run
from pointstill.teachers import Teacher, load_teacher
from pointstill.teachers.axes_search import describe_teacher
from pointstill.training.jobs import distill, train

RADII = {"disc": (1, 1, 0.3), "egg": (1, 0.7, 0.6), "pole": (0.3, 0.3, 1)}
FEATURES = ("xyz", "normal")
POINTS, VIEWS = 48, 2

NETWORK = '''
import torch


class Outwards(torch.nn.Module):
    """Logits from where normals point, as seen from the origin; anything else is an error."""

    def forward(self, points):
        places, normals = points.split(3, 2)  # which is an error for points alone
        lengths = normals.norm(dim=2)
        if (lengths - 1).abs().max() > 1e-5:
            raise ValueError("normals are not of unit length")
        out = (places * normals).sum(2)
        squares = normals.square().mean(1)
        return torch.stack([squares[:, 2], out.mean(1), squares[:, 0]], 1)
'''


def write(path: Path, points: np.ndarray, normals: np.ndarray) -> None:
    names = ("x", "y", "z", "nx", "ny", "nz")
    rows = np.zeros(len(points), [(name, "f4") for name in names])
    for name, values in zip(names, np.c_[points, normals].T, strict=True):
        rows[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(rows, "vertex")]).write(path)


def write_all(root: Path, sign: float = 1.0) -> Path:
    """Ellipsoids of three classes with their normals: 8 of each to train on, 2 to test."""
    for label, (name, radii) in enumerate(RADII.items()):
        for i in range(10):
            draw = np.random.default_rng([label, i])
            sphere = draw.normal(size=(60 + i, 3))
            sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
            axes = np.array(radii) * draw.uniform(0.9, 1.1, 3)
            normals = sign * sphere / axes
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            write(root / name / ("test" if i > 7 else "train") / f"{i}.ply", sphere * axes, normals)
    return root


@pytest.fixture(scope="module", autouse=True)
def small_tiles():
    """Tiles of 8 shapes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", 8)
        patch.setattr("pointstill.storage.files._sync", lambda path: None)
        yield


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("normals") / "shapes")


@pytest.fixture(scope="module")
def data(shapes: Path) -> Dataset:
    return open_dataset(shapes, features=FEATURES)


@pytest.fixture(scope="module")
def teacher(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = tmp_path_factory.mktemp("network")
    (folder / "outwards.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return load_teacher("outwards:Outwards", classes=data.classes, features=data.features)


OPTIONS = RecordRecipe(views=VIEWS, points=POINTS, augment="scale,rotate,mirror")


@pytest.fixture(scope="module")
def store(teacher: Teacher, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return record(
        teacher, data, out=tmp_path_factory.mktemp("store") / "r.zarr", recipe=OPTIONS, quiet=True
    )


def same_files(one: Path, other: Path) -> bool:
    files = [sorted(p.relative_to(at) for p in at.rglob("c.*")) for at in (one, other)]
    return files[0] == files[1] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in files[0]
    )


def test_the_teacher_saw_the_normals_of_the_augmented_surface(store: Store, data: Dataset) -> None:
    """In float64: the surface is moved, and its normals are those of the moved surface."""
    split = data.train
    clouds = Clouds(split.points, split.offsets)
    pipeline = Pipeline.restore(store.attributes["augment"])
    ids = torch.from_numpy(store.shapes)
    for view in range(VIEWS):
        drawn = store.parameters(view).astype(np.float64)
        chosen = pipeline.indices(clouds, view, ids, POINTS).numpy()
        for row, shape in enumerate(store.shapes):
            start, stop = split.offsets[shape : shape + 2]
            cloud = split.points[start:stop].astype(np.float64)
            normals = split.extra.values[start:stop].astype(np.float64)
            cloud -= cloud.mean(0)
            cloud /= np.linalg.norm(cloud, axis=1).max()
            scale, angle, mirror = drawn[row, :3], np.pi * (2 * drawn[row, 3] - 1), drawn[row, 6:]
            turn = [
                [np.cos(angle), -np.sin(angle), 0],
                [np.sin(angle), np.cos(angle), 0],
                [0, 0, 1],
            ]
            linear = np.diag(mirror) @ np.array(turn) @ np.diag(scale)
            places = cloud[chosen[row]] @ linear.T
            seen = normals[chosen[row]] @ np.linalg.inv(linear)
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
            expected = [
                (seen[:, 2] ** 2).mean(), (places * seen).sum(1).mean(), (seen[:, 0] ** 2).mean()
            ]  # fmt: skip
            np.testing.assert_allclose(store.logits(view)[row], expected, atol=1e-3)  # float16


def test_the_store_says_what_it_was_made_of(store: Store, data: Dataset) -> None:
    assert store.features == FEATURES
    assert store.attributes["features"] == {
        "names": ["xyz", "normal"], "fingerprint": data.train.extra.fingerprint
    }  # fmt: skip
    proof, sums = store.probe(next(store.tiles()))
    assert (len(proof), sums.shape) == (32, (9, 7))


def test_a_store_of_xyz_alone_is_as_ever(tmp_path: Path) -> None:
    """The proofs are those of the version before there were features."""

    class Toy:
        spec, fingerprint, points, device = "toy", "f00d", None, torch.device("cpu")

        def logits(self, points: torch.Tensor) -> torch.Tensor:
            assert points.shape[2] == 3
            return torch.stack([points[:, :, 2].amax(1), points[:, 0, 0]], 1)

    for label, name in enumerate(("bench", "lamp")):
        (tmp_path / "scans" / name / "train").mkdir(parents=True)
        for i in range(3):
            seed, k = 10 * label + i, np.arange(3 * (12 + i)).reshape(-1, 3)
            cloud = (k * (7 + seed) + seed * 13) % 64 / np.float32(64)
            np.save(tmp_path / "scans" / name / "train" / f"{i}.npy", cloud)
    data = open_dataset(tmp_path / "scans")
    everything = "scale,shift,rotate,mirror,jitter,dropout"
    options = replace(OPTIONS, points=16, augment=everything)
    made = record(Toy(), data, out=tmp_path / "r.zarr", recipe=options, quiet=True)
    assert [made.probe(tile)[0].hex() for tile in made.tiles()] == [
        "5ffe4e862afe1fa3ff0bf2676c7680b603d28a09cc2d5ad195d5ec3788e74c99",
        "a8c81a41b081bf581b7792afc86c567f5597fec4a934293151e1f3994478b9fc",
    ]
    assert all(made.probe(tile)[1].shape == (9, 4) for tile in made.tiles())
    assert "features" not in made.attributes
    names = ("format", "classes", "data", "teacher", "augment", "columns", "keyed", "points")
    decides = {name: made.attributes[name] for name in (*names, "batch", "tile")}
    decides |= {"codec": "float16", "views": VIEWS, "shapes": list(range(6))}
    text = json.dumps(decides, sort_keys=True)
    assert made.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_recording_goes_on_after_a_fall(
    store: Store, teacher: Teacher, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing(self, tile, *content):
        calls.append(tile)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, tile, *content)

    real = Store.write
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            record(teacher, data, out=tmp_path / "r.zarr", recipe=OPTIONS, quiet=True)
    again = record(teacher, data, out=tmp_path / "r.zarr", recipe=OPTIONS, quiet=True)
    assert again.fingerprint == store.fingerprint
    assert same_files(again.path, store.path)


def test_upkeep(store: Store, teacher: Teacher, data: Dataset, tmp_path: Path) -> None:
    found = verify(store, data, tiles=None, teacher=teacher, quiet=True)
    assert (found.tiles, found.kl, found.moment_sums) == (6, 0, 0)
    path = Path(shutil.copytree(store.path, tmp_path / "r.zarr"))
    chunk = path / "probe" / "c.1.1.0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    assert len(repair(path, teacher, data, quiet=True).tiles) == 1
    assert same_files(path, store.path)
    longer = extend(path, teacher, data, views=3, quiet=True)
    whole = record(
        teacher, data, out=tmp_path / "w.zarr", recipe=replace(OPTIONS, views=3), quiet=True
    )
    assert same_files(longer.path, whole.path)
    part = subset(path, tmp_path / "s.zarr", data, classes=["egg"])
    assert verify(part, data, tiles=None, teacher=teacher, quiet=True).tiles == 3


def test_parts_are_merged(
    store: Store, teacher: Teacher, data: Dataset, shapes: Path, tmp_path: Path
) -> None:
    parts = [
        record(
            teacher, data, out=tmp_path / f"{i}.zarr", part=f"{i}/2", recipe=OPTIONS, quiet=True
        ).path
        for i in (1, 2)
    ]
    joined = merge(parts, tmp_path / "all.zarr")
    assert joined.fingerprint == store.fingerprint
    assert same_files(joined.path, store.path)

    class Same:
        """A teacher of xyz that passes for the other one."""

        spec, fingerprint, points, device = "same", teacher.fingerprint, None, torch.device("cpu")

        def logits(self, points: torch.Tensor) -> torch.Tensor:
            return points.mean(1)

    plain = record(
        Same(), open_dataset(shapes), out=tmp_path / "plain.zarr", recipe=OPTIONS, quiet=True
    ).path
    for pair in ((plain, store.path), (store.path, plain)):
        said = refusal(RecordsError, lambda pair=pair: merge(pair, tmp_path / "both.zarr"))
        assert "was made from something else (features: " in said


def refusal(kind: type[PointstillError], job) -> str:
    with pytest.raises(kind) as caught:
        job()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_data_is_refused(
    store: Store, teacher: Teacher, shapes: Path, data: Dataset, tmp_path: Path
) -> None:
    plain = open_dataset(shapes)
    said = refusal(RecordsError, lambda: verify(store, plain, quiet=True))
    assert "was recorded with features xyz,normal, and the data was opened with xyz: give" in said
    said = refusal(
        UsageError, lambda: record(teacher, plain, out=tmp_path / "r", recipe=OPTIONS, quiet=True)
    )
    assert "was loaded for data with xyz,normal, and this is opened with xyz" in said
    inwards = open_dataset(write_all(tmp_path / "inwards", -1), features=FEATURES)
    assert inwards.train.fingerprint == data.train.fingerprint
    said = refusal(RecordsError, lambda: verify(store, inwards, quiet=True))
    assert "features.fingerprint" in said


RECIPE = DistillRecipe(loss="nwsd", epochs=2, batch_size=8, snapshot_age=1)


def test_a_student_of_xyz_alone_goes_on_after_a_fall(
    store: Store, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_dataset(shapes)

    def go(name: str) -> Run:
        out = tmp_path / name
        return distill("stillnet-n", plain, records=store.path, out=out, recipe=RECIPE, quiet=True)

    def failing(self, state) -> None:
        real(self, state)
        raise KeyboardInterrupt

    run, real = go("whole"), Run.save_state
    assert (run.features, run.recipe["features"]) == (("xyz",), None)
    assert run.recipe["origin"]["records"] == store.fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_state", failing)
        with pytest.raises(KeyboardInterrupt):
            go("fallen")
    weights = [(each.folder / WEIGHTS).read_bytes() for each in (run, go("fallen"))]
    assert weights[0] == weights[1]


def test_a_student_that_sees_normals_too(store: Store, data: Dataset, tmp_path: Path) -> None:
    def go(student: str, data: Dataset) -> Run:
        out = tmp_path / student
        return distill(student, data, records=store.path, out=out, recipe=RECIPE, quiet=True)

    run = go("pointnet", data)
    assert run.features == FEATURES
    said = refusal(UsageError, lambda: go("dgcnn", data))
    assert "model dgcnn takes xyz alone: leave out --features, or choose pointnet" in said
    assert not (tmp_path / "dgcnn").exists()
    # Normals that the teacher did not see do not replay.
    inwards = open_dataset(write_all(tmp_path / "inwards", -1), features=FEATURES)
    shutil.rmtree(tmp_path / "pointnet")
    assert "away from what the teacher saw" in refusal(
        RecordsError, lambda: go("pointnet", inwards)
    )


@pytest.fixture(scope="module")
def run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A PointNet++ of one epoch with normals."""
    recipe = TrainRecipe(epochs=1, points=POINTS, batch_size=8)
    out = tmp_path_factory.mktemp("run") / "run"
    return train("pointnet2-ssg", data, out=out, recipe=recipe, quiet=True)


def test_a_run_with_normals_is_a_teacher(run: Run, shapes: Path, data: Dataset) -> None:
    assert run.recipe["features"] == "xyz,normal"
    assert run.model().network.sa1.mlp_convs[0].in_channels == 6
    said = refusal(TeacherError, lambda: load_teacher(run.folder, classes=data.classes))
    assert said.endswith(
        "takes xyz,normal of each point, and the data was opened with xyz: give --features "
        "xyz,normal"
    )
    result = evaluate(run, data, quiet=True)
    (score,) = result.scores
    assert (len(score.predictions), score.flops > 0) == (6, True)


def test_a_student_is_measured_beside_its_teacher(
    run: Run, shapes: Path, data: Dataset, tmp_path: Path
) -> None:
    """It takes xyz alone of what there is, and says what it says of xyz alone."""
    plain = open_dataset(shapes)
    recipe = TrainRecipe(epochs=1, points=POINTS, batch_size=8)
    student = train("stillnet-n", plain, out=tmp_path / "s", recipe=recipe, quiet=True)
    clouds = [Clouds.of(d.test) for d in (plain, data)]
    some = torch.arange(6)
    alone, beside = (
        load_teacher(student.folder, classes=d.classes, features=d.features) for d in (plain, data)
    )
    assert alone.fingerprint == beside.fingerprint
    said = [t.logits(c.plain(some, POINTS)) for t, c in zip((alone, beside), clouds, strict=True)]
    assert torch.equal(*said)
    scores = evaluate([run, student], data, quiet=True).scores
    assert scores[1].predictions == said[0].argmax(1).tolist()
    assert scores[0].flops != scores[1].flops


def test_a_description_names_the_features(data: Dataset, teacher: Teacher, tmp_path: Path) -> None:
    spec = teacher.spec
    path, found = describe_teacher(
        teacher, data, spec=spec, axes="x,y,z", shapes=9, out=tmp_path / "d.yaml", quiet=True
    )
    assert found.features == ["xyz", "normal"]
    assert "features:\n- xyz\n- normal\n" in path.read_text()
    again = load_teacher(path, classes=data.classes, features=("xyz", "height", "normal"))
    assert again.fingerprint == teacher.fingerprint


def test_a_student_with_normals_is_exported(
    store: Store, data: Dataset, shapes: Path, tmp_path: Path, cli, toy: str
) -> None:
    """Its file and its run classify arrays, whatever the length of their normals, and files."""
    run = distill(toy, data, records=store.path, out=tmp_path / "s", recipe=RECIPE, quiet=True)
    assert run.recipe["origin"]["scaling"] == {}
    file = export(run, tmp_path / "s.onnx")
    classifier = Classifier(file)
    split = data.test
    assert split.extra
    start, stop = split.offsets[:2]
    points, normals = split.points[start:stop], split.extra.values[start:stop]
    wanted = RunClassifier(run.folder).logits(np.hstack([points, normals]))
    given = np.hstack([5 * points, 2 * normals])
    np.testing.assert_allclose(classifier.logits(given), wanted, atol=1e-4)
    by_name = {"nx": normals[:, 0], "ny": normals[:, 1], "nz": normals[:, 2], "xyz": points}
    np.testing.assert_allclose(classifier.logits(by_name), wanted, atol=1e-4)
    place = shapes / split.names[0].replace(":", "/")
    place = place if place.is_file() else next(shapes.rglob("test/*.ply"))
    for model in (run.folder, file):
        code, out, err = cli("predict", model, place)
        assert code == 0, err
        assert "%" in out
    (tmp_path / "plain.xyz").write_text("\n".join(" ".join(map(str, row)) for row in points))
    code, _, err = cli("predict", file, tmp_path / "plain.xyz")
    assert (code, "plain.xyz has no normal, but xyz: give" in err) == (1, True)


def test_the_commands(shapes: Path, run: Run, tmp_path: Path, cli) -> None:
    code, out, _ = cli("data", "info", shapes, "--features", "xyz,normal")
    assert code == 0
    assert "features xyz,normal,height" in out
    assert "train    normal -" in out
    records, few = tmp_path / "r.zarr", ("--views", "1", "--limit", "9")
    options = ("--data", shapes, "--features", "xyz,normal")
    code, out, err = cli("record", "--teacher", run.folder, *options, *few, "--out", records)
    assert code == 0, err
    assert "--features xyz,normal --records" in out  # the student may see what its teacher did
    code, out, _ = cli("records", "info", records)
    assert "features xyz,normal" in out
    assert cli("records", "verify", records, *options, "--teacher", run.folder)[0] == 0
    code, _, err = cli("records", "verify", records, "--data", shapes)
    assert code == 1
    assert "give --features xyz,normal" in err
    code, out, err = cli("evaluate", run.folder, *options, "--json", tmp_path / "e.json")
    assert code == 0, err
    code, _, err = cli("train", "--model", "dgcnn", *options, "--out", tmp_path / "t")
    assert (code, "model dgcnn takes xyz alone" in err) == (2, True)
    code, _, err = cli("data", "info", shapes, "--features", "xyz,colour")
    assert "has no colour, but xyz,normal,height: give --features of these" in err
