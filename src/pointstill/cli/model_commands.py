"""The verbs about models and teachers: what there is, what it costs, what a teacher needs."""

from pathlib import Path
from typing import Annotated

from cyclopts import App

from .shared_options import DataOptions, Flat, NetworkOptions, needs_torch

teacher_app = App(name="teacher", help="Look at teachers.")
NETWORK = NetworkOptions()


@teacher_app.command(name="describe")
def teacher_describe(
    *,
    teacher: str,
    data: Annotated[DataOptions, Flat],
    teacher_options: Annotated[NetworkOptions, Flat] = NETWORK,
    shapes: int = 256,
    batch_size: int = 16,
    out: Path | None = None,
) -> None:
    """Find a teacher's axes on labelled training shapes; write what it needs beside its file.

    Tries 18 of their orders and directions on 64 shapes, and the best 3 on all. `record` and
    `evaluate` read the file.

    **Examples**

        pointstill teacher describe --teacher gdanet --weights gdanet.t7 --data modelnet40/
        pointstill teacher describe --teacher model.onnx --class-names names.txt --data scans/
        pointstill teacher describe --teacher nets:build --data scans/ --out nets.yaml

    Parameters
    ----------
    teacher:
        One teacher, as `pointstill record --teacher` takes it.
    shapes:
        Labelled training shapes to measure on (stratified).
    batch_size:
        Clouds at once.
    out:
        File to write; by default that of the weights or the model, and .yaml.
    """
    needs_torch()
    from ..teachers.axes_search import describe_teacher

    opened = data.open()
    path, found = describe_teacher(
        teacher_options.load(teacher, opened),
        opened,
        spec=teacher,
        weights=teacher_options.weights[0] if teacher_options.weights else None,
        axes=teacher_options.axes,
        shapes=shapes,
        batch_size=batch_size,
        out=out,
    )
    checked = found.checked or {}
    for axes, accuracy in checked["frames"].items():
        print(f"{axes:9} right on {accuracy:6.1%} of {checked['shapes']} training shapes")
    print(f"wrote {path}: axes {found.frame}, {found.layout}, {found.output}")


def models() -> None:
    """List the built-in models: parameters, cost, and what their authors published.

    **Examples**

        pointstill models
    """
    needs_torch()
    from .listing import describe_models

    describe_models()


def profile(
    models: list[str], /, *, classes: int = 40, points: int = 1024, json: Path | None = None
) -> None:
    """Time built-in models side by side on one CPU thread, in eager torch and in ONNX Runtime.

    **Examples**

        pointstill profile stillnet-n stillnet-s stillnet-m pointmlp-elite
        pointstill profile stillnet-n pointnet --classes 15 --points 2048 --json profile.json

    Parameters
    ----------
    models:
        Names of models (`pointstill models` lists them); the last is what the others are compared
        with, unless pointmlp-elite is among them.
    classes:
        Classes of each model.
    points:
        Points of the one cloud that all classify.
    json:
        Also write the figures to this file.
    """
    needs_torch()
    from ..evaluation.profiling import profile as job
    from ..evaluation.profiling import write_profile
    from ..evaluation.tables import profile_table
    from ..reporting.tables import print_tables
    from ..storage.files import check_writable

    if json:
        check_writable(json)
    profiles = job(models, classes=classes, points=points)
    print_tables(profile_table(profiles, points))
    if json:
        write_profile(profiles, points, json)
        print(f"everything in {json}")
