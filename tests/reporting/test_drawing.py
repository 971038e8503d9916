"""Tables, figures and pages, whatever they show."""

import re
import warnings
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column

from pointstill.reporting.figures import (
    Series,
    cloud_paths,
    confusion_figure,
    curve_figure,
    inline_svg,
    packed_cloud,
    project,
    reliability_figure,
    scale_figure,
    seed_figure,
)
from pointstill.reporting.tables import draw_table, print_tables
from pointstill.reporting.templates import render


def text_of(figure: Figure) -> list[str]:
    """All text of a figure, as a page shows it."""
    svg = str(inline_svg(figure, "a figure"))
    assert svg.count("<svg") == 1
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


# Tables


def test_text_stands_left_and_numbers_right(capsys):
    rows = [("a", "1", "x"), None, ("long", "12", "yyy")]
    print_tables(draw_table(["[name]", "n", Column("what")], rows, title="t", caption="c"))
    title, _, head, _, first, rule, second, _, caption = capsys.readouterr().out.splitlines()
    assert (title.strip(), caption.strip()) == ("t", "c")
    assert head == "┃ [name] ┃  n ┃ what ┃"
    assert first == "│ a      │  1 │ x    │"
    assert rule.startswith("├")
    assert second == "│ long   │ 12 │ yyy  │"


def test_a_narrow_terminal_folds_text_and_keeps_numbers():
    table = draw_table(["model", "OA %"], [("a-name-of-many-letters", "90.00 ± 3.00")])
    console = Console(width=30)
    with console.capture() as capture:
        console.print(table)
    assert "90.00 ± 3.00" in capture.get()
    assert "…" not in capture.get()


# Figures


def test_a_figure_in_a_page_loads_nothing_and_follows_its_colours():
    series = [Series("<a>", [1, 2], [0.5, 1.0], "blue"), Series("b", [1, 2], [1, 2], dashed=True)]
    svg = str(inline_svg(curve_figure("up & <down>", series), "up & <down>"))
    ElementTree.fromstring(svg.replace("xlink:href", "href"))  # every tag is closed
    assert svg.startswith('<svg role="img" aria-label="up &amp; &lt;down&gt;" viewBox="0 0 270 ')
    assert not re.search(r"https?://|url\(", svg)
    assert "stroke: var(--blue)" in svg
    assert "#2f6f9f" not in svg
    assert not re.search(r' id="[a-z]+_\d+"', svg)  # pages have several figures


def test_ticks_are_few_and_none_is_minus_nought():
    up_and_down = Series("both", [0, 1, 2, 3, 4], [0.1, 0, -0.1, 0, 0.1])
    for unit in ("", " %"):
        ticks = text_of(curve_figure("β", [up_and_down], unit))
        assert f"0{unit}" in ticks or "0.00" in ticks
        assert not any(re.fullmatch(r"[-−]0(\.0+)?( %)?", tick) for tick in ticks)
    ticks = text_of(curve_figure("steep", [Series("it", [0, 40], [0, 83.9])], " %"))
    assert 3 <= sum(tick.endswith(" %") for tick in ticks) <= 6
    assert all(float(tick).is_integer() for tick in ticks if tick.isdecimal())


def test_confusion_is_in_percent_of_the_true_class():
    text = text_of(confusion_figure([[3, 1, 0], [0, 0, 0], [0, 0, 6]], ["a", "b", "c"], "of <it>"))
    assert [each for each in text if each.isdecimal()] == ["75", "25", "100"]
    assert "of &lt;it&gt;" in text


def test_each_group_of_seeds_has_a_row():
    groups = [Series("KD", [1.0, 2.0, 4.0], colour="blue"), Series("CE", [1.0, 1.5, 2.0])]
    figure = seed_figure(groups, 1.5, "accuracy, %", (4, 2))
    (axes,) = figure.axes
    mark, *lines = (line.get_xdata() for line in axes.lines)
    assert list(mark) == [1.5, 1.5]
    assert [np.atleast_1d(line).tolist() for line in lines] == [
        [1.0, 2.0, 4.0],
        [pytest.approx(7 / 3)],
        [1.0, 1.5, 2.0],
        [1.5],
    ]
    assert {"KD", "CE", "accuracy, %"} <= set(text_of(figure))


def test_camera_sees_up_as_up_and_near_as_near() -> None:
    for up, axis in (("x", 0), ("y", 1), ("z", 2)):
        step = np.zeros((2, 3), np.float32)
        step[1, axis] = 1
        flat, depth = project(step, up)
        assert flat[1, 1] > flat[0, 1]
        assert flat[1, 0] == pytest.approx(flat[0, 0])
        assert depth[1] < depth[0]  # the camera stands above the floor


def test_every_point_is_drawn_once() -> None:
    points = np.random.default_rng(0).normal(size=(101, 3)).astype(np.float32)
    assert "".join(cloud_paths(points, "z")).count("h0") == 101
    assert "".join(cloud_paths(np.zeros((8, 3), np.float32), "z")).count("h0") == 8


def test_a_packed_cloud_is_the_cloud_without_its_strays() -> None:
    ball = np.random.default_rng(0).normal(size=(200, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    ball *= (3, 2, 1)
    cloud = np.vstack([ball, [[500, 0, 0]]]).astype(np.float32)
    for up, axes in (("z", [0, 1, 2]), ("y", [2, 0, 1]), ("x", [1, 2, 0])):
        values = np.frombuffer(b64decode(packed_cloud(cloud, up)), np.uint8).reshape(-1, 3)
        turned = ball[:, axes]
        middle = (turned.min(axis=0) + turned.max(axis=0)) / 2
        radius = np.linalg.norm(turned - middle, axis=1).max()
        back = (values / 127.5 - 1) * radius + middle
        assert np.abs(back - turned).max() < radius / 250
    assert len(b64decode(packed_cloud(np.zeros((9, 3), np.float32), "z"))) == 27


def test_a_name_is_no_mathematics_and_fits() -> None:
    names = [r"$\frac{$", "a" * 200, "椅子"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = text_of(confusion_figure(np.eye(3, dtype=int).tolist(), names))
    assert {r"$\frac{$", "a" * 27 + "…", "椅子"} <= {*text}


def test_bars_and_curve_of_a_calibration() -> None:
    curve = Series("plain", [20.0, 90.0], [10.0, 95.0], "grey")
    figure = reliability_figure("<net>", [curve], [0, 50, 100], [25.0, 75.0])
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [25, 75]
    assert [bar.get_width() for bar in axes.patches] == [50, 50]
    assert list(axes.lines[1].get_ydata()) == [10, 95]
    assert "&lt;net&gt;" in text_of(figure)


def test_every_number_of_points_has_a_tick() -> None:
    figure = scale_figure("points", [Series("net", [16, 64, 1024], [10, 50, 90])], " %")
    assert [each for each in text_of(figure) if "%" not in each][:3] == ["16", "64", "1,024"]


# Pages


def test_a_page_needs_every_value():
    assert "--blue: #2f6f9f;" in render("reporting/base.html")
    with pytest.raises(UndefinedError):
        render("demo/report.html")
