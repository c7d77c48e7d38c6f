"""Reads the export of a network or ad platform: CSV, Parquet or JSON lines, with columns of any name."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import map_distinct
from etl.errors import InputError, UsageError
from etl.privacy.addresses import hide_text
from etl.rules import page, value_parsing
from etl.rules.amount_repair import repair_amount
from etl.schema import INSTANT, MONEY
from etl.sources.readers.column_guessing import folded
from etl.sources.readers.timestamps import read_any, time_reader
from etl.sources.storage.decompress import open_decompressed, sniff

#: One row per row of the export, numbered from 1. Empty cells are null.
THEIRS: Final = pl.Schema(
    {
        "row_no": pl.Int64(),
        "transaction_id": pl.String(),
        "click_id": pl.String(),
        "value": MONEY,
        "currency": pl.String(),
        "at": INSTANT,
    }
)


class Role(NamedTuple):
    """What a column of an export can hold, and names that such columns often have, most likely first."""

    name: str
    names: tuple[str, ...]


def _page_names(name: str) -> tuple[str, ...]:
    """The names that the page accepts for a core field."""
    return next(field.accepted for field in page.CORE_FIELDS if field.name == name)


#: The endpoint's own names first, then those of networks, shops and ad platforms.
ROLES: Final = (
    Role(
        "transaction_id",
        (
            *_page_names("transaction_id"),
            *("order_id", "orderid", "order_number", "order_no", "order_reference", "conversion_id", "sale_id"),
            *("action_id", "trans_id", "txn_id", "tid", "advertiser_ref", "invoice_id", "event_id", "order", "id"),
        ),
    ),
    Role(
        "click_id",
        (
            *_page_names("click_id"),
            *("match_key", "subid", "sub_id", "sub_id_1", "sub1", "subid1", "aff_sub", "click_ref", "clickref"),
            *("gclid", "fbclid", "msclkid", "tracking_id", "cid", *_page_names("ref_id")),
        ),
    ),
    Role(
        "value",
        (
            *_page_names("value"),
            *("payout", "sale_amount", "order_value", "order_total", "conversion_value", "total_price", "price"),
            *("earnings", "gross", "net"),
        ),
    ),
    Role("currency", (*_page_names("currency"), "currency_code", "order_currency", "payout_currency")),
    Role(
        "time",
        (
            *("conversion_time", "conversion_date", "event_time", "event_date", "transaction_date", "order_date"),
            *("transaction_time", "action_date", "occurred_at", "date_time", "sale_date", "received_at"),
            *_page_names("timestamp"),
        ),
    ),
)


class Export(NamedTuple):
    """The rows of an export.

    Attributes:
        rows: Rows of `THEIRS`.
        columns: Role -> column of the export, for the roles that were found.
        unread: How many values and times could not be read, by role.
    """

    rows: pl.DataFrame
    columns: dict[str, str]
    unread: dict[str, int]


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
    texts = _read_texts(path)
    columns = find_columns(texts.columns, chosen)
    if "time" not in columns or not {"transaction_id", "click_id", "value"} & columns.keys():
        raise UsageError(
            f"{path} needs a column of times and a column to match by; found only {_shown(texts.columns)}.",
            "Name them with --columns time=NAME,transaction_id=NAME,click_id=NAME,value=NAME,currency=NAME.",
        )
    return _parse_columns(texts, columns, zone, layout)


def find_columns(names: list[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Finds the column of each role: the chosen column, or else the most likely name that no other role has.

    Args:
        names: Names of the export's columns.
        chosen: Role -> column, for roles that are not guessed.

    Returns:
        Role -> column, for the roles that were found.

    Raises:
        UsageError: A chosen role or column does not exist.

    Examples:
        >>> find_columns(["Order ID", "Sub1", "Sale Amount", "Date"], {"click_id": "Sub1"})
        {'transaction_id': 'Order ID', 'click_id': 'Sub1', 'value': 'Sale Amount', 'time': 'Date'}
    """
    roles = [role.name for role in ROLES]
    for role_name, column in chosen.items():
        if role_name not in roles:
            raise UsageError(f"--columns {role_name!r} is not a role.", f"The roles are {', '.join(roles)}.")
        if column not in names:
            raise UsageError(
                f"--columns names {column!r}, but there is no such column.", f"The columns are {_shown(names)}."
            )
    by_fold = {folded(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role in ROLES:
        free = {fold: name for fold, name in by_fold.items() if name not in (*found.values(), *chosen.values())}
        guess = next((free[name] for name in role.names if name in free), None)
        if name := chosen.get(role.name, guess):
            found[role.name] = name
    return found


def _shown(names: list[str]) -> str | None:
    """The first names of columns, of which a file without a header makes personal values."""
    return hide_text(", ".join(names[:12]), "hash")


def _read_texts(path: Path) -> pl.DataFrame:
    """Reads every column as text; columns of instants in a Parquet file stay instants."""
    codec, head = sniff(path, str(path))
    with open_decompressed(path, codec, str(path)) as (stream, _):
        content = stream.read()
    try:
        texts = _reader(head)(content)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0][:160]
        raise InputError(f"{path} cannot be read: {reason}", "Check that the file is complete.") from error
    except json_codec.JsonError as error:
        raise InputError(f"{path} is not JSON lines: {error}.", "Write one object per line.") from error
    if not texts.width:
        raise UsageError(f"{path} has no columns.", "Name a CSV file with a header, a Parquet file, or JSON lines.")
    return texts


def _reader(head: bytes) -> Callable[[bytes], pl.DataFrame]:
    """Chooses the reader of a file by its first bytes."""
    if head.startswith(b"PAR1"):
        return _read_parquet
    return _read_json_lines if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else _read_csv


def _read_parquet(content: bytes) -> pl.DataFrame:
    """Reads the columns that are not nested as text, or as instants."""
    rows = pl.read_parquet(io.BytesIO(content))
    kept = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
    return rows.select(
        pl.col(name) if rows.schema[name] == pl.Datetime else pl.col(name).cast(pl.String) for name in kept
    )


def _read_csv(content: bytes) -> pl.DataFrame:
    """Reads a CSV; the separator is the most frequent of `,;|` and tab in the header."""
    header = content.partition(b"\n")[0]
    separator = max(",;\t|", key=lambda mark: header.count(mark.encode()))
    if not content.strip():
        return pl.DataFrame()
    return pl.read_csv(
        content, separator=separator, infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True
    )


def _read_json_lines(content: bytes) -> pl.DataFrame:
    """Reads one object per line; a key that a line lacks is null."""
    rows: list[dict[str, str | None]] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json_codec.parse(line)
        except json_codec.JsonError as error:
            raise json_codec.JsonError(f"line {number} cannot be read") from error
        if not isinstance(row, dict):
            raise json_codec.JsonError(f"line {number} is not an object")
        rows.append({name: json_codec.scalar(value) for name, value in row.items()})
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in names}, schema=dict.fromkeys(names, pl.String)
    )


