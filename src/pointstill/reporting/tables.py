"""Tables on the terminal, and their cells for a page."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from ..errors import printable


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
    first, *others = (each if isinstance(each, Column) else printable(each) for each in columns)
    table = Table(
        first if isinstance(first, Column) else Column(first, overflow="fold"),
        *(each if isinstance(each, Column) else number_column(each) for each in others),
        title=title and printable(title),
        caption=caption and printable(caption),
        caption_justify="left",
    )
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*map(printable, row))
    return table


def cells_of(table: Table) -> dict[str, Any]:
    """A table of `draw_table` for a page: `columns`, `rows` and `caption`; see `macros.html`."""
    columns = [
        {"heading": str(column.header), "number": column.justify == "right"}
        for column in table.columns
    ]
    cells = zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)
    rows = [
        {"cells": row, "last": about.end_section}
        for row, about in zip(cells, table.rows, strict=True)
    ]
    return {"columns": columns, "rows": rows, "caption": str(table.caption or "")}


def number_column(heading: str) -> Column:
    """A column of numbers."""
    return Column(heading, justify="right", no_wrap=True)


def print_tables(*tables: Table) -> None:
    """Print tables on standard output; a name may have brackets, which mean nothing there.

    Where the terminal is too narrow for a table, its rows are printed one below the other, so that
    no cell is cut and no path is folded.
    """
    console = Console(markup=False)
    for table in tables:
        options = console.options.update(max_width=10_000)
        if Measurement.get(console, options, table).maximum <= console.width:
            console.print(table)
        else:
            print("\n".join(one_below_the_other(table, console.width)))


def one_below_the_other(table: Table, width: int) -> list[str]:
    """The lines of a table as blocks: the first cell of a row, then `heading value` of the others.

    Args:
        table: from `draw_table`.
        width: of a line, unless a cell is longer.
    """
    lines = wrap(str(table.title), width) if table.title else []
    first, *others = ([str(cell) for cell in column.cells] for column in table.columns)
    headings = [str(column.header) for column in table.columns[1:]]
    for name, *cells in zip(first, *others, strict=True):
        lines.append(name)
        pairs = [f"{heading} {cell}" for heading, cell in zip(headings, cells, strict=True) if cell]
        # Blanks within a pair are kept from being broken.
        text = "  ".join(pair.replace(" ", "\xa0") for pair in pairs)
        lines += [
            f"  {line}".replace("\xa0", " ")
            for line in wrap(text, width - 2, break_long_words=False, break_on_hyphens=False)
        ]
    return lines + (wrap(str(table.caption), width) if table.caption else [])
