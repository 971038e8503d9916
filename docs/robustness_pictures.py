"""Draw `corruptions.png` and `lying.png`: one shape gone wrong, and one on its side.

Run from the repository's root, with an exported student of primitives for the second:
`python docs/robustness_pictures.py [STUDENT.onnx]`.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pointstill.data.corruptions import CORRUPTIONS, LEVELS, corrupt
from pointstill.data.primitives import Primitives
from pointstill.data.primitives.arithmetic import rotate
from pointstill.deployment.runtime import Classifier
from pointstill.points.upright import turn_up

HERE = Path(__file__).parent
INK, BLUE = "#22303c", "#0072b2"
SHAPE = "chair-001"


def shape() -> NDArray[np.float32]:
    """A test shape, as a whole surface."""
    name, index = SHAPE.split("-")
    return Primitives(clean=True).cloud("test", name, int(index))


def told_rightly(student: str) -> NDArray[np.float32]:
    """The first test chair that the student tells, as the camera sees it."""
    classifier, source = Classifier(student), Primitives()
    clouds = (source.cloud("test", "chair", index) for index in range(50))
    return next(cloud for cloud in clouds if classifier.predict(cloud, 1)[0][0] == "chair")


def scatter(axes: Axes, points: NDArray[np.floating], caption: str, size: float = 1.6) -> None:
    """Draw a cloud with z up, near points darker, all axes to one scale."""
    seen = rotate(rotate(points.astype(np.float64), 0.15), 0.05, "x")
    order = np.argsort(-seen[:, 1])
    near = (seen[order, 1].max() - seen[order, 1]) / max(float(np.ptp(seen[:, 1])), 1e-9)
    axes.scatter(*seen[order][:, [0, 2]].T, s=size, c=BLUE, alpha=0.25 + 0.75 * near, linewidths=0)
    low, high = seen[:, [0, 2]].min(axis=0), seen[:, [0, 2]].max(axis=0)
    middle, half = (low + high) / 2, 0.55 * (high - low).max()
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(caption, fontsize=8, color=INK)


def corruptions() -> None:
    """A row a corruption, a column a level."""
    points = shape()
    points = points - points.mean(axis=0)
    points = points / np.linalg.norm(points, axis=1).max()
    figure = Figure(figsize=(10, 13), layout="constrained")
    grid = figure.subplots(len(CORRUPTIONS), len(LEVELS))
    for row, name in zip(grid, CORRUPTIONS, strict=True):
        for axes, level in zip(row, LEVELS, strict=True):
            scatter(axes, corrupt(points, name, level, f"0/{SHAPE}"), f"{name} {level}")
    figure.savefig(HERE / "corruptions.png", dpi=80)


def lying(student: str) -> None:
    """The same shape upright, on its side, and on its side with `up` said."""
    points = told_rightly(student)
    fallen = turn_up(points, "z", "y")
    plain, told = Classifier(student), Classifier(student, up="y")
    cases = [
        ("z up, as in training", points, plain),
        ("y up, and nothing said", fallen, plain),
        ('y up, with up="y"', fallen, told),
    ]
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    for axes, (caption, cloud, classifier) in zip(figure.subplots(1, 3), cases, strict=True):
        reject = classifier.calibration.threshold is not None
        answers = [f"{name} {share:.0%}" for name, share in classifier.predict(cloud, 2, reject)]
        scatter(axes, cloud, f"{caption}\n{', '.join(answers)}", size=5)
    figure.savefig(HERE / "lying.png", dpi=110)


if __name__ == "__main__":
    corruptions()
    if sys.argv[1:]:
        lying(sys.argv[1])
