"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Column, Table


def draw_table(
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[str] | None],
    *,
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """A table of results.

    Args:
        columns: headings. The first column is text, at the left and folded where the terminal is
            narrow; the others are numbers, at the right and whole. A `Column` says otherwise.
        rows: the cells of each; None draws a line.
        title: above.
        caption: below, at the left.
    """
    first, *others = columns
    table = Table(
        first if isinstance(first, Column) else Column(first, overflow="fold"),
        *(each if isinstance(each, Column) else number_column(each) for each in others),
        title=title,
        caption=caption,
        caption_justify="left",
    )
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*map(printable, row))
    return table


def printable(text: str) -> str:
    """A text whose control characters, which a terminal would obey, are written out.

    >>> printable("a\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def number_column(heading: str) -> Column:
    """A column of numbers."""
    return Column(heading, justify="right", no_wrap=True)


def print_tables(*tables: Table) -> None:
    """Print tables on standard output; a name may have brackets, which mean nothing there."""
    console = Console(markup=False)
    for table in tables:
        console.print(table)
