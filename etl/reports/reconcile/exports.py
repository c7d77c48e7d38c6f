"""Reads the orders of the export of a network, shop or ad platform."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.columnar.factorize import map_distinct
from etl.errors import UsageError
from etl.reports.reconcile.export_columns import SHARES, find_columns, guess_columns, is_enough, shown_names
from etl.reports.reconcile.export_files import read_texts
from etl.reports.reconcile.export_times import Times, is_clock, read_times
from etl.rules import value_parsing
from etl.rules.amount_repair import repair_amount
from etl.schema import INSTANT, MONEY
from etl.sources.readers.column_guessing import folded

#: One row per order of the export, with the number of its first row, from 1. Empty cells are null.
THEIRS: Final = pl.Schema(
    {
        "row_no": pl.Int64(),
        "transaction_id": pl.String(),
        "click_id": pl.String(),
        "value": MONEY,
        "currency": pl.String(),
        "at": INSTANT,
        "status": pl.String(),
    }
)


#: Statuses of orders that did not come to money, or not yet.
_UNPAID: Final = re.compile(
    r"(?i)declin|reject|den(?:y|ied)|cancel|void|revers|refund|charge.?back|fail|expir|pending|invalid|duplicate"
)

#: The beginning of a cell in a row of totals.
_TOTALS: Final = r"(?i)^\s*(?:grand |sub)?totals?\b|^\s*(?:summe|gesamt|insgesamt|suma|totale)\b"

#: Names of columns that hold a line item of an order.
_ITEM: Final = re.compile(r"line_?item|(?:^|_)(?:item|sku|product|article)(?:_|$)")


class Export(NamedTuple):
    """The orders of an export.

    Attributes:
        rows: Rows of `THEIRS`.
        columns: Role -> column of the export, for the roles that were found.
        unread: How many values and times could not be read, by role.
        notes: What was assumed of the export, in sentences.
    """

    rows: pl.DataFrame
    columns: dict[str, str]
    unread: dict[str, int]
    notes: list[str]


def read_export(path: Path, chosen: Mapping[str, str], zone: str, layout: str | None) -> Export:
    """Reads an export.

    Args:
        path: The file, plain or compressed.
        chosen: Role -> column, for roles that are not guessed by name.
        zone: IANA name of the time zone of times without a zone.
        layout: Format of the times, as for strftime; None: any common format.

    Raises:
        InputError: The file cannot be read.
        UsageError: The file has no columns, or lacks a column to compare by.
    """
    texts = read_texts(path, lambda names: is_enough(guess_columns(names, chosen)))
    columns = find_columns(texts.columns, chosen, [column.name for column in texts if is_clock(column)])
    if not is_enough(columns):
        raise UsageError(
            f"{path} needs a column of times and a column to match by; found only {shown_names(texts.columns)}.",
            "Name them with --columns time=NAME,transaction_id=NAME,click_id=NAME,value=NAME,currency=NAME.",
        )
    return _parse_columns(texts, columns, zone, layout)


def _parse_columns(texts: pl.DataFrame, columns: dict[str, str], zone: str, layout: str | None) -> Export:
    """Parses values and times of an export, counts those that cannot be read, and makes its rows orders."""
    sent = {role: _blank_to_null(texts[name]) for role, name in columns.items()}
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, texts.height)
    value_texts = sent.get("value", nothing)
    times = read_times(sent["time"], sent.get("clock"), sent.get("zone"), zone, layout)
    rows = pl.DataFrame(
        {
            "row_no": pl.Series(range(1, texts.height + 1), dtype=pl.Int64),
            "transaction_id": sent.get("transaction_id", nothing),
            "click_id": sent.get("click_id", nothing),
            "value": _amounts(value_texts),
            "currency": sent.get("currency", nothing).str.to_uppercase(),
            "at": times.at,
            "status": sent.get("status", nothing),
        },
        schema=THEIRS,
    )
    is_total = (
        times.at.is_null()
        & texts.select(pl.any_horizontal(pl.col(pl.String).str.contains(_TOTALS).fill_null(value=False))).to_series()
    )
    kept, kept_texts = rows.filter(~is_total), texts.filter(~is_total)
    orders = _join_items(kept, kept_texts, columns)
    unread = {
        "value": value_texts.filter(~is_total).count() - kept["value"].count(),
        "time": orders["at"].null_count(),
    }
    notes = [
        *_note_times(times, columns),
        *_note_shares(orders, kept_texts, columns),
        *_note_statuses(orders, columns),
    ]
    if is_total.any():
        notes.append(f"Rows of totals are left out: {is_total.sum():,}.")
    if kept.height > orders.height:
        notes.append(f"{kept.height:,} rows are {orders.height:,} orders: rows of line items are joined.")
    return Export(orders, columns, {role: count for role, count in unread.items() if count}, notes)


def _amounts(texts: pl.Series) -> pl.Series:
    """Reads amounts, with or without signs of currencies."""
    amounts = value_parsing.amount(texts)
    dressed = map_distinct(texts.set(amounts.is_not_null(), None), lambda text: repair_amount(text).value, MONEY)
    return amounts.fill_null(dressed)


def _join_items(rows: pl.DataFrame, texts: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """Joins the rows of the line items of one order, which follow each other.

    A row with an item and without ids and value belongs to the order above it. Rows of one id and one time are one
    order if each has another item. The order's value is the one value of its rows; values of items are added.

    Args:
        rows: Rows of `THEIRS`.
        texts: All columns of the same rows.
        columns: Role -> column.
    """
    items = [name for name in texts.columns if _ITEM.search(folded(name)) and texts[name].dtype == pl.String]
    if not items or "transaction_id" not in columns:
        return rows
    item = texts.select(pl.concat_str(items, separator="\0", ignore_nulls=True)).to_series()
    is_more = pl.all_horizontal(pl.col("transaction_id", "click_id", "value").is_null()) & (pl.col("item") != "")
    run = pl.coalesce("owner", pl.format("\0{}", "order")).rle_id()
    is_order = (
        (pl.len() > 1)
        & (pl.col("item") != "").all()
        & (pl.col("item").n_unique() == pl.len())
        & (pl.col("at").drop_nulls().n_unique() <= 1)
    )
    numbered = (
        rows.with_columns(item)
        .rename({item.name: "item"})
        .with_columns(order=pl.when(~is_more).then("row_no").forward_fill().fill_null(pl.col("row_no")))
        .with_columns(owner=pl.col("transaction_id").first().over("order"))
        .with_columns(run=run)
        .with_columns(order=pl.when(is_order.over("run")).then(pl.col("row_no").min().over("run")).otherwise("order"))
    )
    value = pl.col("value").drop_nulls()
    is_one = (value.n_unique() <= 1) if not _ITEM.search(folded(columns.get("value", ""))) else pl.lit(value=False)
    firsts = [pl.col(name).drop_nulls().first() for name in THEIRS.names() if name != "value"]
    whole = pl.when(is_one).then(value.first()).otherwise(value.sum())
    return numbered.group_by("order", maintain_order=True).agg(*firsts, value=whole).select(THEIRS.names())


def _note_times(times: Times, columns: Mapping[str, str]) -> list[str]:
    """Says in which order dates in numbers were read."""
    if not times.order:
        return []
    return [f"Dates in {columns['time']!r} are read as {times.order}; --time-format reads them otherwise."]


def _note_shares(orders: pl.DataFrame, texts: pl.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Says what a network's share is if the sale is compared and both have a column."""
    shares = {folded(name): name for name in reversed(texts.columns) if name != columns.get("value")}
    other = next((shares[name] for name in SHARES if name in shares), None)
    if other is None or folded(columns.get("value", "")) in ("", *SHARES):
        return []
    sale, share = orders["value"].sum(), _amounts(_blank_to_null(texts[other])).sum()
    return [f"{columns['value']!r} is compared ({sale:,.2f}), not {other!r} ({share:,.2f}); --columns value chooses."]


def _note_statuses(orders: pl.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Says how many orders have a status by which they did not come to money."""
    unpaid = orders.filter(pl.col("status").str.contains(_UNPAID.pattern))["status"].value_counts(sort=True)
    said = ", ".join(f"{count:,} {status}" for status, count in unpaid.iter_rows())
    return [f"By {columns['status']!r}, not all orders are paid, but all are compared: {said}."] if said else []


def _blank_to_null(column: pl.Series) -> pl.Series:
    """Trims texts, and replaces blank texts by null."""
    if column.dtype == pl.Datetime:
        return column
    trimmed = column.str.strip_chars()
    return trimmed.set(trimmed == "", None)
