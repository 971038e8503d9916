"""Subset: fewer views, shapes or classes, of what is sound."""

import numpy as np
import pytest
import zarr

import stand_ins
from pointstill.data.selection import limited
from pointstill.errors import RecordsError, UsageError
from pointstill.recording.maintenance import subset, verify
from pointstill.training.jobs import check_records
from stand_ins import Toy, files, run

surroundings, made, data = stand_ins.surroundings, stand_ins.made_in_codecs, stand_ins.data
store, plain = stand_ins.store, stand_ins.plain


def test_fewer_views_are_the_store_of_fewer_views(tmp_path, data, plain):
    part = subset(plain.path, tmp_path / "part.zarr", views=2)
    assert files(part.path) == files(run(tmp_path / "two.zarr", data, views=2).path)
    with pytest.raises(UsageError, match="has 3 views: choose 1 to 3"):
        subset(plain.path, tmp_path / "more.zarr", views=4)


def test_a_limit_takes_the_shapes_of_the_limit(tmp_path, store, data):
    part = subset(store.path, tmp_path / "part.zarr", data, limit=6)
    np.testing.assert_array_equal(part.shapes, limited(data.train, 6))
    np.testing.assert_array_equal(part.labels, data.train.labels[part.shapes])
    for view in range(3):
        np.testing.assert_array_equal(part.logits(view), store.logits(view)[part.shapes])
        np.testing.assert_array_equal(part.parameters(view), store.parameters(view)[part.shapes])
    assert verify(part, data, tiles=None, teacher=Toy(), quiet=True).tiles == 6


def test_some_classes(tmp_path, plain, data):
    part = subset(plain.path, tmp_path / "part.zarr", data, classes=["lamp", "bench"], views=1)
    assert set(part.labels.tolist()) == {0, 1}
    assert (part.views, part.rows, part.logits(0).shape) == (1, 7, (7, 3))
    assert verify(part, data, tiles=None, quiet=True).tiles == 2
    with pytest.raises(RecordsError, match="train from the store that it was cut from"):
        check_records(part, data.train, np.arange(10))
    with pytest.raises(UsageError, match="no class sofa"):
        subset(plain.path, tmp_path / "sofa.zarr", data, classes=["sofa"])
    with pytest.raises(UsageError, match="give --data"):
        subset(plain.path, tmp_path / "none.zarr", classes=["lamp"])
    with pytest.raises(RecordsError, match="has not recorded the shapes of --limit 9"):
        subset(part.path, tmp_path / "nine.zarr", data, limit=9)


def test_a_part_of_what_is_damaged_is_refused(tmp_path, plain, data):
    augment = zarr.open_array(plain.path / "augment", mode="r+")
    augment[0, 9, 0] *= 1.5
    with pytest.raises(RecordsError, match="view 0, shapes 8 to 9 does not replay"):
        subset(plain.path, tmp_path / "part.zarr", data, limit=4)
    (plain.path / "probe/c.0.0.0").unlink()
    with pytest.raises(RecordsError, match=r"nothing for view 0, shapes 0 to 3: .*unfinished"):
        subset(plain.path, tmp_path / "part.zarr", views=1)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
