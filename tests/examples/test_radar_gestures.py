"""The description opens data of its layout, and the data that it is for."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from pointstill.data import open_dataset

HERE = Path(__file__).parents[2] / "examples/radar_gestures"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSTILL_CACHE", str(tmp_path / "cache"))


def test_arrays_as_the_description_says_them(tmp_path: Path) -> None:
    shutil.copy(HERE / "mtranssee.yaml", tmp_path)
    draw = np.random.default_rng(0)
    counts = draw.integers(64, 257, 30)
    points = draw.integers(-2048, 2048, (30, 256, 6)).astype(np.int16)
    np.savez(
        tmp_path / "mtranssee_256.npz",
        x=points,
        n=counts.astype(np.int16),
        label=(np.arange(30) % 5).astype(np.int8),
        classes=["CR", "KO", "PL", "PS", "UP"],
        split=np.repeat(["train", "test", "shift"], 10),
        user=np.repeat([1, 80, 2], 10).astype(np.int16),
        scene=["room"] * 30,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = open_dataset(tmp_path / "mtranssee.yaml", group="user")
    assert data.train.groups == ["1"] * 10
    np.testing.assert_array_equal(data.test.cloud(3), points[13, : counts[13], :3])
    table = data.source.shapes("shift")[2].table(None)
    assert {"xyz", "doppler", "time", "strength"} <= {*table}
    np.testing.assert_array_equal(table["time"][:, 0], points[22, : counts[22], 4])


@pytest.mark.slow
def test_the_data_itself(tmp_path: Path, shared: Path) -> None:
    shutil.copy(HERE / "mtranssee.yaml", tmp_path)
    file = shared / "data" / "mtranssee" / "mtranssee_256.npz"
    (tmp_path / file.name).symlink_to(file)
    with pytest.warns(UserWarning, match=r"4 of 4 groups \(user\) of shift are in train too"):
        data = open_dataset(tmp_path / "mtranssee.yaml")
    given = np.load(file)
    for name, count in {"train": 19_927, "test": 14_240, "shift": 7_292}.items():
        split, rows = data.split(name), np.flatnonzero(given["split"] == name)
        assert len(split) == len(rows) == count
        np.testing.assert_array_equal(split.labels, given["label"][rows])
        np.testing.assert_array_equal(split.sizes, given["n"][rows])
        assert split.groups == [str(user) for user in given["user"][rows]]
    last = given["x"][np.flatnonzero(given["split"] == "test")[-1]]
    np.testing.assert_array_equal(data.test.cloud(14_239), last[: data.test.sizes[-1], :3])
