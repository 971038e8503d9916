"""The demo end to end, in its small version."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pointstill.demo.plan import FULL, METHODS, QUICK, students


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pointstill.demo import run_demo

    folder = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(folder, quick=True)
    return folder


def test_every_student_is_trained_and_scored(out):
    results = json.loads((out / "results.json").read_text())
    assert set(results["methods"]) == {method.key for method in METHODS}
    for job in students(QUICK):
        assert (job.folder(out) / "weights.safetensors").exists()
    truth = np.array(results["evaluation"]["labels"])
    by_name = {score["name"]: score for score in results["evaluation"]["scores"]}
    for method in METHODS:
        told = results["methods"][method.key]["overall_accuracy"]
        assert len(told) == QUICK.seeds
        for seed, accuracy in enumerate(told):
            (name,) = [each for each in by_name if each.endswith(f"{method.key}-{seed}")]
            right = np.array(by_name[name]["predictions"]) == truth
            assert accuracy == pytest.approx(right.mean())


def test_the_report_is_one_file_with_everything_in_it(out):
    page = (out / "report.html").read_text()
    for method in METHODS:
        assert method.title in page or method.title.replace("<", "&lt;") in page
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']+)""", page)
    assert [link for link in outside if link.startswith(("http", "//"))] == []
    assert "@import" not in page
    assert page.count("<svg") + page.count("data:image") >= 3
    for name in ("teacher", "records.zarr", "students", "results.json"):
        assert name in page


def test_run_again_it_trains_nothing(out, monkeypatch):
    from pointstill.demo import run_demo

    before = {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}
    run_demo(out, quick=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")} == before


def test_another_size_is_refused(out):
    from pointstill.demo import run_demo
    from pointstill.errors import UsageError

    with pytest.raises(UsageError, match="choose another --out"):
        run_demo(out, quick=False)


def test_all_methods_get_the_same(monkeypatch):
    recipes = [
        FULL.fresh_recipe(0) if method.loss is None else FULL.recorded_recipe(method.loss, 0)
        for method in METHODS
    ]
    for name in ("epochs", "points", "limit", "batch_size", "learning_rate", "val", "seed"):
        assert len({getattr(recipe, name) for recipe in recipes}) == 1
    assert FULL.seeds >= 3
