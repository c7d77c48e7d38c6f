"""Formats cells and headings of tables, for terminals and for pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from etl.errors import visible
from etl.reports.audit.question import amount_text, money_text, percent_text
from etl.reports.audit.tables import AMOUNTS

#: Float columns that hold plain numbers; other float columns hold shares.
_PLAIN: Final = ("expected", "median_gap_seconds")

#: Texts for null in columns that identify a row.
_MISSING: Final = {"day": "undated", "account_id": "(none)", "integration": "(none)"}


def cell(column: str, value: Any, most: int = 3) -> str:
    """Formats a cell as text. Null becomes an empty text, or `(none)` or `undated` in a column that identifies a row.

    Args:
        column: Name of the column; it decides how a float is written.
        value: The cell, of any type that a frame holds.
        most: How many amounts are listed of a cell that holds money.
    """
    if value is None:
        return _MISSING.get(column, "")
    if isinstance(value, float):
        return _float(column, value)
    if isinstance(value, list):
        return visible(money_text(value, most))
    write = next((write for kind, write in _WRITERS if isinstance(value, kind)), visible)
    return write(value)


#: How values of each type are written; subtypes come first.
_WRITERS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (bool, lambda value: "yes" if value else "no"),
    (int, lambda value: f"{value:,}"),
    (Decimal, amount_text),
    (datetime, lambda value: f"{value:%Y-%m-%d %H:%M}"),
    (date, lambda value: value.isoformat()),
)


def is_number(dtype: pl.DataType) -> bool:
    """Whether a column holds numbers or money, and so is aligned to the right."""
    return dtype.is_numeric() or dtype == AMOUNTS


def heading(column: str) -> str:
    """Turns a column's name into a heading."""
    return {"account_id": "account", "what": "", "value_param": "parameter"}.get(column, column.replace("_", " "))


def _float(column: str, value: float) -> str:
    """Formats a float as an offset in hours, a plain number or a share in percent, as its column needs."""
    if column == "offset_hours":
        return f"{value:+g}"
    return f"{value:,.1f}" if column in _PLAIN else percent_text(value)
