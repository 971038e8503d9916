"""Looks at what is there: data sets, models, students, record stores."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Column

from ..data import Dataset, Split
from ..data.source import UNLABELLED
from ..errors import EmptySplitError
from ..points.features import XYZ, format_features
from ..points.features import columns as places
from ..progress import size
from ..reporting.tables import draw_table, print_tables
from .shared_options import needs_torch

if TYPE_CHECKING:
    from ..deployment.runtime import CloudClassifier
    from ..evaluation.scoring import Evaluation
    from ..records import Store
    from ..teachers import Teacher


def describe_dataset(data: Dataset) -> None:
    """Print the counts of a data set."""
    splits, missing = [], []
    for name in data.listed.splits:
        try:
            splits.append(data.split(name))
        except EmptySplitError:
            missing.append(name)
    sizes = np.concatenate([split.sizes for split in splits])
    print(f"{data.name}: {data.kind}, {data.up} is up")
    counted = [f"{len(split):,} {split.name}" for split in splits]
    print(f"shapes   {len(sizes):,} ({', '.join(counted + [f'no {name}' for name in missing])})")
    print(f"classes  {len(data.classes)}")
    print(f"points   {sizes.min():,} least, {int(np.median(sizes)):,} median, {sizes.max():,} most")
    for split in splits:
        print(f"{split.name:<8} fingerprint {split.fingerprint[:16]}")
    print(f"features {format_features(data.offers(splits[0].name))}")
    _describe_groups(data, splits)
    for split in splits:
        _describe_features(split)
    kinds = dict(enumerate(data.classes))
    if any((split.labels == UNLABELLED).any() for split in splits):
        kinds[UNLABELLED] = "(no label)"
    rows = [
        [name, *(f"{np.count_nonzero(split.labels == label):,}" for split in splits)]
        for label, name in kinds.items()
    ]
    print_tables(draw_table(["class", *(split.name for split in splits)], rows))
    for split in splits:
        if data.drop_missing:
            points, clouds = sum(split.missing), len(split.missing)
            gone = f"{points:,} points of {clouds:,} clouds, NaN or infinite"
            print(f"left out ({split.name}): {gone}")
        for line in split.bad:
            print(f"left out ({split.name}): {line}")
    _describe_passed_over(data)
    for split in splits:
        if split.name != "train" and (leak := data.leak(split.name)):
            print(f"warning: {leak}")


def _describe_groups(data: Dataset, splits: list[Split]) -> None:
    """Print how many groups each split has, or what could tell some."""
    counted = [f"{len({*split.groups}):,} {split.name}" for split in splits if split.groups]
    if counted:
        kept = f"by {data.group}, kept whole" if data.group else "for intervals alone"
        print(f"groups   {', '.join(counted)} ({kept})")
    if data.group is None and data.listed.groups:
        print(f"--group  {', '.join(data.listed.groups)}")


def _describe_passed_over(data: Dataset) -> None:
    """Print what lies in the folder and is no cloud of it: how many of each reason, and one."""
    over = data.listed.passed_over
    if not over:
        return
    first = {each.reason: each.path for each in reversed(over)}
    counts = Counter(each.reason for each in over).most_common()
    rows = [(reason, f"{count:,}", first[reason]) for reason, count in counts]
    example = Column("such as", overflow="fold")
    print_tables(draw_table(["reason", "count", example], rows, title="passed over"))


def _describe_features(split: Split) -> None:
    """Print the range of each feature beside xyz."""
    extra = split.extra
    for name, place in places(extra.names).items() if extra else ():
        if extra and name != "xyz":
            values = extra.values[:, place.start - 3 : place.stop - 3]
            print(f"{split.name:<8} {name} {values.min():.3g} to {values.max():.3g}")


def describe_models() -> None:
    """Print all built-in models: size, cost, and the figure that their authors published."""
    import torch

    from ..evaluation.profiling import operations
    from ..models import MODELS, build_model
    from ..models.published import PUBLISHED

    rows = []
    for name in MODELS:
        model = build_model(name, 40).eval()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        flops = operations(model, 1024, torch.device("cpu")) / 1e9
        known = PUBLISHED.get(name)
        accuracy = f"{known.accuracy:.1f}" if known else ""
        source = f"{known.source}, {known.arxiv}" if known else "ours: see docs/students.md"
        rows.append((name, f"{parameters / 1e6:.2f} M", f"{flops:.3f}", accuracy, source))
    table = draw_table(
        ["model", "params", "GFLOPs", "OA %", Column("source, paper on arXiv", no_wrap=True)],
        rows,
        title="models, at 40 classes and 1,024 points",
        caption="OA: on ModelNet40 without voting, as published, mostly of the epoch that was best "
        "on the test split. GFLOPs: of matrix products, 2 per multiply-add, as arranged here.",
    )
    print_tables(table)


def describe_students() -> None:
    """Print the students that come with the package."""
    from ..deployment.runtime import Classifier
    from ..storage.packaged_students import packaged_students

    rows = []
    for student in packaged_students():
        about = Classifier(student.path).about
        bytes_of = size(student.path.stat().st_size)
        rows.append(
            (student.name, f"{len(about['classes'])}", f"{about['points']:,}", bytes_of,
             student.summary)
        )  # fmt: skip
    what = Column("what", overflow="fold")
    columns: list[str | Column] = ["student", "classes", "points", "file", what]
    print_tables(draw_table(columns, rows, title="students in the package, for `predict`"))


def describe_store(path: str) -> None:
    """Print what a record store holds.

    Raises:
        RecordsError: chunks of recorded tiles are missing or cut; after all that can be said.
    """
    from ..records import Store

    store = Store.open(path)
    about, faults = store.attributes, store.faulty_chunks()
    done = store.committed()
    records = sum(tile.stop - tile.start for tile in store.tiles() if done[tile.view, tile.number])
    total = store.views * store.rows
    on_disk = store.bytes_on_disk()
    state = "complete" if done.all() else f"{done.sum()} of {done.size} tiles; record goes on"
    state = f"damaged, {len(faults)} faulty chunk{'s'[: len(faults) > 1]}" if faults else state
    print(f"{path}: {records:,} of {total:,} records ({state})")
    print(f"shapes   {store.rows:,} of {about['data']['shapes']:,} ({about['data']['split']})")
    print(f"views    {store.views}, {about['points']:,} points each")
    print(f"teacher  {about['teacher_spec']} ({about['teacher']['fingerprint'][:16]})")
    operations = ", ".join(f"{op['name']}@{op['version']}" for op in about["augment"]["operations"])
    keyed = ", keyed" if store.keyed else ""
    print(f"augment  {operations or 'none'}; seed {about['augment']['seed']}{keyed}")
    if store.features != XYZ:
        print(f"features {format_features(store.features)}")
    print(f"classes  {len(about['classes'])}")
    print(f"data     {about['data']['fingerprint'][:16]}")
    print(f"records  {store.fingerprint[:16]}")
    codec = about["codec"]
    print(
        f"codec    {codec['name']}: KL {codec['kl_t1']:.1e} at T=1, {codec['kl_t4']:.1e} at T=4, "
        f"{codec['argmax_flips']:.2%} of classes flipped, on {codec['records']} records"
    )
    per_record = on_disk / max(records, 1)
    print(f"on disk  {size(on_disk)}, {per_record:.1f} bytes a record")
    if store.caveat:
        print(f"format   it {store.caveat}")
    _describe_recorders(store)
    store.check_chunks()
    _describe_accuracy(store)


def _describe_recorders(store: "Store") -> None:
    """Print who recorded how much, how fast, and the tile that the codec suits least."""
    notes, bad = store.read_notes()
    for host in sorted({note.get("host", "?") for note in notes}):
        mine = [note for note in notes if note.get("host", "?") == host]
        count, seconds = (sum(note[name] for note in mine) for name in ("records", "seconds"))
        print(
            f"host     {host}: {count:,} records in {len(mine)} tiles, "
            f"{count / max(seconds, 1e-9):,.1f} records/s"
        )
    lacking = store.unnoted()
    if bad or lacking:
        print(f"notes    {bad} lines do not hold, {lacking} tiles have none")
    losses = [note for note in notes if "kl_t1" in note]
    if losses:
        worst = max(losses, key=lambda note: float(note["kl_t1"]))
        print(
            f"worst    KL {worst['kl_t1']:.1e} at T=1 by the codec, in view {worst['view']}, "
            f"tile {worst['tile']}"
        )


def _describe_accuracy(store: "Store") -> None:
    """Print how often the teacher is right on its views, and where it is not."""
    from ..records.teacher_accuracy import accuracy

    found = accuracy(store)
    if found is None:
        return
    print(
        f"accuracy {found.views.mean():.2%} of the teacher over {len(found.views)} views "
        f"({found.views.min():.2%} to {found.views.max():.2%}), on {_labelled(store)} of the "
        f"{store.attributes['data']['split']} split"
    )
    always, never = np.mean(found.shapes == 1), np.mean(found.shapes == 0)
    print(f"shapes   {always:.1%} told right in every view, {never:.1%} in none")
    names = store.attributes["classes"]
    order = [index for index in np.argsort(found.classes) if np.isfinite(found.classes[index])]
    print("hardest  " + ", ".join(f"{names[i]} {found.classes[i]:.1%}" for i in order[:3]))


def _labelled(store: "Store") -> str:
    """The shapes of a store on which its teacher can be right, in words."""
    known = np.count_nonzero(store.labels >= 0)
    if known == store.rows:
        return "shapes"
    return f"the {known:,} labelled ones of {store.rows:,} shapes"


def measure_robustness(
    result: "Evaluation",
    models: "list[Teacher]",
    data: Dataset,
    unknown: Dataset | None,
    corruptions: bool,
    points: list[int],
    among: dict[str, Any],
) -> "Evaluation":
    """Measure models on clouds that went wrong, of few points, and unknown; print the tables.

    Args:
        result: of the clouds as they are, to which it is added.
        models: loaded.
        data: of the known classes.
        unknown: clouds of other classes, if they are asked about.
        corruptions: whether ModelNet-C is asked about.
        points: numbers of points, if they are.
        among: `split`, `limit` and `batch_size`.
    """
    from ..evaluation.robustness import measure_corruptions, measure_points
    from ..evaluation.tables import corruption_table, point_table, taken_for_table, unknown_table
    from ..evaluation.unknown import measure_unknown

    if corruptions:
        result = replace(result, corruptions=measure_corruptions(models, data, **among))
        print_tables(corruption_table(result.corruptions))
    if points:
        result = replace(result, points=measure_points(models, data, points, **among))
        print_tables(point_table(result.points))
    if unknown:
        scores = measure_unknown(models, data, unknown, **among)
        result = replace(result, unknown=scores)
        print_tables(unknown_table(scores, unknown.name), *map(taken_for_table, scores))
    return result


def open_classifier(model: Path, drop_missing: bool, up: str | None) -> "CloudClassifier":
    """What classifies, of a file, a run folder or the name of a packaged student.

    Torch is for a run folder only.
    """
    if model.is_dir():
        needs_torch()
        from ..deployment.exporting import RunClassifier

        return RunClassifier(model, drop_missing, up)
    from ..deployment.runtime import Classifier

    return Classifier(model, drop_missing=drop_missing, up=up)
