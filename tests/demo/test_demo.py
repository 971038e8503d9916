"""The quick demo from end to end, and what it says of scores worked out by hand."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from page_links import Links
from pointstill.data import open_dataset
from pointstill.demo import run_demo
from pointstill.demo.experiment import FULL, METHODS, QUICK, Job, students
from pointstill.demo.significance import Findings
from pointstill.demo.students import train_all, trainers
from pointstill.errors import TrainingError, UsageError
from pointstill.evaluation.scoring import Score
from pointstill.losses.options import LabelOptions
from pointstill.training.shapes import training_shapes

LABELS = [0, 1] * 50


def a_score(right: int, name: str = "run") -> Score:
    """A score with the first `right` of the 100 labels right."""
    answers = [label if index < right else 1 - label for index, label in enumerate(LABELS)]
    share = right / len(LABELS)
    return Score(
        name=name,
        overall_accuracy=share,
        standard_error=0.05,
        interval=[share - 0.1, share + 0.1],
        mean_class_accuracy=share,
        class_accuracy={"a": share, "b": share},
        calibration_error=0.0,
        confusion=[[1, 0], [0, 1]],
        predictions=answers,
        parameters=1,
        flops=1,
        bytes=1,
        latency_ms=1.0,
        points=8,
        agreement={"argmax": 0.5, "kl": 0.1, "shapes": 4},
    )


def found(**right: list[int]) -> Findings:
    """Findings from the number of right answers of each seed, by method; 60 where not given."""
    scores = {
        method.key: [
            a_score(each) for each in right.get(method.key.replace("-", "_"), [60, 60, 60])
        ]
        for method in METHODS
    }
    return Findings.of(a_score(90), scores, LABELS)


SMALLER = replace(QUICK, teacher_epochs=1, teacher_limit=64, epochs=1, limit=64, test_limit=64)


@pytest.fixture(scope="module", params=[SMALLER, pytest.param(QUICK, marks=pytest.mark.slow)])
def demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A finished quick demo, in a smaller size than a user's, and in that."""
    out = tmp_path_factory.mktemp("still") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        for module in ("run", "report"):
            patch.setattr(f"pointstill.demo.{module}.QUICK", request.param)
        run_demo(out, quick=True)
        yield out


# The demo itself


def test_quick_demo_leaves_what_it_says(demo: Path) -> None:
    assert (demo / "records.zarr").is_dir()
    for job in [Job(), *students(QUICK)]:
        assert job.finished(demo)
    results = json.loads((demo / "results.json").read_text())
    assert set(results["methods"]) == {method.key for method in METHODS}
    assert len(results["evaluation"]["scores"]) == 1 + QUICK.seeds * len(METHODS)
    for each in results["methods"].values():
        assert each["mean_percent"] == pytest.approx(100 * np.mean(each["overall_accuracy"]))
        spread = 100 * np.std(each["overall_accuracy"], ddof=1)
        assert each["spread_points"] == pytest.approx(spread)
    for each in results["comparisons"]:
        assert len(each["p_values"]) == QUICK.seeds
        low, high = each["interval_points"]
        assert low <= each["gap_points"] <= high


def test_report_is_complete_in_itself(demo: Path) -> None:
    text = (demo / "report.html").read_text()
    links = Links()
    links.feed(text)
    assert not links.open
    assert links.loaded == []
    assert not re.search(r"https?://|@import|url\(", text)
    assert "$" not in text  # every place of the template is filled
    assert "nan" not in re.findall(r"[a-z]+", text.lower())
    results = json.loads((demo / "results.json").read_text())
    assert escape(results["headline"]) in text
    for method in METHODS:
        assert f">{escape(method.title)}<" in text
    for name in results["evaluation"]["classes"]:
        assert f"<figcaption>{name}" in text


def test_finished_demo_trains_nothing_again(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads((demo / "results.json").read_text())
    monkeypatch.setattr("pointstill.demo.students._train", None)  # not to be sent to a worker
    run_demo(demo, quick=True)
    after = json.loads((demo / "results.json").read_text())
    assert after["resumed"]
    assert after["methods"] == before["methods"]


def test_another_size_is_not_mixed_in(demo: Path) -> None:
    with pytest.raises(UsageError, match="another size"):
        run_demo(demo, quick=False)


@pytest.mark.slow
def test_failure_in_a_worker_comes_back_as_it_is(tmp_path: Path) -> None:
    job = Job(METHODS[0], 0)
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "recipe.yaml").write_text("[damaged")
    with pytest.raises(TrainingError, match="damaged"), trainers(1) as pool:
        train_all(pool, [job], QUICK, tmp_path, shapes=1600, label="students")


