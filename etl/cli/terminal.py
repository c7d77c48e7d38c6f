"""Writes results to standard output: tables and colours on a terminal, plain lines in a pipe, JSON for programs.

Here and in `messages` is the only way to a terminal. Names, values and messages of libraries stay text on it: control
characters are shown as escapes, and markup is not interpreted (`tests/test_printing.py`).
"""

from __future__ import annotations

import os
import re
import sys
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from etl.errors import HIDDEN, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl
    from rich.console import Console
    from rich.text import Text

_LONGEST: Final = 600
_DIGEST: Final = re.compile("[0-9a-f]{64}")


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def write_json(value: Any) -> None:
    """Writes a value as indented JSON."""
    write_document(json_text(value, is_indented=True))


def write_document(json: str) -> None:
    """Writes JSON with the characters escaped that a terminal would obey or hide, which means the same."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{_escaped(json)}\n".encode())
    sys.stdout.flush()


def json_text(value: Any, *, is_indented: bool = False) -> str:
    """Formats a value as JSON: amounts as plain text, times in ISO 8601, control characters of terminals escaped."""
    import orjson

    option = orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if is_indented else 0)
    return _escaped(orjson.dumps(value, default=_plain, option=option).decode())


def _escaped(json: str) -> str:
    return re.sub(f"(?!\n){HIDDEN.pattern}", lambda match: f"\\u{ord(match[0]):04x}", json)


def _plain(value: object) -> str:
    return plain_amount(value) if isinstance(value, Decimal) else str(value)


def plain_amount(value: Decimal) -> str:
    """Formats an amount in plain notation, without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_line(line: str = "") -> None:
    """Writes one line of results."""
    sys.stdout.write(f"{visible(line)}\n")
    sys.stdout.flush()


@cache
def _console_class() -> type[Console]:
    from rich.console import Console

    class VisibleConsole(Console):
        """A console that shows what stands in a text instead of obeying it, and interprets no markup."""

        def __init__(self, **options: Any) -> None:
            super().__init__(highlight=False, markup=False, emoji=False, **options)

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

    return VisibleConsole


def console(*, is_error: bool = False) -> Console:
    """Makes a console on standard output or standard error."""
    return _console_class()(stderr=is_error)


def shown(text: str, style: str = "") -> Text:
    """Styles a whole text: control characters are escaped."""
    from rich.text import Text

    return Text(visible(text), style=style)


def styled(text: str | None, style: str = "") -> Text:
    """Styles the text of a cell: control characters are escaped, digests and very long texts are cut."""
    seen = _DIGEST.sub(lambda match: f"{match[0][:12]}…", visible(text or ""))
    return shown(seen if len(seen) <= _LONGEST else f"{seen[:_LONGEST]}… ({len(seen):,} characters)", style)


def print_grid(screen: Console, title: str, rows: Iterable[tuple[Text, ...]], widths: tuple[int, ...]) -> None:
    """Prints a heading, and under it rows of cells that fold within their columns.

    Args:
        screen: The console to print to.
        title: The heading.
        rows: Rows with one cell per width.
        widths: Maximal width of each column, on a screen of 80 columns; the last column takes the rest.
    """
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for width in widths[:-1]:
        grid.add_column(max_width=min(width, width * screen.width // 80), overflow="fold")
    grid.add_column(ratio=1, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    screen.print(styled(title.strip(), "bold"))
    if grid.row_count:
        from rich.padding import Padding

        screen.print(Padding(grid, (0, 0, 1, 2)))


def print_facts(title: str, facts: Iterable[tuple[str, str]], styles: Mapping[str, str], width: int) -> None:
    """Prints a heading, and under it names with texts: a grid on a terminal, one line each in a pipe.

    Args:
        title: The heading.
        facts: Pairs of name and text.
        styles: Styles of names that differ from the default.
        width: Maximal width of names on a terminal; in a pipe, names are padded to it.
    """
    if is_terminal():
        rows = [(styled(name, styles.get(name, "cyan")), styled(text, styles.get(name, ""))) for name, text in facts]
        print_grid(console(), title, rows, (width, 0))
        return
    write_line(title)
    for name, text in facts:
        write_line(f"  {visible(name):<{width}}  {text}")


#: Width where nothing limits it: more than any row needs.
_UNLIMITED: Final = 100_000

#: Width at which a column of long text is placed; it may get more.
_PREFERRED_WIDTH: Final = 22
_COLUMN_GAP: Final = 2


def table_console() -> Console:
    """Makes a console on standard output: as wide as the terminal, or as `COLUMNS` says; in a pipe without limit."""
    is_limited = is_terminal() or os.environ.get("COLUMNS", "").isdigit()
    return _console_class()(width=None if is_limited else _UNLIMITED)


def print_frame(out: Console, title: str, rows: pl.DataFrame, most: int, *, is_latest: bool = False) -> None:
    """Prints a frame as a table: some rows, the columns that have values and fit, and notes on what was left out.

    Args:
        out: The console to print to.
        title: The title of the table.
        rows: The frame.
        most: How many rows are shown; 0: all.
        is_latest: Show the last rows instead of the first rows.
    """
    from rich import box
    from rich.table import Table

    from etl.reports.audit.formatting import cell, heading, is_number

    out.print()
    out.print(shown(title, "bold"))
    if not rows.height:
        out.print("  none")
        return
    few = rows if not most or rows.height <= most else rows.tail(most) if is_latest else rows.head(most)
    widths, left_out = _fit_columns(few, out.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, width in widths.items():
        justify: Literal["left", "right"] = "right" if is_number(rows.schema[name]) else "left"
        table.add_column(heading(name), justify=justify, overflow="fold", width=width)
    for row in few.select(list(widths)).iter_rows():
        table.add_row(*(cell(name, value, 2) for name, value in zip(widths, row, strict=True)))
    out.print(table)
    if rest := rows.height - few.height:
        out.print(shown(f"  and {rest:,} {'earlier' if is_latest else 'more'} rows", "dim"))
    if left_out:
        out.print(shown(f"  and the columns {', '.join(map(heading, left_out))}", "dim"))


def _fit_columns(rows: pl.DataFrame, room: int) -> tuple[dict[str, int], list[str]]:
    """Chooses the columns to show.

    Returns:
        The columns that have values and fit, with their widths; and the columns that do not fit.
    """
    from etl.reports.audit.formatting import cell, heading

    widths: dict[str, int] = {}
    full_widths: dict[str, int] = {}
    left_out: list[str] = []
    for place, name in enumerate(rows.columns):
        values = rows[name].to_list()
        if place and not any(values):
            continue
        longest = max(len(cell(name, value, 2)) for value in values)
        width = max(min(longest, _PREFERRED_WIDTH), *(len(word) for word in heading(name).split(" ")))
        if width <= room or place < 2:
            widths[name], full_widths[name] = width, max(longest, len(heading(name)))
            room -= width + _COLUMN_GAP
        else:
            left_out.append(name)
    room += _COLUMN_GAP
    for name, full_width in full_widths.items():
        more = max(0, min(full_width - widths[name], room))
        widths[name] += more
        room -= more
    return widths, left_out
