"""Parquet files: the columns that are needed, in batches of rows, each row as a JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO, Final

import orjson

from etl.errors import FormatError, InputError
from etl.sources.format import Format, Settings
from etl.sources.readers.column_guessing import are_parameters, guess_columns
from etl.sources.readers.request_fields import body_text
from etl.sources.records.lines import Batch, Element, as_batch

MAGIC: Final = b"PAR1"
_ROWS_PER_BATCH: Final = 8192
_SAMPLED: Final = 100

FORMATS: Final = (
    Format(
        "parquet",
        "parquet",
        "Parquet with a column of payloads, URLs or queries, or columns named like the parameters",
        "https://parquet.apache.org/docs/file-format/",
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
)


def sample_columns(stream: BinaryIO, label: str, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Which columns hold what of a request, by the schema and the first rows.

    Raises:
        FormatError: No column holds requests, and none is named like a parameter.
        InputError: The file is no sound Parquet.
    """
    file = _open(stream, label)
    names = list(file.schema_arrow.names)
    first = next(iter(file.iter_batches(_SAMPLED)), None)
    rows = [_plain_row(row) for row in first.to_pylist()] if first is not None else []
    columns = guess_columns(names, rows, settings)
    if not columns and not are_parameters(names):
        raise FormatError(
            f"{label} has no column of payloads, URLs or queries among {', '.join(names[:8])}.",
            "Name one with --columns payload=NAME.",
        )
    return columns


def count_rows(stream: BinaryIO, label: str) -> int:
    """How many rows a file holds, as its footer says.

    Raises:
        InputError: The file is no sound Parquet.
    """
    return int(_open(stream, label).metadata.num_rows)


def read_rows(stream: BinaryIO, label: str, settings: Settings) -> Iterator[Batch]:
    """The rows as JSON objects of the columns that are needed.

    Raises:
        InputError: The file is no sound Parquet.
    """
    file = _open(stream, label)
    names = [name for _, name in settings.columns]
    is_projected = any(role not in ("received_at", "") for role, _ in settings.columns)
    batches = file.iter_batches(_ROWS_PER_BATCH, columns=names if is_projected else None)
    number = 0
    try:
        for batch in batches:
            texts = [
                orjson.dumps(_plain_row(row), default=str, option=orjson.OPT_NON_STR_KEYS) for row in batch.to_pylist()
            ]
            yield as_batch([Element(text, number + i, len(text)) for i, text in enumerate(texts)])
            number += len(texts)
    except OSError as error:
        raise _broken(label, error) from error


def _open(stream: BinaryIO, label: str) -> Any:
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        return pq.ParquetFile(stream)
    except (ArrowException, OSError) as error:
        raise _broken(label, error) from error


def _broken(label: str, error: Exception) -> InputError:
    return InputError(f"{label} is not sound Parquet: {str(error).splitlines()[0]}", "Export it again.")


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: Any) -> Any:
    """A value as JSON has it: bytes as text, decimals in full, times in ISO 8601."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return body_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value
