"""Reads the file of an export as columns of texts: CSV in any common shape, Parquet, or JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from etl.columnar import json_codec
from etl.errors import InputError, UsageError
from etl.sources.storage.decompress import open_decompressed, sniff

#: Lines above the header, such as a title and a period, are at most this many.
_MOST_TITLES: Final = 20

#: Whether names are those of an export's columns.
IsHeader = Callable[[list[str]], bool]


def read_texts(path: Path, is_header: IsHeader) -> pl.DataFrame:
    """Reads every column as text; columns of instants in a Parquet file stay instants.

    Args:
        path: The file, plain or compressed; text in UTF-8 or UTF-16.
        is_header: Says which of the first lines of a CSV is the header; without such a line it is the first.

    Raises:
        InputError: The file cannot be read.
        UsageError: The file has no columns.
    """
    codec, _ = sniff(path, str(path))
    with open_decompressed(path, codec, str(path)) as (stream, _):
        content = stream.read().removeprefix(codecs.BOM_UTF8)
    try:
        texts = _read_content(content, is_header)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0][:160]
        raise InputError(f"{path} cannot be read: {reason}", "Check that the file is complete.") from error
    except json_codec.JsonError as error:
        raise InputError(f"{path} is not JSON lines: {error}.", "Write one object per line.") from error
    if not texts.width:
        raise UsageError(f"{path} has no columns.", "Name a CSV file with a header, a Parquet file, or JSON lines.")
    return texts


def _read_content(content: bytes, is_header: IsHeader) -> pl.DataFrame:
    """Reads a file by its first bytes."""
    if content.startswith(b"PAR1"):
        return _read_parquet(content)
    return _read_json_lines(content) if content.lstrip().startswith(b"{") else _read_csv(content, is_header)


def _read_parquet(content: bytes) -> pl.DataFrame:
    """Reads the columns that are not nested as text, or as instants."""
    rows = pl.read_parquet(io.BytesIO(content))
    kept = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
    return rows.select(
        pl.col(name) if rows.schema[name] == pl.Datetime else pl.col(name).cast(pl.String) for name in kept
    )


def _read_csv(content: bytes, is_header: IsHeader) -> pl.DataFrame:
    """Reads a CSV; the separator is the most frequent of `,;|` and tab in the header."""
    if not content.strip():
        return pl.DataFrame()
    lines = content.split(b"\n", _MOST_TITLES + 1)[: _MOST_TITLES + 1]
    titles = next((place for place, line in enumerate(lines) if is_header(_cells(line, _separator(line)))), 0)
    return pl.read_csv(
        content,
        separator=_separator(lines[titles]),
        skip_lines=titles,
        infer_schema=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )


def _separator(header: bytes) -> str:
    return max(",;\t|", key=lambda mark: header.count(mark.encode()))


def _cells(line: bytes, separator: str) -> list[str]:
    """Splits one line of a CSV; a line that is none has no cells."""
    try:
        return next(csv.reader([line.decode("utf-8", "replace")], delimiter=separator), [])
    except csv.Error:
        return []


def _read_json_lines(content: bytes) -> pl.DataFrame:
    """Reads one object per line; a key that a line lacks is null."""
    rows: list[dict[str, str | None]] = []
    for number, line in enumerate(content.splitlines(), 1):
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