def _parse_columns(texts: pl.DataFrame, columns: dict[str, str], zone: str, layout: str | None) -> Export:
    """Parses values and times of an export, and counts those that cannot be read."""
    sent = {role: _blank_to_null(texts[name]) for role, name in columns.items()}
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, texts.height)
    value_texts, time_texts = sent.get("value", nothing), sent["time"]
    amount = value_parsing.amount(value_texts)
    dressed = map_distinct(value_texts.set(amount.is_not_null(), None), lambda text: repair_amount(text).value, MONEY)
    value, at = amount.fill_null(dressed), _parse_times(time_texts, zone, layout)
    rows = pl.DataFrame(
        {
            "row_no": pl.Series(range(1, texts.height + 1), dtype=pl.Int64),
            "transaction_id": sent.get("transaction_id", nothing),
            "click_id": sent.get("click_id", nothing),
            "value": value,
            "currency": sent.get("currency", nothing).str.to_uppercase(),
            "at": at,
        },
        schema=THEIRS,
    )
    unread = {
        "value": value_texts.len() - value_texts.null_count() - (value.len() - value.null_count()),
        "time": at.null_count(),
    }
    return Export(rows, columns, {role: count for role, count in unread.items() if count})


def _blank_to_null(column: pl.Series) -> pl.Series:
    """Trims texts, and replaces blank texts by null."""
    if column.dtype == pl.Datetime:
        return column
    trimmed = column.str.strip_chars()
    return trimmed.set(trimmed == "", None)


def _parse_times(column: pl.Series, zone: str, layout: str | None) -> pl.Series:
    """Parses times as UTC instants; times without a zone are in the given zone."""
    if isinstance(column.dtype, pl.Datetime):
        zoned = column if column.dtype.time_zone else column.dt.replace_time_zone(zone, ambiguous="earliest")
        return zoned.dt.convert_time_zone("UTC").cast(INSTANT)
    read = time_reader(f"layout {layout}") if layout else read_any
    return map_distinct(column, lambda text: read(text, zone), INSTANT)
