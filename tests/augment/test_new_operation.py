"""An operation is one file and one line: this one is added here, and used by its name alone."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from pointstill.augment.key import uniform
from pointstill.augment.pipeline import OPERATIONS
from pointstill.augment.point_features import PointFeatures
from pointstill.records import Store
from pointstill.run import Run


@dataclass(frozen=True)
class Shear:
    """Lean a shape along x, by a factor U(0, most) of its height along z."""

    most: float = 0.5

    name: ClassVar[str] = "shear"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("shear_x",)

    def lanes(self, points: int) -> int:
        return 1

    def sample(self, bits: Tensor) -> Tensor:
        return self.most * uniform(bits)

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        x, y, z = points.unbind(2)
        return torch.stack((x + parameters * z, y, z), dim=2)

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        return features


@dataclass(frozen=True)
class Stand:
    """Nothing at all, without an option."""

    name: ClassVar[str] = "stand"
    version: ClassVar[int] = 3
    columns: ClassVar[tuple[str, ...]] = ()

    def lanes(self, points: int) -> int:
        return 0

    def sample(self, bits: Tensor) -> Tensor:
        return bits

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        return points

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        return features


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "shear", Shear)
    monkeypatch.setitem(OPERATIONS, "stand", Stand)


def test_a_run_trains_on_it(solids, cli, tmp_path):
    tokens = ["train", "--model", "stillnet-n", "--data", solids, "--device", "cpu"]
    small = ["--epochs", 1, "--points", 32, "--augment", "stand,shear(most=0.25)"]
    code, _, err = cli(*tokens, *small, "--out", tmp_path / "run")
    assert code == 0, err
    assert Run(tmp_path / "run").recipe["augment"] == "stand,shear(most=0.25)"


def test_records_are_made_with_it_and_replayed(solids, teacher_run, cli, tmp_path):
    out = tmp_path / "r.zarr"
    tokens = ["record", "--teacher", teacher_run, "--data", solids, "--views", 1, "--device", "cpu"]
    code, _, err = cli(*tokens, "--augment", "shear,stand", "--out", out)
    assert code == 0, err
    store = Store.open(out)
    assert store.attributes["augment"]["operations"] == [
        {"name": "shear", "version": 1, "most": 0.5},
        {"name": "stand", "version": 3},
    ]
    code, _, err = cli("records", "verify", out, "--data", solids)
    assert code == 0, err
    code, _, err = cli(*tokens, "--augment", "stand(left=2)", "--out", tmp_path / "other.zarr")
    assert (code, err) == (2, "error: stand has no option 'left': leave it out\n")
