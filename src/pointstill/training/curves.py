"""The curves of a run: what `metrics.jsonl` says, as a picture in its folder."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import one_line
from ..run import CURVES, Run
from ..storage.files import write_whole

if TYPE_CHECKING:
    from ..reporting.figures import Series

TITLES = {
    "loss": ("loss", ""),
    "train_accuracy": ("training accuracy", " %"),
    "learning_rate": ("learning rate", ""),
    "ce": ("cross-entropy with the labels, nats", ""),
    "kd": ("T² KL from the teacher, nats", ""),
    "agreement": ("agreement with the teacher", " %"),
    "kl_past": ("KL from the student's past, nats", ""),
    "repulsion": ("push away from the past, before its weight", ""),
    "floored": ("views whose push is limited", " %"),
    "max_logit": ("largest logit", ""),
    "outliers": ("loss on views of nothing, before its weight", ""),
}
"""Entries of the metrics, in the order of their charts, with their titles and units."""
ACCURACIES = {
    "train_accuracy": ("training views", "grey"),
    "val_accuracy": ("validation", "blue"),
    "val_macc": ("validation, mean of classes", "copper"),
}
"""Entries that share a chart, with their labels and colours."""
NO_CURVES = ("epoch", "view")


def draw_curves(run: Run) -> None:
    """Draw `curves.svg` into the folder of a run; a picture that fails is a warning."""
    try:
        from ..reporting.figures import curve_sheet, svg_file

        if lines := run.metrics():
            content = svg_file(curve_sheet(charts(lines)))
            write_whole(run.folder / CURVES, content.encode())
    except Exception as error:
        warnings.warn(
            f"{run.folder}: {CURVES} could not be drawn ({one_line(error, 160)}); the run is whole "
            "without it",
            stacklevel=2,
        )


def charts(lines: Sequence[dict[str, Any]]) -> list[tuple[str, "list[Series]", str]]:
    """What is drawn of metrics: title, curves and unit of each chart.

    Entries without a title of their own, such as parts of a new loss, are drawn under their names.
    """
    there = {name for line in lines for name in line} - {*NO_CURVES}
    known = [name for name in TITLES if name in there]
    drawn = []
    for name in [*known, *sorted(there - TITLES.keys() - ACCURACIES.keys())]:
        title, unit = TITLES.get(name, (name.replace("_", " "), ""))
        if name == "train_accuracy":
            title, own = "accuracy", ACCURACIES
        else:
            own = {name: (title, "blue")}
        curves = [_curve(lines, *each, unit) for each in own.items() if each[0] in there]
        drawn.append((title, curves, unit))
    return drawn


def _curve(
    lines: Sequence[dict[str, Any]], name: str, style: tuple[str, str], unit: str
) -> "Series":
    from ..reporting.figures import Series

    label, colour = style
    found = [(line["epoch"] + 1, line[name]) for line in lines if name in line]
    scale = 100 if unit else 1
    return Series(label, [x for x, _ in found], [scale * y for _, y in found], colour)
