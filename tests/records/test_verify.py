"""Replay is proven, and whatever changed is found out."""

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from pointstill.augment import Clouds, Pipeline, parse
from pointstill.errors import RecordsError
from pointstill.records import Store, Tile
from pointstill.records.verify import check_replay, replay
from small_stores import LABELS, about, forge

SIZES = (12, 9, 30, 17, 8, 25, 14, 40, 11, 20, 10, 16)
SHAPES = np.array([0, 1, 2, 4, 5, 6, 7, 9, 10, 11])
COUNT = 24


def points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(sum(SIZES), 3)).astype(np.float32)


def clouds(changed: np.ndarray | None = None) -> Clouds:
    return Clouds(points() if changed is None else changed, np.cumsum([0, *SIZES]))


def pipeline(text: str = "scale,rotate,jitter", seed: int = 3) -> Pipeline:
    return Pipeline(parse(text, "z"), seed)


def record(path: Path, pipe: Pipeline) -> Store:
    attributes = about(pipe.columns, points=COUNT)
    store = Store.create(path, attributes, 2, SHAPES, LABELS)
    for tile in store.tiles():
        shapes = torch.from_numpy(SHAPES[tile.start : tile.stop])
        parameters = pipe.sample(tile.view, shapes).numpy()
        proof, measured = replay(store, tile, pipe, clouds(), parameters)
        store.write(tile, np.zeros((len(shapes), 3)), parameters, measured, proof)
    return store


@pytest.fixture
def store(tmp_path) -> Store:
    return record(tmp_path / "r.zarr", pipeline())


def failed(store: Store, pipe: Pipeline, there: Clouds) -> list[tuple[int, int]]:
    """Tiles (view, number) that do not replay."""
    found = [tile for tile in store.tiles() if not replays(store, tile, pipe, there)]
    return [(tile.view, tile.number) for tile in found]


def replays(store: Store, tile: Tile, pipe: Pipeline, there: Clouds) -> bool:
    try:
        check_replay(store, tile, pipe, there)
    except RecordsError as error:
        message, code = str(error), error.exit_code
    else:
        return True
    assert message.startswith(f"{store.path}: {tile}")
    assert "\n" not in message
    assert code == 1
    return False


EVERY = [(view, number) for view in range(2) for number in range(3)]


@pytest.mark.parametrize("text", ["none", "scale,shift", "scale,rotate,jitter", "jitter,dropout"])
def test_what_was_recorded_replays(tmp_path, text):
    store = record(tmp_path / "r.zarr", pipeline(text))
    assert failed(Store.open(store.path), pipeline(text), clouds()) == []


@pytest.mark.parametrize("sealed", [True, False])
def test_any_bit_of_a_parameter_counts(store, sealed):
    def change(parameters: np.ndarray) -> None:
        parameters[2, 4] = np.nextafter(parameters[2, 4], np.float32(9))

    if sealed:  # by the replay alone
        forge(store, store.tile(1, 1), "augment", change)
        assert np.isfinite(store.parameters(1)).all()
    else:
        augment = zarr.open_array(store.path / "augment", mode="r+")
        augment[1, 6, 4] = np.nextafter(augment[1, 6, 4], np.float32(9))
        with pytest.raises(RecordsError, match="view 1, shapes 4 to 7"):
            store.parameters(1)
    assert failed(store, pipeline(), clouds()) == [(1, 1)]


def test_a_changed_proof_is_found_out_by_the_replay(store):
    def change(probe: np.ndarray) -> None:
        probe[31] ^= 1

    forge(store, store.tile(0, 2), "probe", change)
    assert store.committed().all()
    assert failed(store, pipeline(), clouds()) == [(0, 2)]


def test_a_changed_proof_is_found_out(store):
    probe = zarr.open_array(store.path / "probe", mode="r+")
    probe[0, 2, 31] ^= 1
    assert failed(store, pipeline(), clouds()) == [(0, 2)]


@pytest.mark.parametrize(("by", "found"), [(4e-6, []), (3e-5, [(0, 1)])])
def test_the_sketch_may_differ_by_the_tolerance(store, by, found):
    def change(probe: np.ndarray) -> None:
        sums = probe[32:].copy().view("<f4")
        sums[5] += by
        probe[32:] = sums.view(np.uint8)

    forge(store, store.tile(0, 1), "probe", change)
    assert failed(store, pipeline(), clouds()) == found


def test_missing_tiles_are_found_out(store):
    (store.path / "probe/c.1.0.0").unlink()
    assert failed(store, pipeline(), clouds()) == [(1, 0)]
    (store.path / "augment/c.0.0.0").unlink()
    with pytest.raises(RecordsError):
        check_replay(store, next(store.tiles()), pipeline(), clouds())


def test_a_moved_point_is_found_out_in_its_tile(store):
    changed = points()
    changed[sum(SIZES[:5]) + 3] += 0.01  # shape 5, row 4, tile 1
    assert failed(store, pipeline(), clouds(changed)) == [(0, 1), (1, 1)]


def test_a_shape_that_was_not_recorded_does_not_matter(store):
    changed = points()
    changed[sum(SIZES[:3]) : sum(SIZES[:4])] += 1.0
    assert failed(store, pipeline(), clouds(changed)) == []


def test_other_points_in_another_order_or_of_other_sizes_are_found_out(store):
    assert failed(store, pipeline(), clouds(points(1))) == EVERY
    assert failed(store, pipeline(), clouds(points()[::-1].copy())) == EVERY
    other = Clouds(points(), np.cumsum([0, *SIZES[::-1]]))
    assert failed(store, pipeline(), other) == EVERY


def test_another_pipeline_is_found_out(store):
    assert failed(store, pipeline(seed=4), clouds()) == EVERY
    assert failed(store, pipeline("scale,rotate,jitter,dropout"), clouds()) == EVERY
    assert failed(store, pipeline("scale,rotate(axis=any),jitter"), clouds()) == EVERY
    assert failed(store, pipeline("scale,rotate,jitter(sigma=0.05)"), clouds()) == EVERY
