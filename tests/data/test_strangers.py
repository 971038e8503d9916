import numpy as np
import pytest

from pointstill.data import open_dataset
from pointstill.data.strangers import KINDS, thing
from pointstill.errors import EmptySplitError


def test_there_are_forty_of_each_to_test_on_and_none_to_train_on():
    data = open_dataset("strangers")
    assert np.bincount(data.test.labels).tolist() == [40] * 6
    assert data.classes == tuple(KINDS)
    assert set(data.test.sizes) == {1024}
    with pytest.raises(EmptySplitError):
        _ = data.train


def test_things_are_what_they_are_called():
    ball = np.linalg.norm(thing("sphere", 3), axis=1)
    assert np.ptp(ball) < 1e-3
    column = np.linalg.norm(thing("column", 3)[:, :2], axis=1)
    assert np.ptp(column) < 1e-3
    patch = np.linalg.svd(thing("ground", 3) - thing("ground", 3).mean(0), compute_uv=False)
    assert patch[2] < 0.1 * patch[1]
    wire = np.linalg.svd(thing("wire", 3) - thing("wire", 3).mean(0), compute_uv=False)
    assert wire[0] > 4 * wire[1]
    cube = thing("cube", 3)
    turned = [cube @ [np.cos(a), np.sin(a), 0] for a in np.linspace(0, np.pi / 2, 721)]
    assert min(map(np.ptp, turned)) == pytest.approx(np.ptp(cube[:, 2]), rel=0.02)


def test_a_thing_follows_from_its_name():
    assert np.array_equal(thing("blob", 0), thing("blob", 0))
    assert not np.array_equal(thing("blob", 0), thing("blob", 1))
