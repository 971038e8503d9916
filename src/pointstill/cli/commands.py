"""The command line: one function a verb, no logic; heavy imports inside."""

from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import App, Parameter

from .. import torchrun
from .._version import __version__
from ..recipe import DistillRecipe, RecordRecipe, TrainRecipe
from .data_commands import data_app
from .model_commands import models, profile, runs, teacher_app
from .records_commands import records_app
from .serving_commands import page, serve
from .shared_options import (
    ENGINE,
    RECORD,
    TEACHER,
    DataOptions,
    EngineOptions,
    Flat,
    Names,
    RecipeFile,
    TeacherOptions,
    Up,
    check_names,
    converted,
    finished,
    left_out,
    needs_torch,
    whole_numbers,
)

app = App(
    name="pointstill",
    version=__version__,
    help="""A still for point clouds: record a large classifier once, distil small ones for the CPU.

    **Examples**

        pointstill demo --quick
        pointstill record --teacher gdanet --weights gdanet.t7 --data modelnet40/ --out records.zarr
        pointstill distill --student stillnet-n --data modelnet40/ --records records.zarr --out run
        pointstill evaluate run --data modelnet40/
        pointstill export run --out student.onnx
    """,
    help_format="markdown",
    default_parameter=Parameter(negative=(), converter=converted),
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(help="Make the shell complete commands and flags.")
for group in (data_app, records_app, teacher_app):
    group.default_parameter = app.default_parameter  # else docs do not know it
    app.command(group)
app.command(models)
app.command(profile)
app.command(runs)
app.command(serve)
app.command(page)

TRAIN, DISTILL = TrainRecipe(), DistillRecipe()


@app.command
def train(
    *,
    model: str,
    data: Annotated[DataOptions, Flat],
    out: Path,
    recipe: RecipeFile = None,
    options: Annotated[TrainRecipe, Flat] = TRAIN,
) -> None:
    """Train a model from labels alone: a teacher, or a baseline.

    **Examples**

        pointstill train --model stillnet-s --data primitives --epochs 30 --out runs/baseline
        pointstill train --model pointnet --data my_scans/ --augment scale,rotate --out runs/teacher
        pointstill train --model pointnet2-ssg --data modelnet40_normal_resampled/
            --features xyz,normal --out runs/normals
        pointstill train --recipe runs/baseline/recipe.yaml --seed 1 --out runs/baseline-1

    Parameters
    ----------
    model:
        Name of a model, such as stillnet-s or pointnext-s; `pointstill models` lists them.
    out:
        Run folder to write; an unfinished run of the same recipe is gone on with.
    recipe:
        YAML file of these options; a flag overrides what it says.
    """
    needs_torch()
    from ..training.jobs import train as job
    from ..training.stopping import OnSignal

    with torchrun.in_turn():
        opened = data.open()
        left_out(opened.train)
    run = job(model, opened, out=out, recipe=options, stop=OnSignal())
    finished(run.folder, data)


@app.command
def record(
    *,
    teacher: list[str],
    data: Annotated[DataOptions, Flat],
    out: str,
    part: str | None = None,
    teacher_options: Annotated[TeacherOptions, Flat] = TEACHER,
    engine: Annotated[EngineOptions, Flat] = ENGINE,
    recipe: RecipeFile = None,
    options: Annotated[RecordRecipe, Flat] = RECORD,
) -> None:
    """Run a teacher once over many augmented views of each training shape; keep its logits.

    Killed at any moment, the same command goes on where it was.

    **Examples**

        pointstill record --teacher runs/teacher --data primitives --views 10 --out records.zarr
        pointstill record --teacher gdanet --weights gdanet.t7 --data modelnet40/ --out records.zarr
        pointstill record --teacher my_package.nets:build --weights w.pth --data scans/ --out r.zarr
        pointstill record --teacher runs/normals --data modelnet40_normal_resampled/
            --features xyz,normal --points 2048 --out records.zarr
        pointstill record --teacher a.onnx --teacher b.pt2 --votes 10 --data scans/ --out r.zarr
        pointstill record --teacher runs/teacher --data scans/ --out r.zarr --engine ray --workers 4

    Parameters
    ----------
    teacher:
        A finished run folder, the name of a built-in model, package.module:callable, a
        TorchScript, .pt2 or .onnx file, a student that comes with the package, or a description
        of one (.yaml). Given more than once, the teachers are an ensemble.
    out:
        Folder of the record store, or its URL, such as s3://bucket/records.zarr.
    part:
        Record a share of the tiles, such as 2/3 on the second of three machines; then merge.
    recipe:
        YAML file of these options; a flag overrides what it says.
    """
    needs_torch()
    from ..recording.job import record as job
    from ..recording.tiles import records_of

    chosen = engine.ready(teacher, data, teacher_options)
    opened = data.open()
    loaded = teacher_options.load(teacher, opened, many=engine.many)
    left_out(opened.train)
    source = teacher_options.source(teacher)
    store = job(loaded, opened, out=out, recipe=options, part=part, engine=chosen, source=source)
    limited = f" --limit {options.limit}" if options.limit else ""
    total, missing = store.views * store.rows, records_of(store.missing())
    if missing:
        print(f"recorded {total - missing:,} of {total:,} records in {out}")
        print("next: record the other parts, then join all with pointstill records merge")
        return
    print(f"recorded {total:,} records in {out}")
    print(
        f"next: pointstill distill --student stillnet-n {data.flags} --records {quote(out)}"
        f"{limited} --out runs/student"
    )


@app.command
def distill(
    *,
    student: str,
    data: Annotated[DataOptions, Flat],
    records: str,
    out: Path,
    past_records: str | None = None,
    recipe: RecipeFile = None,
    options: Annotated[DistillRecipe, Flat] = DISTILL,
) -> None:
    """Train a student from records and clouds; no teacher is loaded.

    **Examples**

        pointstill distill --student stillnet-n --data primitives --records records.zarr --out run
        pointstill distill --student stillnet-n --data primitives --records records.zarr --loss kd
            --temperature 2 --epochs 100 --seed 1 --out runs/kd-1
        pointstill distill --recipe runs/kd-1/recipe.yaml --seed 2 --out runs/kd-2

    Parameters
    ----------
    student:
        Name of a model, such as stillnet-n, stillnet-s or stillnet-m.
    records:
        The record store that `pointstill record` made of the same data: its folder or URL.
    out:
        Run folder to write; an unfinished run of the same recipe is gone on with.
    past_records:
        Records of an earlier student, for --past records.
    recipe:
        YAML file of these options; a flag overrides what it says.
    """
    needs_torch()
    from ..training.jobs import distill as job
    from ..training.stopping import OnSignal

    with torchrun.in_turn():
        opened = data.open()
        left_out(opened.train)
    run = job(
        student,
        opened,
        records=records,
        out=out,
        recipe=options,
        past_records=past_records,
        stop=OnSignal(),
    )
    finished(run.folder, data)


@app.command
def evaluate(
    models: list[str],
    /,
    *,
    data: Annotated[DataOptions, Flat],
    split: str = "test",
    limit: int | None = None,
    records: str | None = None,
    batch_size: int = 16,
    json: Path | None = None,
    report: Path | None = None,
    pictures: Path | None = None,
    classes: bool = False,
    unknown: str | None = None,
    corruptions: Literal["modelnet-c"] | None = None,
    points: str | None = None,
    teacher_options: Annotated[TeacherOptions, Flat] = TEACHER,
) -> None:
    """Measure runs and teachers side by side: accuracy, calibration, cost, tests between them.

    **Examples**

        pointstill evaluate runs/nwsd runs/kd --data primitives
        pointstill evaluate gdanet --weights gdanet.t7 --data modelnet40/ --limit 200
        pointstill evaluate a.onnx b.pt2 --ensemble probabilities --data scans/
        pointstill evaluate student.onnx --data modelnet40/ --unknown strangers
        pointstill evaluate run --data modelnet40/ --corruptions modelnet-c --points 16,64,256,1024
        pointstill evaluate run --data scans/ --records records.zarr --json run.json --pictures out/
        pointstill evaluate runs/nwsd runs/kd --data scans/ --report report.html

    Parameters
    ----------
    models:
        Finished run folders, and teachers as `pointstill record --teacher` takes them, among them
        students that come with the package (`pointstill models`). With --ensemble, their mean is
        measured as well.
    split:
        Which split: test, train, or another that the data have; the test split is for the last
        word. all: every shape of the data, for models that were not trained on it.
    limit:
        Use this many labelled shapes only (stratified).
    records:
        A record store, to measure the agreement with its teacher.
    batch_size:
        Clouds at once.
    json:
        Also write everything to this file, predictions and confusion matrix included.
    report:
        Also write a page of HTML to this file, complete in itself: all figures, calibration,
        what is taken for what, and the mistakes as clouds that turn.
    pictures:
        Also draw each model's confusion matrix, as PNG in this folder.
    classes:
        Also print the accuracy of every class.
    unknown:
        Also ask about clouds of classes that the models do not have: the test split of this data
        set, or strangers, six kinds of built-in things. AUROC, and what they are taken for.
    corruptions:
        Also measure on clouds that went wrong: modelnet-c, seven corruptions at five levels.
    points:
        Also measure on clouds of so few points, such as 16,32,64,128,256,1024.
    """
    needs_torch()
    from ..errors import EmptySplitError
    from ..evaluation.scoring import evaluate as job
    from ..evaluation.scoring import split_names
    from ..evaluation.tables import class_table, pair_lines, score_table
    from ..reporting.tables import print_tables
    from ..storage.files import check_writable

    for file in (json, report):
        if file:
            check_writable(file)
    if pictures:
        from ..evaluation.figures import confusion_picture

        check_writable(pictures, folder=True)
    counts = whole_numbers("points", points) if points else []
    opened = data.open()
    parts = split_names(opened, split)
    if corruptions or counts or unknown:
        from ..evaluation.robustness import check_corruptible, check_counts, check_one_split

        check_one_split(opened, split)
        if corruptions:
            check_corruptible(opened)
        if counts:
            check_counts(counts)
    others = data.beside(unknown).open() if unknown else None
    loaded = teacher_options.load_each(models, opened)
    for part in parts:
        with suppress(EmptySplitError):
            left_out(opened.split(part))
    result = job(
        loaded,
        opened,
        split=split,
        limit=limit,
        records=records,
        batch_size=batch_size,
    )
    print_tables(score_table(result), *([class_table(result)] if classes else []))
    for line in pair_lines(result):
        print(line)
    if corruptions or counts or unknown:
        from .listing import measure_robustness

        among = {"split": split, "limit": limit, "batch_size": batch_size}
        result = measure_robustness(
            result, loaded, opened, others, bool(corruptions), counts, among
        )
    if json:
        result.write_json(json)
        print(f"everything in {json}")
    if report:
        from ..evaluation.report import write_report

        write_report(result, opened, report)
        print(f"report in {report}")
    for score in result.scores if pictures else ():
        assert pictures
        path = pictures / f"{score.name.strip('/').replace('/', '-')}-{split.replace('/', '-')}.png"
        confusion_picture(score, result.classes, path)
        print(f"confusion matrix in {path}")


@app.command
def export(run: Path, /, *, out: Path) -> None:
    """Write a finished student as one self-contained ONNX file, compared with torch on the spot.

    **Examples**

        pointstill export runs/nwsd --out student.onnx

    Parameters
    ----------
    run:
        A finished run folder.
    out:
        The .onnx file to write.
    """
    needs_torch()
    from ..deployment.exporting import export as job
    from ..progress import size
    from ..run import Run

    path = job(run, out)
    if not Run(run).sealed:
        print(f"note: {run} is of a version that kept no digests, so damage may go unseen")
    print(f"wrote {path} ({size(path.stat().st_size)}); it agrees with torch")
    print(f"next: pointstill predict {quote(str(path))} SCAN.ply")


@app.command
def predict(
    model: Path,
    files: Names,
    /,
    *,
    top: int = 3,
    up: Up = None,
    drop_missing: bool = False,
    columns: str | None = None,
    format: Literal["table", "json", "jsonl", "csv"] | None = None,
    out: Path | None = None,
    workers: int | None = None,
    format_in: str | None = None,
) -> None:
    """Classify clouds from files; with an .onnx student, PyTorch is not needed.

    A file that cannot be classified has a row that says why, and the others go on; the exit code is
    1 then. What the student does not know is `unknown`, with the classes that it would have been.

    **Examples**

        pointstill predict student.onnx scan.ply other.las
        pointstill predict runs/nwsd scan.xyz --top 5
        pointstill predict student.onnx from_a_game_engine.obj --up y
        pointstill predict primitives-n scans/ 'more/**/*.ply' --out rows.csv --workers 8
        find scans -name '*.las' -print0 | pointstill predict student.onnx - --format jsonl
        sensor --once | pointstill predict student.onnx - --format-in ply

    Parameters
    ----------
    model:
        An exported .onnx file, a finished run folder, or a student that comes with the package
        (`pointstill models` lists them).
    files:
        Clouds or meshes: ply, pcd, las, laz, xyz, txt, csv, pts, npy, npz, bin, off, obj, stl, glb.
        Of folders, all in them and below; patterns, such as 'scans/**/*.ply'; - for a list of files
        on standard input, one a line or ended by NUL.
    top:
        How many classes to name.
    up:
        The axis that points up in the files, if it is not that of the training data.
    drop_missing:
        Leave out points with a NaN or infinite coordinate, instead of refusing their cloud.
    columns:
        What the files call columns, as x=origin_x,doppler=v_r; as in training if nothing is said.
    format:
        How rows are written: table, for people; json; jsonl, a row as soon as it is known; csv. By
        the suffix of --out if nothing is said, else a table.
    out:
        File to write, whole or not at all, instead of standard output.
    workers:
        Processes; if nothing is said, one a core for 300 clouds and more, else one.
    format_in:
        On standard input is no list but one cloud, in this format, such as ply.
    """
    from ..data.columns import parse_columns
    from ..deployment.predicting.job import predict_files
    from .listing import open_classifier

    check_names(files)
    called = None if columns is None else parse_columns(columns)
    predict_files(
        open_classifier(model, drop_missing, up),
        files,
        top=top,
        columns=called,
        form=format,
        out=out,
        workers=workers,
        form_in=format_in,
    )


@app.command
def demo(*, out: Path = Path("demo"), quick: bool = False) -> None:
    """See the whole still at work on generated shapes: teacher, records, students, report.

    **Examples**

        pointstill demo
        pointstill demo --quick --out /tmp/demo

    Parameters
    ----------
    out:
        Folder for everything that is made; run again, it goes on there.
    quick:
        A small version, for a first look: under a minute, figures mean nothing.
    """
    needs_torch()
    from ..demo import run_demo

    run_demo(out, quick)
