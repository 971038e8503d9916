"""Tables and the figure of an evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pointstill.evaluation.figures import confusion_picture
from pointstill.evaluation.scoring import Evaluation, Pair, Score
from pointstill.evaluation.tables import class_table, pair_lines, score_table
from pointstill.reporting.tables import print_tables

SCORE = Score(
    name="runs/nwsd",
    overall_accuracy=0.9,
    standard_error=0.03,
    interval=[0.5958, 0.9821],
    mean_class_accuracy=0.875,
    class_accuracy={"a": 0.75, "b": None, "c": 1.0},
    calibration_error=0.042,
    confusion=[[3, 1, 0], [0, 0, 0], [0, 0, 6]],
    predictions=[0, 0, 0, 1, 2, 2, 2, 2, 2, 2],
    parameters=53_251,
    flops=8_798_592,
    bytes=218_000,
    latency_ms=3.456,
    points=64,
)


@pytest.fixture
def evaluation() -> Evaluation:
    about = {"date": "2024-09-05", "data": "scans/", "split": "test", "shapes": 10}
    about |= {"processor": "a CPU", "torch": "2.9.0", "threads": 1}
    other = replace(SCORE, name="runs/kd", class_accuracy={"a": 0.5, "b": None, "c": 0.5})
    agreed = replace(SCORE, agreement={"argmax": 0.953, "kl": 0.1, "shapes": 10})
    pair = Pair("runs/nwsd", "runs/kd", 8, 2, 0.109375)
    labels = [0] * 4 + [2] * 6
    return Evaluation(about, ["a", "b", "c"], ["x"] * 10, labels, [agreed, other], [pair])


def shown(table: object) -> list[list[str]]:
    """The cells of each line of a table, as printed."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().replace("┃", "│").splitlines()
    return [[cell.strip() for cell in line.split("│")] for line in lines]


def test_scores_side_by_side(evaluation):
    lines = shown(score_table(evaluation))
    text = " ".join(cell for line in lines for cell in line)
    for part in ("scans", "10 ", "test", "no voting", "a CPU", "2.9.0", "one thread"):
        assert part in text
    row = next(line for line in lines if "runs/nwsd" in line)
    for cell in ("90.00 (59.6-98.2)", "87.50", "4.2", "8.8", "3.46", "95.3"):
        assert cell in row
    assert any("53" in cell for cell in row)
    other = next(line for line in lines if "runs/kd" in line)
    assert "95.3" not in other


def test_latency_says_what_it_was_measured_on(evaluation):
    def caption() -> str:
        return " ".join(str(score_table(evaluation).caption).split())

    for _ in range(2):
        assert "one thread of torch 2.9.0 on a CPU (normalised and drawn before), 20" in caption()
        evaluation.about["device"] = "cpu"
    assert "ONNX" not in caption()
    evaluation.about["device"] = "NVIDIA H100"
    assert "a cloud, torch 2.9.0 on NVIDIA H100 (host: a CPU) (normalised and" in caption()


def test_the_runtime_of_each_row_is_told(evaluation):
    first, second = evaluation.scores
    evaluation.about["onnxruntime"] = "1.22.0"
    exported = replace(second, name="x.onnx", runtime="ONNX Runtime")
    mixed = replace(evaluation, scores=[first, exported])
    rows = {line[1]: line for line in shown(score_table(mixed)) if len(line) > 5}
    assert "3.46" in rows["runs/nwsd"]
    assert "3.46*" in rows["x.onnx"]
    caption = " ".join(str(score_table(mixed).caption).split())
    within = "* one thread of ONNX Runtime 1.22.0 on a CPU (an exported student normalises and"
    assert f"torch 2.9.0 on a CPU (normalised and drawn before); {within}" in caption
    alone = str(score_table(replace(evaluation, scores=[exported])).caption)
    assert within in " ".join(alone.split())
    assert "torch" not in alone


