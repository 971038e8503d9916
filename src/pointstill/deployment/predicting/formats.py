"""Answers as text: a table for people; JSON, JSON lines and CSV for programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from typing import Any

from rich.table import Column, Table

from ...reporting.tables import draw_table
from ..runtime import UNKNOWN
from .answers import Answer

DIGITS = 6
"""Behind the point, of probabilities and scores."""


def as_tables(answers: Iterable[Answer]) -> list[Table]:
    """A table of all answers, and one of the reasons where some files were not classified."""
    rows, reasons = [], []
    for each in answers:
        shares = [f"{name} {share:.1%}" for name, share in each.classes]
        if each.error:
            rows.append((each.path, "not classified", "", ""))
            reasons.append((each.path, each.error))
        elif each.known is False:
            rows.append((each.path, UNKNOWN, "", ", ".join(shares)))
        else:
            (name, share), *_ = each.classes
            rows.append((each.path, name, f"{share:.1%}", ", ".join(shares[1:])))
    tables = [draw_table(["file", Column("class"), "probability", Column("else")], rows)]
    if reasons:
        tables.append(draw_table(["file", Column("reason")], reasons, title="not classified"))
    return tables


def as_json(answers: Iterable[Answer], top: int) -> Iterator[str]:
    """One list of objects, when all are there."""
    yield json.dumps([_entries(each) for each in answers], indent=1) + "\n"


def as_json_lines(answers: Iterable[Answer], top: int) -> Iterator[str]:
    """An object a line, as answers come."""
    for each in answers:
        yield json.dumps(_entries(each)) + "\n"


def as_csv(answers: Iterable[Answer], top: int) -> Iterator[str]:
    """A line of names, and a line an answer, as they come; `top` classes each."""
    numbers = ["", *(f"_{place}" for place in range(2, top + 1))]
    classes = [f"{name}{number}" for number in numbers for name in ("class", "probability")]
    yield _csv_line(["path", *classes, "score", "known", "error", "warnings"])
    for each in answers:
        said = _entries(each)
        cells = [cell for one in said["classes"] for cell in one.values()]
        cells += [None] * (2 * top - len(cells))
        known = None if each.known is None else str(each.known).lower()
        said_of_it = [said["score"], known, each.error, "; ".join(each.warnings)]
        yield _csv_line([each.path, *cells, *said_of_it])


FORMATS: dict[str, Callable[[Iterable[Answer], int], Iterator[str]]] = {
    "json": as_json,
    "jsonl": as_json_lines,
    "csv": as_csv,
}
"""Those for programs: answers, and how many classes each names -> pieces of text."""


def _entries(answer: Answer) -> dict[str, Any]:
    """An answer as plain data; what it does not have is None."""
    classes = [(name, round(share, DIGITS)) for name, share in answer.classes]
    best = classes[0] if classes else (None, None)
    return {
        "path": answer.path,
        "class": best[0],
        "probability": best[1],
        "classes": [{"name": name, "probability": share} for name, share in classes],
        "score": None if answer.score is None else round(answer.score, DIGITS),
        "known": answer.known,
        "error": answer.error,
        "warnings": list(answer.warnings),
    }


def _csv_line(cells: Iterable[Any]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
