"""Reads Parquet files in batches, with only the needed columns; each row becomes a JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Guesses which column holds which part of a request, from the schema and the first rows.

    Returns:
        (role, column) pairs, as `guess_columns` returns them.

    Raises:
        FormatError: No column holds requests, and the columns are not named like parameters.
        InputError: The file is not valid Parquet.
    """
    names, rows = sample_rows(stream, label)
    columns = guess_columns(names, rows, settings)
    if not columns and not are_parameters(names):
        raise FormatError(
            f"{label} has no recognisable column of payloads, URLs or queries. Its columns: {', '.join(names[:8])}.",
            "Name a column with --columns payload=NAME.",
        )
    return columns


def sample_rows(stream: BinaryIO, label: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the column names and the first rows, column -> value.

    Raises:
        InputError: The file is not valid Parquet.
    """
    file = _open(stream, label)
    with _broken_pages_named(label):
        first = next(iter(file.iter_batches(_SAMPLED)), None)
        return list(file.schema_arrow.names), [_plain_row(row) for row in _rows(first)] if first is not None else []


def count_rows(stream: BinaryIO, label: str) -> int:
    """Returns the number of rows, from the file's footer.

    Raises:
        InputError: The file is not valid Parquet.
    """
    return int(_open(stream, label).metadata.num_rows)


def read_rows(stream: BinaryIO, label: str, settings: Settings) -> Iterator[Batch]:
    """Yields the rows as JSON objects with the needed columns; a record's offset is its row number from 0.

    Raises:
        InputError: The file is not valid Parquet.
    """
    file = _open(stream, label)
    names = [name for _, name in settings.columns]
    is_projected = any(role not in ("received_at", "") for role, _ in settings.columns)
    with _broken_pages_named(label):
        batches = iter(file.iter_batches(_ROWS_PER_BATCH, columns=names if is_projected else None))
    number = 0
    while True:
        with _broken_pages_named(label):
            batch = next(batches, None)
            if batch is None:
                return
            texts = [orjson.dumps(_plain_row(row), default=str, option=orjson.OPT_NON_STR_KEYS) for row in _rows(batch)]
        yield as_batch([Element(text, number + i, len(text)) for i, text in enumerate(texts)])
        number += len(texts)


@contextmanager
def _broken_pages_named(label: str) -> Iterator[None]:
    """Names the file whose pages cannot be read: they are damaged, or hold times that no calendar has."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise _broken(label, error) from error


def _rows(batch: Any) -> list[dict[str, Any]]:
    """Returns the rows of a batch; the texts of a column that are not valid UTF-8 as bytes."""
    import pyarrow as pa

    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        kinds = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
        fields = [field.with_type(kinds.get(field.type, field.type)) for field in batch.schema]
        columns = [column.cast(field.type) for column, field in zip(batch.columns, fields, strict=True)]
        return list(pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)).to_pylist())


def _open(stream: BinaryIO, label: str) -> Any:
    """Opens a stream as a `pyarrow.parquet.ParquetFile`."""
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        file = pq.ParquetFile(stream)
    except (ArrowException, OSError) as error:
        raise _broken(label, error) from error
    groups = sum(file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups))
    if groups != file.metadata.num_rows:
        raise _broken(label, ValueError(f"it says that it has {file.metadata.num_rows} rows, but also {groups}"))
    return file


def _broken(label: str, error: Exception) -> InputError:
    return InputError(f"{label} is not valid Parquet: {str(error).splitlines()[0]}", "Export the file again.")


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row with values for JSON, without nulls."""
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: Any) -> Any:
    """Converts a value for JSON: bytes to text, decimals to all their digits, times to ISO 8601."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return body_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value