def test_without_records_there_is_no_agreement(evaluation):
    alone = replace(evaluation, scores=[SCORE])
    assert "agree" not in str(shown(score_table(alone)))


def test_classes_come_worst_first_and_absent_ones_not_at_all(evaluation):
    rows = [line[1:-1] for line in shown(class_table(evaluation)) if len(line) > 3]
    assert [row for row in rows if row[0] in "abc"] == [
        ["a", "4", "75.0", "50.0"],
        ["c", "6", "100.0", "50.0"],
    ]


def test_tests_are_told_in_words(evaluation):
    assert pair_lines(evaluation) == [
        "runs/nwsd against runs/kd: right alone on 8 against 2 shapes, exact McNemar p = 0.109"
    ]


def test_groups_take_the_place_of_independence(evaluation):
    def captions() -> str:
        return " ".join(str(score_table(evaluation).caption).split())

    def row() -> list[str]:
        return next(line for line in shown(score_table(evaluation)) if "runs/nwsd" in line)

    evaluation.about["groups"] = 12
    assert "in brackets: the 95 % interval by drawing the 12 groups anew" in captions()
    evaluation.pairs[0] = replace(evaluation.pairs[0], difference=0.6, interval=[-0.05, 0.8])
    (line,) = pair_lines(evaluation)
    assert line.endswith("shapes, +60.00 points (-5.0 to +80.0 by drawing the 12 groups anew)")
    evaluation.about["groups"] = 4
    evaluation.scores[0] = replace(evaluation.scores[0], interval=None, standard_error=None)
    evaluation.pairs[0] = replace(evaluation.pairs[0], interval=None)
    assert "4 groups: no interval (it takes 5); ECE: plain > at its temperature; ms" in captions()
    assert "90.00" in row()
    (line,) = pair_lines(evaluation)
    assert line.endswith("+60.00 points (no interval of 4 groups)")
    assert "McNemar" not in line


def test_the_picture(tmp_path: Path):
    from matplotlib.image import imread

    path = tmp_path / "deep" / "confusion.png"
    confusion_picture(SCORE, ["a", "b", "c"], path)
    picture = imread(path)
    assert picture.shape[0] == picture.shape[1] > 300
    assert np.ptp(picture[..., :3]) > 0.5


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, "10 test shapes, no voting"),
        ({"split_shapes": 40}, "10 of 40 test shapes, no voting"),
        (
            {"split_shapes": 10, "fold": 2, "data_shapes": 50},
            "10 of 50 shapes (the test part of fold 2; --split all for all), no voting",
        ),
        (
            {"split_shapes": 12, "fold": 2, "data_shapes": 50},
            "10 of 50 shapes (of the 12 in the test part of fold 2; --split all for all), "
            "no voting",
        ),
        ({"split": "all", "fold": 0, "data_shapes": 10}, "10 shapes, all splits, no voting"),
        ({"split": "shift", "unlabelled": 0}, "10 shift shapes, no voting"),
        (
            {"split_shapes": 40, "unlabelled": 1200},
            "10 of 40 test shapes, 1,200 without a label left out, no voting",
        ),
    ],
)
def test_the_title_says_what_was_measured(about, said, evaluation):
    evaluation.about.update(about)
    assert score_table(evaluation).title == f"scans, {said}"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_lost_in_a_narrow_terminal(width, evaluation, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    path = "/a/long/path/with/many/folders/in/it/that/has/no/end/runs/student"
    long = replace(evaluation, scores=[replace(evaluation.scores[0], name=path)])
    print_tables(score_table(long), class_table(long))
    lines = capsys.readouterr().out.splitlines()
    assert path in lines
    assert all(len(line) <= width or path in line for line in lines)
    for cell in ("OA % 90.00 (59.6-98.2)", "mAcc % 87.50", "params 53.3 k", "ms 3.46"):
        assert any(cell in line for line in lines)
