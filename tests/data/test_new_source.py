"""A data source is one file and one line: this one is added here, and used by its files alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pointstill.data.source import Shape, SplitName, refuse_fold
from pointstill.data.sources.finding import SOURCES


@dataclass(frozen=True)
class Catalogue:
    """`train.npz` and `test.npz`, each with an array (n, 3) a cloud, called `class-number`."""

    root: Path

    kind: ClassVar[str] = "catalogue"
    classes: ClassVar[tuple[str, ...]] = ("cone", "cube")
    up: ClassVar[str] = "x"
    key: ClassVar[str] = "1"
    looks_for: ClassVar[str] = "train.npz, test.npz"
    variants: ClassVar[tuple[str, ...]] = ()
    any_up: ClassVar[bool] = False

    @classmethod
    def find(cls, path: Path, fold: int) -> "Catalogue | None":
        if not (path / "train.npz").is_file():
            return None
        refuse_fold(path, fold)
        return cls(path)

    def files(self, split: SplitName) -> list[Path]:
        return [self.root / f"{split}.npz"]

    def shapes(self, split: SplitName) -> Iterator[Shape]:
        (file,) = self.files(split)
        for name in np.load(file).files:
            label = self.classes.index(name.partition("-")[0])
            yield Shape(name, label, partial(self.load, file, name))

    def load(self, file: Path, name: str) -> np.ndarray:
        with np.load(file) as arrays:
            return arrays[name]


@pytest.fixture
def catalogue(tmp_path, clouds, monkeypatch) -> Path:
    monkeypatch.setitem(SOURCES, "catalogue", Catalogue)
    root = tmp_path / "shop"
    root.mkdir()
    for split, count in (("train", 6), ("test", 2)):
        names = [f"{('cone', 'cube')[i % 2]}-{i}" for i in range(count)]
        np.savez(
            root / f"{split}.npz", **{name: clouds(20, seed=i) for i, name in enumerate(names)}
        )
    return root


def test_the_command_line_knows_it(catalogue, cli):
    code, out, err = cli("data", "info", catalogue)
    assert (code, err.count("error")) == (0, 0), err
    assert out.startswith(f"{catalogue}: catalogue, x is up\nshapes   8 (6 train, 2 test)\n")
    code, _, err = cli("data", "info", catalogue, "--up", "z")
    said = f"error: {catalogue} is catalogue, where x is up: leave out up z\n"
    assert (code, err) == (2, said)
    code, _, err = cli("data", "info", catalogue, "--fold", "1")
    assert (code, "comes with its own train and test split" in err) == (2, True)


def test_a_folder_that_is_none_says_what_was_looked_for(catalogue, cli, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = cli("data", "info", tmp_path / "empty")
    assert (code, Catalogue.looks_for in err) == (1, True)


@pytest.mark.parametrize("name", SOURCES)
def test_a_layout_is_listed_by_its_kind(name):
    assert SOURCES[name].kind == name
