"""The figure of an evaluation."""

from pathlib import Path

from ..reporting.figures import confusion_figure
from ..storage.files import whole
from .scoring import Score


def confusion_picture(score: Score, classes: list[str], path: Path) -> None:
    """Draw the confusion matrix of a model as PNG; the folder is made."""
    title = f"{score.name}: OA {100 * score.overall_accuracy:.1f} %"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = confusion_figure(score.confusion, classes, title)
    with whole(path) as draft:
        figure.savefig(draft, dpi=120, format="png")
