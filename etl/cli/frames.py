"""Frames as tables on a terminal, and as JSON. Values are text: whatever they hold, they style and move nothing."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

_WIDEST: Final = 100
_NARROWEST: Final = 80

#: What a column of long text may ask for; it folds in less.
_WISHED: Final = 22
_BETWEEN: Final = 2


def console() -> Console:
    """Standard output: as wide as the terminal up to a hundred columns, eighty elsewhere; colours on terminals only."""
    from rich.console import Console

    width = min(Console().width, _WIDEST) if sys.stdout.isatty() else _NARROWEST
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_frame(out: Console, title: str, rows: pl.DataFrame, most: int, *, is_latest: bool = False) -> None:
    """A frame as a table: its first rows (or its last), the columns that say something, and what was left out.

    Args:
        out: Where to.
        title: Above the table.
        rows: The frame.
        most: How many rows are shown; 0: all.
        is_latest: The last rows are shown.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from etl.audit.cells import cell, heading, is_number

    out.print(Text(f"\n{title}", style="bold"))
    if not rows.height:
        out.print(Text("  none"))
        return
    shown = rows if not most or rows.height <= most else rows.tail(most) if is_latest else rows.head(most)
    widths, left_out = _fitting(shown, out.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, width in widths.items():
        justify: Literal["left", "right"] = "right" if is_number(rows.schema[name]) else "left"
        table.add_column(Text(heading(name)), justify=justify, overflow="fold", width=width)
    for row in shown.select(list(widths)).iter_rows():
        table.add_row(*(Text(cell(name, value, 2)) for name, value in zip(widths, row, strict=True)))
    out.print(table)
    if rest := rows.height - shown.height:
        out.print(Text(f"  and {rest:,} {'earlier' if is_latest else 'more'} rows", style="dim"))
    if left_out:
        out.print(Text(f"  and the columns {', '.join(map(heading, left_out))}", style="dim"))


def print_json(outcome: dict[str, Any]) -> None:
    """Plain data as JSON on standard output: amounts as text, times as ISO 8601."""
    import orjson

    def plain(value: object) -> str:
        if isinstance(value, Decimal):
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        return str(value)

    option = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
    sys.stdout.buffer.write(orjson.dumps(outcome, default=plain, option=option) + b"\n")
    sys.stdout.flush()


def _fitting(rows: pl.DataFrame, room: int) -> tuple[dict[str, int], list[str]]:
    """The columns that say something and fit beside each other with their widths, and those that do not fit."""
    from etl.audit.cells import cell, heading

    widths: dict[str, int] = {}
    wishes: dict[str, int] = {}
    left_out: list[str] = []
    for place, name in enumerate(rows.columns):
        values = rows[name].to_list()
        if place and not any(values):
            continue
        longest = max(len(cell(name, value, 2)) for value in values)
        width = max(min(longest, _WISHED), *(len(word) for word in heading(name).split(" ")))
        if width <= room or place < 2:
            widths[name], wishes[name] = width, max(longest, len(heading(name)))
            room -= width + _BETWEEN
        else:
            left_out.append(name)
    room += _BETWEEN
    for name, wish in wishes.items():
        more = max(0, min(wish - widths[name], room))
        widths[name] += more
        room -= more
    return widths, left_out
