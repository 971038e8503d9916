"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

SHORTEST = 16
"""Characters of a path that are always shown."""


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
            narrow, but paths lose their middle; the others are numbers, at the right and whole. A
            `Column` says otherwise.
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
            table.add_row(LongPath(row[0]) if "/" in row[0] else row[0], *row[1:])
    for column in table.columns[1:]:
        if column.no_wrap and column.justify == "right":
            column.min_width = max(cell_len(str(each)) for each in (column.header, *column.cells))
    return table


class LongPath:
    """A path that loses its middle where a table has no room for it."""

    def __init__(self, path: str):
        self.path = path

    def __str__(self) -> str:
        return self.path

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = cell_len(self.path)
        return Measurement(min(length, SHORTEST), length)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        most, shown = options.max_width, self.path
        if cell_len(shown) > most:
            tail = set_cell_size(shown[::-1], most // 2)[::-1]
            shown = f"{set_cell_size(shown, most - most // 2 - 1)}…{tail}"
        yield shown


def number_column(heading: str) -> Column:
    """A column of numbers."""
    return Column(heading, justify="right", no_wrap=True)


def print_tables(*tables: Table) -> None:
    """Print tables on standard output; a name may have brackets, which mean nothing there.

    A table is as wide as its numbers are, also where the terminal is not.
    """
    for table in tables:
        console = Console(markup=False)
        room = console.options.update_width(1000)
        console.width = max(console.width, Measurement.get(console, room, table).minimum)
        console.print(table)
