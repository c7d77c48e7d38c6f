"""What a cell says, in words; the same on a terminal and on a page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from etl.errors import visible
from etl.reports.audit.question import amount_text, money_text
from etl.reports.audit.tables import AMOUNTS

#: Columns of plain numbers; other columns of floating point are shares.
_PLAIN: Final = ("expected", "median_gap_seconds")

#: What null means in the columns that name a row.
_MISSING: Final = {"day": "undated", "account_id": "(none)", "integration": "(none)"}


def cell(column: str, value: Any, most: int = 3) -> str:
    """A value in words; nothing for null.

    Args:
        column: Tells shares from other numbers.
        value: Of any type a frame holds.
        most: How many amounts of money are named.
    """
    if value is None:
        return _MISSING.get(column, "")
    if isinstance(value, float):
        return _float(column, value)
    if isinstance(value, list):
        return visible(money_text(value, most))
    write = next((write for kind, write in _WORDS if isinstance(value, kind)), visible)
    return write(value)


#: How values are written, the narrower types first.
_WORDS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (bool, lambda value: "yes" if value else "no"),
    (int, lambda value: f"{value:,}"),
    (Decimal, amount_text),
    (datetime, lambda value: f"{value:%Y-%m-%d %H:%M}"),
    (date, lambda value: value.isoformat()),
)


def is_number(dtype: pl.DataType) -> bool:
    """Whether a column's cells are set to the right."""
    return dtype.is_numeric() or dtype == AMOUNTS


def heading(column: str) -> str:
    """A column's name in words."""
    return {"account_id": "account", "what": "", "value_param": "parameter"}.get(column, column.replace("_", " "))


def _float(column: str, value: float) -> str:
    if column == "offset_hours":
        return f"{value:+g}"
    return f"{value:,.1f}" if column in _PLAIN else f"{100 * value:.1f} %"