def test_first_words_come_before_torch() -> None:
    code = (
        "import sys, pointstill.demo, pointstill.demo.students, pointstill.demo.experiment\n"
        "assert not {'torch', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_methods_get_the_same() -> None:
    """Same labels, steps, batches and points for every student, and the baselines' controls."""
    kept = ("points", "limit", "label_share", "batch_size", "learning_rate", "weight_decay", "val")
    recipes = [
        FULL.recorded_recipe(method.loss, 1)
        if method.loss
        else FULL.fresh_recipe(method.smoothing, 1)
        for method in METHODS
    ]
    assert len({tuple(getattr(recipe, name) for name in kept) for recipe in recipes}) == 1
    for plan in (FULL, QUICK):
        jobs = [Job(method) for method in METHODS]
        steps = {job.epochs(plan) * (job.shapes(plan, 1600) / plan.batch_size) for job in jobs}
        assert len(steps) == 1
    split = open_dataset("primitives").train
    for method, recipe in zip(METHODS, recipes, strict=True):
        options = method.loss.loss_options if method.loss else LabelOptions()
        chosen = training_shapes(split, recipe, options)
        assert len(chosen.train) == Job(method).shapes(FULL, 1600)
        assert recipe.epochs == Job(method).epochs(FULL)
        assert np.bincount(chosen.known[chosen.known >= 0]).tolist() == [5] * 16
    losses = {method.key: method.loss and method.loss.loss_options for method in METHODS}
    nwsd, weaker, towards = (losses[key] for key in ("nwsd", "kd-weaker", "towards-past"))
    assert nwsd
    assert weaker
    assert towards
    assert weaker.alpha == pytest.approx(nwsd.alpha - nwsd.beta)
    assert towards.beta == -nwsd.beta < 0
    assert weaker.temperature == nwsd.temperature


# What it says


def test_stronger_baseline_is_the_one_to_beat() -> None:
    findings = found(ce=[50, 51, 52], ce_smooth=[54, 55, 56], kd=[70, 71, 72])
    assert findings.baseline.method.key == "ce-smooth"
    gain = findings.comparison("kd", "ce-smooth")
    assert gain.gap == pytest.approx(16)
    assert gain.spread == pytest.approx(
        0, abs=1e-9
    )  # every seed gains 16, whatever else it has to itself
    # 16 shapes that only KD gets right, none the other way round: p = 2 / 2**16.
    assert [pair.p_value for pair in gain.pairs] == pytest.approx([2 / 2**16] * 3)
    assert gain.words.startswith(
        "KD beats CE, smoothed by 16.0 points (95 % interval +16.0 to +16.0"
    )
    assert "71.0 % of the test shapes right" in findings.headline


def test_the_spread_is_that_of_the_differences_within_seeds() -> None:
    kd, ce = [70, 74, 73], [61, 66, 68]
    gain = found(ce_smooth=ce, kd=kd).comparison("kd", "ce-smooth")
    assert gain.spread == pytest.approx(np.std(np.subtract(kd, ce), ddof=1))
    test = stats.ttest_rel(kd, ce)
    assert gain.interval == pytest.approx(test.confidence_interval(0.95))
    assert gain.clear == (test.pvalue < 0.05)


@pytest.mark.parametrize(
    ("kd", "headline", "words"),
    [
        ([70, 71, 72], "shapes right when it also learns from a recorded teacher", "KD beats"),
        ([61, 60, 62], "made no clear difference here", "do not clearly differ"),  # + 1.0
        ([59, 62, 58], "made no clear difference here", "do not clearly differ"),  # - 0.3
        ([50, 51, 52], "did harm here", "KD falls behind"),
    ],
)
def test_gain_and_harm_and_neither_are_told_apart(kd: list[int], headline: str, words: str) -> None:
    findings = found(ce=[58, 60, 62], kd=kd)
    assert headline in findings.headline
    assert words in findings.verdict[0]


@pytest.mark.parametrize(
    ("nwsd", "weaker", "towards", "closing"),
    [
        ([70, 70, 70], [60, 60, 60], [60, 60, 60], "paid here"),
        ([70, 70, 70], [70, 70, 70], [60, 60, 60], "its control, KD, α − β"),
        ([60, 60, 60], [60, 60, 60], [60, 60, 60], "brings nothing"),
        ([50, 50, 50], [60, 60, 60], [60, 60, 60], "did harm"),
    ],
)
def test_negative_weight_is_judged_by_its_controls(
    nwsd: list[int], weaker: list[int], towards: list[int], closing: str
) -> None:
    findings = found(nwsd=nwsd, kd_weaker=weaker, towards_past=towards)
    assert closing in findings.verdict[-1]
