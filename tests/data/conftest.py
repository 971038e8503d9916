"""Data sets written on the spot."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

CLASSES = ("cone", "cube", "ring")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the test, so that none is written at home."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("POINTSTILL_CACHE", str(folder))
    return folder


@pytest.fixture
def clouds() -> Callable[..., np.ndarray]:
    """Make clouds (count, points, 3), or one (points, 3), float32."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(*shape, 3)).astype(np.float32)

    return make


@pytest.fixture
def hdf5(tmp_path: Path, clouds) -> Path:
    """ModelNet's HDF5 layout: two train files of 300 and 5 clouds, one test file of 4."""
    root = tmp_path / "hdf5"
    root.mkdir()
    (root / "shape_names.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "train_files.txt").write_text("data/elsewhere/train0.h5\ndata/elsewhere/train1.h5\n")
    (root / "test_files.txt").write_text("data/elsewhere/test0.h5")
    for seed, (name, count) in enumerate({"train0": 300, "train1": 5, "test0": 4}.items()):
        with h5py.File(root / f"{name}.h5", "w") as file:
            data = clouds(count, 16, seed=seed)
            file.create_dataset("data", data=data, compression="gzip")
            file["label"] = (np.arange(count) % 3).astype(np.uint8)[:, None]
    return root


@pytest.fixture
def scans(tmp_path: Path, clouds) -> Path:
    """Class folders of .npy clouds, 6 each, 10 to 15 points."""
    root = tmp_path / "scans"
    for seed, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(6):
            np.save(root / name / f"{i:03}.npy", clouds(10 + i, seed=10 * seed + i))
    return root
