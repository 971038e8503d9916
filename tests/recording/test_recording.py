"""Recording: what is recorded."""

import json
import shutil

import numpy as np
import pytest
import torch

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.augment.key import Key
from pointstill.data import open_dataset
from pointstill.errors import DataError, RecordsError
from pointstill.records import Tile, codec, probe
from pointstill.records import codec as codecs
from pointstill.records.store import SIDECAR
from pointstill.records.verify import check_replay
from small_stores import forge, negate
from stand_ins import CLASSES, POINTS, VIEWS, Toy, files, run, said, scans

pytestmark = pytest.mark.usefixtures("surroundings")


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
    forge(store, Tile(1, 0, 0, 4), "augment", negate)
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


# In another codec, and with parameters that come from keys.


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


def test_keyed_parameters_cost_no_byte_and_are_the_same(tmp_path, data):
    stores = [
        run(tmp_path / f"{keyed}.zarr", data, keyed=keyed, augment="scale,jitter,rotate")
        for keyed in (False, True)
    ]
    assert not (stores[1].path / "augment").exists()
    for view in range(VIEWS):
        np.testing.assert_array_equal(stores[0].parameters(view), stores[1].parameters(view))
        np.testing.assert_array_equal(stores[0].logits(view), stores[1].logits(view))
    probes = [files(store.path)["probe/c.1.1.0"][: probe.LENGTH] for store in stores]
    assert probes[0] == probes[1]  # all but the seals


def test_a_store_goes_on_with_the_normalisation_that_it_was_begun_with(tmp_path, data, monkeypatch):
    def first(*arguments):
        return Pipeline(*arguments, normalization=1)

    with monkeypatch.context() as then:
        then.setattr("pointstill.recording.job.Pipeline", first)
        store = run(tmp_path / "r.zarr", data)
    whole = store.logits(1)
    (store.path / "probe" / "c.1.0.0").unlink()
    assert store.missing()
    again = run(tmp_path / "r.zarr", data)
    assert not again.missing()
    assert again.attributes["augment"]["normalize"] == {"version": 1}
    np.testing.assert_array_equal(again.logits(1), whole)
    assert run(tmp_path / "new.zarr", data).attributes["augment"]["normalize"] == {"version": 2}
