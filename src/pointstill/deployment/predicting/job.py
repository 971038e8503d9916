"""Classify the files that a user names, and write what is said of each."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console

from ...data.columns import Columns
from ...errors import DataError, NoDataError, UsageError, printable
from ...progress import Track
from ...reporting.tables import print_tables
from ...storage.files import check_writable, whole
from ..runtime import CloudClassifier, cores, whole_number
from .answers import Answer, FileClassifier
from .formats import FORMATS, as_tables
from .named_clouds import NamedClouds
from .processes import spread

MANY = 300
"""Clouds from which processes are worth their start, if nothing is said; and progress its line."""
MOST_WORKERS = 256
TABLE = "table"


def predict_files(
    classifier: CloudClassifier,
    names: Sequence[str],
    *,
    top: int = 3,
    columns: Columns | None = None,
    form: str | None = None,
    out: Path | None = None,
    workers: int | None = None,
    form_in: str | None = None,
) -> None:
    """Classify clouds in files, and write a row for each: in the order in which they are named.

    A file that cannot be classified has a row that says why, and the others go on.

    Args:
        classifier: a student.
        names: see `NamedClouds`.
        top: how many classes a row names.
        columns: what the files call some columns; None: as in training.
        form: `table`, or one of `FORMATS`; None: what the suffix of `out` says, or a table.
        out: the file to write, whole or not at all; None: standard output.
        workers: processes; None: one a core where there are many clouds.
        form_in: the format of a cloud on standard input.

    Raises:
        DataError: some clouds were not classified; a NoDataError if no cloud is there at all.
        PointstillError: the file cannot be written, or a process cannot start.
        UsageError: see `NamedClouds`; a number or format that is none.
    """
    top = min(whole_number("top", top, 1), len(classifier.classes))
    if workers is not None:
        workers = whole_number("workers", workers, 1, MOST_WORKERS)
    form = form or _form_of(out)
    if form not in (TABLE, *FORMATS):
        raise UsageError(f"format is {form!r}", fix=f"choose {', '.join((TABLE, *FORMATS))}")
    if out:
        check_writable(out)
    ask = FileClassifier(classifier, top, classifier.columns if columns is None else columns)
    with NamedClouds(names, form_in) as named, _written(out) as write:
        clouds = named.clouds
        for remark in named.remarks:
            print(f"warning: {remark}", file=sys.stderr)
        tally = _Tally(len(clouds), warns=form == TABLE)
        many = workers or (cores() if len(clouds) >= MANY else 1)
        quiet = len(clouds) < MANY or (out is None and form != TABLE and sys.stdout.isatty())
        with Track("classifying", len(clouds), "clouds", quiet=quiet) as track:
            answers = tally.counted(spread(ask, clouds, many), track)
            if form == TABLE:
                kept = list(answers)
            else:
                for text in FORMATS[form](answers, top):
                    write(text)
        if form == TABLE and out:
            write(_drawn(kept))
        elif form == TABLE and not (len(kept) == 1 and tally.bad):
            print_tables(*as_tables(kept))
    if out:
        print(f"wrote {len(clouds):,} rows to {out}")
    tally.check()


def _form_of(out: Path | None) -> str:
    suffix = out.suffix.lower()[1:] if out else ""
    return suffix if suffix in FORMATS else TABLE


class _Tally:
    """Counts answers as they pass, and says what is to be said of them.

    Args:
        total: how many there will be.
        warns: whether warnings go to standard error, as no row has them.
    """

    def __init__(self, total: int, warns: bool):
        self.total, self.warns = total, warns
        self.bad = self.missing = 0
        self.last: Answer | None = None
        """The last one with an error."""

    def counted(self, answers: Iterable[Answer], track: Track) -> Iterator[Answer]:
        """The answers, counted."""
        for each in answers:
            if each.error:
                self.bad, self.last = self.bad + 1, each
                self.missing += each.missing
            for doubt in each.warnings if self.warns else ():
                print(f"warning: {each.path}: {doubt}", file=sys.stderr, flush=True)
            track.advance(1)
            yield each

    def check(self) -> None:
        """Refuse to end well where some were not classified.

        Raises:
            DataError: some were not; a NoDataError if there is none at all.
        """
        if not self.last:
            return
        kind = NoDataError if self.missing == self.total else DataError
        if self.total == 1:
            raise kind(str(self.last.error), where=self.last.path)
        raise kind(
            f"{self.bad:,} of {self.total:,} clouds were not classified",
            fix="the reasons are in their rows",
        )


@contextmanager
def _written(out: Path | None) -> Iterator[Callable[[str], None]]:
    """A function that writes text: to a file that is there when all is, or to standard output."""
    if out:
        with whole(out) as draft, draft.open("wb") as file:

            def to_file(text: str) -> None:
                file.write(_bytes(text))

            yield to_file
    elif sys.stdout.isatty():
        yield lambda text: print(printable(text), end="", flush=True)
    else:
        yield _to_a_program


def _to_a_program(text: str) -> None:
    """Standard output to the byte, also names that are not Unicode, or steer a terminal."""
    sys.stdout.buffer.write(_bytes(text))
    sys.stdout.buffer.flush()


def _bytes(text: str) -> bytes:
    """Text in UTF-8, in which the bytes of names are what they are on the disk."""
    return text.encode("utf-8", "surrogateescape")


def _drawn(answers: Sequence[Answer]) -> str:
    """Tables for a file, as wide as they are."""
    text = StringIO()
    console = Console(markup=False, file=text, width=10_000)
    for table in as_tables(answers):
        console.print(table)
    lines = text.getvalue().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)
