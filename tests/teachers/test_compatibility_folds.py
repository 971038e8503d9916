"""No student is measured, or recorded, on another fold than its own."""

import json
import shutil
from pathlib import Path

import pytest

from pointstill.data import open_dataset
from pointstill.deployment.runtime import Classifier
from pointstill.errors import UsageError
from pointstill.evaluation.scoring import evaluate
from pointstill.recipe import RecordRecipe
from pointstill.recording.job import record
from pointstill.run import Run
from pointstill.teachers import load_teacher


@pytest.fixture(scope="module")
def second_fold(solids, tmp_path_factory) -> Path:
    from pointstill.recipe import TrainRecipe
    from pointstill.training.jobs import train

    recipe = TrainRecipe(epochs=1, points=64, val=0.0, limit=12)
    out = tmp_path_factory.mktemp("fold") / "run"
    return train(
        "stillnet-n", open_dataset(solids, fold=2), out=out, recipe=recipe, quiet=True
    ).folder


def test_a_run_of_another_fold_is_not_recorded(second_fold, solids, tmp_path):
    """Its records would tell a student of the shapes that the student is tested on."""
    data = open_dataset(solids)
    teacher = load_teacher(str(second_fold), classes=data.classes)
    with pytest.raises(UsageError, match="give --fold 2"):
        record(teacher, data, out=tmp_path / "r.zarr", recipe=RecordRecipe(views=1), quiet=True)
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_of_another_fold_is_not_measured_on_its_own_training_shapes(
    second_fold, solids, tmp_path, moved
):
    """Nor where the data has moved, nor inside an ensemble."""
    root = Path(shutil.copytree(solids, tmp_path / "moved")) if moved else solids
    data = open_dataset(root)
    ensemble = load_teacher([str(second_fold), str(second_fold)], classes=data.classes)
    for model in (second_fold, Run(second_fold), ensemble):
        with pytest.raises(
            UsageError, match=r"was trained on fold 2 of .*: give --fold 2"
        ) as caught:
            evaluate(model, data, quiet=True)
        assert str(second_fold) in str(caught.value)
    assert data._opened == {}
    assert evaluate(second_fold, open_dataset(root, fold=2), limit=3, quiet=True).scores


def test_an_exported_student_knows_its_fold(student_onnx, solids, make_solids, tmp_path):
    """And not where its data was."""
    about = Classifier(student_onnx).about
    assert about["trained_on"]["fold"] == 0
    assert str(solids) not in json.dumps(about)
    moved = open_dataset(shutil.copytree(solids, tmp_path / "moved"), fold=1)
    with pytest.raises(UsageError, match=r"was trained on fold 0 of .*: give --fold 0") as caught:
        evaluate(student_onnx, moved, quiet=True)
    assert str(student_onnx) in str(caught.value)
    teacher = load_teacher(str(student_onnx), classes=moved.classes)
    with pytest.raises(UsageError, match="give --fold 0"):
        record(teacher, moved, out=tmp_path / "r.zarr", recipe=RecordRecipe(views=1), quiet=True)
    assert evaluate(student_onnx, open_dataset(solids), limit=3, quiet=True).scores
    other = open_dataset(make_solids(tmp_path / "solids", first_seed=7), fold=1)
    assert evaluate(student_onnx, other, limit=3, quiet=True).scores


def test_a_run_of_another_fold_may_be_measured_on_other_data(second_fold, make_solids, tmp_path):
    other = open_dataset(make_solids(tmp_path / "solids", first_seed=7))
    assert evaluate(second_fold, other, limit=3, quiet=True).scores
