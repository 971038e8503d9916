"""What the tests of distillation share: a toy that is distilled from `records` for an epoch.

A file of tests takes what it needs by name, fixtures too: `go = distilling.go`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import stand_ins
from pointstill.data import Dataset, open_dataset
from pointstill.errors import PointstillError
from pointstill.recipe import DistillRecipe, RecordRecipe
from pointstill.recording.job import record
from pointstill.run import Run
from pointstill.teachers import load_teacher
from pointstill.training.jobs import distill

QUICK = {"epochs": 1, "batch_size": 16, "val": 0.0}


@pytest.fixture
def data(solids: Path) -> Dataset:
    return open_dataset(solids)


@pytest.fixture
def copied(records: Path, tmp_path: Path) -> Path:
    """A copy of the records, to be damaged."""
    return Path(shutil.copytree(records, tmp_path / "copied.zarr"))


@pytest.fixture
def go(data: Dataset, records: Path, tmp_path: Path) -> Callable[..., Run]:
    """Distil a toy for an epoch."""

    def go(
        *,
        data: Dataset = data,
        records: Path = records,
        past_records: Path | None = None,
        out: str = "run",
        **options,
    ) -> Run:
        return distill(
            "toy",
            data,
            records=records,
            out=tmp_path / out,
            recipe=DistillRecipe(**QUICK | options),
            past_records=past_records,
            quiet=True,
        )

    return go


@pytest.fixture
def again(teacher_run: Path, tmp_path: Path, data: Dataset) -> Callable[..., Path]:
    """Record the teacher once more, with other options."""

    def again(*, out: str = "again.zarr", **options) -> Path:
        teacher = load_teacher(str(teacher_run), classes=data.classes)
        recipe = RecordRecipe(**{"views": 3} | options)
        return record(teacher, data, out=tmp_path / out, recipe=recipe, quiet=True).path

    return again


def refused(kind: type[PointstillError], job: Callable[[], Run], *named: str) -> None:
    """The job is refused in one line that has all of `named`."""
    with pytest.raises(kind) as caught:
        job()
    stand_ins.refused(caught.value, *named)
