"""The picture of a run."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pointstill.data import open_dataset
from pointstill.recipe import TrainRecipe
from pointstill.run import CURVES, Run
from pointstill.training.curves import charts, draw_curves
from pointstill.training.jobs import train

LINES = [
    {"epoch": epoch, "view": 0, "learning_rate": 1e-3, "loss": 2.0 - epoch, "ce": 1.0}
    | {"train_accuracy": 0.5, "brand_new": 3.0}
    | ({"kl_past": 0.1 * epoch} if epoch else {})
    for epoch in range(2)
]


def test_each_entry_has_a_chart_but_for_those_that_are_no_figures():
    drawn = {title: curves for title, curves, _ in charts(LINES)}
    assert [*drawn][:3] == ["loss", "accuracy", "learning rate"]
    assert "brand new" in drawn
    assert not {"epoch", "view"} & drawn.keys()
    (loss,) = drawn["loss"]
    assert (loss.x, loss.y) == ([1, 2], [2.0, 1.0])
    (past,) = drawn["KL from the student's past, nats"]
    assert (past.x, past.y) == ([2], [0.1])  # the first epoch had none


def test_accuracies_share_a_chart_in_percent():
    lines = [line | {"val_accuracy": 0.25} for line in LINES]
    curves, unit = next((c, u) for title, c, u in charts(lines) if title == "accuracy")
    assert [(curve.label, curve.y) for curve in curves] == [
        ("training views", [50, 50]),
        ("validation", [25, 25]),
    ]
    assert unit == " %"


def test_a_finished_run_has_its_curves(student_run: Path):
    text = (student_run / CURVES).read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert {"loss", "accuracy", "learning rate", "KL from the student's past, nats"} <= {*words}
    assert "prefers-color-scheme: dark" in text
    assert {*re.findall(r"https?://[^\"' ]+", text)} == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


@pytest.mark.usefixtures("toy")
def test_a_picture_that_fails_ends_no_training(solids, tmp_path, monkeypatch):
    def failing(charts: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("pointstill.training.loop.draw_curves", draw_curves)
    monkeypatch.setattr("pointstill.reporting.figures.curve_sheet", failing)
    recipe = TrainRecipe(epochs=1, points=64, batch_size=8, limit=24)
    data = open_dataset(solids)
    with pytest.warns(UserWarning, match=r"curves.svg could not be drawn \(no font\)"):
        run = train("toy", data, out=tmp_path / "run", recipe=recipe, quiet=True)
    assert Run(run.folder).finished
    assert not (run.folder / CURVES).exists()
