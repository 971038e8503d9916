"""Estimates against the files of stores."""

import numpy as np
import pytest

from pointstill.errors import UsageError
from pointstill.recipe import RecordRecipe
from pointstill.recording import estimate
from pointstill.recording.estimate import estimate_recording, store_size
from pointstill.records import Store
from small_stores import about
from stand_ins import Toy

pytestmark = pytest.mark.usefixtures("surroundings")


@pytest.mark.parametrize(("codec", "keyed"), [("float16", False), ("int8", True)])
@pytest.mark.parametrize("rows", [10, 300])
def test_an_estimate_is_the_size_of_the_store(tmp_path, codec, keyed, rows):
    attributes = about("abcdef", codec, keyed=keyed)
    store = Store.create(tmp_path / "r.zarr", attributes, 2, np.arange(rows), np.arange(rows) % 3)
    for tile in store.tiles():
        count = tile.stop - tile.start
        logits, parameters = np.zeros((count, 3)), np.zeros((count, 6))
        store.write(tile, logits, parameters, np.zeros((9, 4)), b"1" * 32)
    found = store_size(rows, 2, 3, codec, columns=6, keyed=keyed)
    assert (found.logits, found.parameters) == ((7, 0) if keyed else (6, 24))
    chunks = list(store.path.rglob("c.*.*.0"))
    headers = store.bytes_on_disk() - sum(f.stat().st_size for f in chunks) - 16 * rows
    assert found.total - store.bytes_on_disk() == 12_000 - headers
    assert 6_000 < headers < 14_000
    assert found.largest == max(f.stat().st_size for f in chunks)
    assert found.records == 2 * rows


def test_an_estimate_is_of_the_recipe_of_a_recording(data, monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.0)
    recipe = RecordRecipe(views=3, limit=4, points=16, batch_size=5, augment="scale", codec="int8")
    found = estimate_recording(data, Toy(), recipe=recipe)
    size, timing = found.size, found.timing
    assert (size.records, size.logits, size.parameters) == (12, 7, 12)
    assert timing is not None
    assert (timing.points, timing.batch_size, timing.device_memory) == (16, 5, None)
    assert found.seconds == 12 / timing.records_a_second
    alone = estimate_recording(recipe=recipe, shapes=10, classes=3)
    assert (alone.size, alone.timing, alone.seconds) == (size, None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "shapes and classes are not known: give --shapes and --classes, or --data"),
        ({"shapes": 0, "classes": 3}, "shapes is 0: choose 1 or more"),
        ({"shapes": 3, "classes": -1}, "classes is -1: choose 1 or more"),
    ],
)
def test_an_estimate_of_nothing_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        estimate_recording(**given)
