"""Splits: the part of an input that one worker reads, and its records as frames of `schema.REQUESTS`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import polars as pl

from etl.params import fields_of
from etl.schema import REQUESTS
from etl.sources import access_batches, access_logs
from etl.sources.documents import Element, read_documents
from etl.sources.formats import BY_NAME, DOCUMENTS, LINES, Format
from etl.sources.lines import Batch, read_lines
from etl.sources.log_format import compile_log_format
from etl.sources.requests import Record
from etl.sources.streams import open_decompressed
from etl.urlencoded import spans_to_text

DEFAULT_MAX_RECORD_BYTES: Final = 4 * 2**20


class Split(NamedTuple):
    """A part of an input, plain data that any machine with the file can work on.

    Attributes:
        source: The input's path as given.
        source_digest: SHA-256 of its decompressed bytes.
        path: Where it lies.
        codec: How it is compressed.
        start: First byte, decompressed; records that begin in [start, end) belong to the split.
        end: One past the last byte.
        first_record: Number of the first of them.
        format_name: A row of `formats.FORMATS`; `custom` for a log format of one's own.
        log_format: The log format of one's own.
        max_record_bytes: Longer records are malformed.
    """

    source: str
    source_digest: str
    path: Path
    codec: str
    start: int
    end: int
    first_record: int
    format_name: str
    log_format: str | None
    max_record_bytes: int


def format_of(split: Split) -> Format:
    """The format a split is read as."""
    return compile_log_format(split.log_format) if split.log_format else BY_NAME[split.format_name]


def read_split(split: Split) -> Iterator[tuple[pl.DataFrame, int]]:
    """The records of a split in order, a batch at a time, with where the batch ends in the stored input.

    Yields:
        Rows of `schema.REQUESTS`, and the position reached in the file as it lies there, in bytes.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    row = format_of(split)
    number = split.first_record
    with open_decompressed(split.path, split.codec, split.source) as (stream, position):
        if split.start:
            stream.seek(split.start - 1)
        batches: Iterator[dict[str, pl.Series]]
        if row.records == DOCUMENTS:
            batches = (_read_elements(row, part) for part in read_documents(stream, split.max_record_bytes))
        else:
            lines = read_lines(stream, split.start, split.end, split.max_record_bytes)
            batches = (_read_lines(row, batch) for batch in lines)
        for columns in batches:
            height = len(columns["raw"])
            if height:
                reached = min(position(), split.end) if split.codec == "plain" else position()
                yield _as_requests(columns, split, number, is_body_logged=row.is_body_logged), reached
                number += height


def _read_lines(row: Format, batch: Batch) -> dict[str, pl.Series]:
    raw = spans_to_text(batch.buffer, batch.starts, batch.ends)
    if row.family == "access_log":
        columns = access_batches.read_batch(batch)
    else:
        columns = as_columns([_read_line(row, batch, i) for i in range(len(batch.starts))])
    return {**columns, "raw": raw, "byte_offset": pl.Series(batch.offsets, dtype=pl.Int64)}


def _read_line(row: Format, batch: Batch, i: int) -> Record:
    if i in batch.oversized:
        return access_logs.oversized(batch.oversized[i])
    line = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
    return access_logs.not_a_record(line) or row.read(line)


def _read_elements(row: Format, elements: list[Element]) -> dict[str, pl.Series]:
    records = [
        row.read(element.text) if element.length == len(element.text) else access_logs.oversized(element.length)
        for element in elements
    ]
    return {
        **as_columns(records),
        "raw": pl.Series([element.text.decode("utf-8", "replace") for element in elements], dtype=pl.String),
        "byte_offset": pl.Series([element.offset for element in elements], dtype=pl.Int64),
    }


def as_columns(records: list[Record]) -> dict[str, pl.Series]:
    """Records read one by one, as columns."""
    schema = REQUESTS.schema
    values = zip(*records, strict=True) if records else ((),) * len(Record._fields)
    by_name: dict[str, Any] = dict(zip(Record._fields, values, strict=True))
    fields = {name: fields_of(by_name.pop(name)).alias(name) for name in ("fields", "query_fields")}
    return {name: pl.Series(values, dtype=schema[name]) for name, values in by_name.items()} | fields


def _as_requests(
    columns: dict[str, pl.Series], split: Split, first_record: int, *, is_body_logged: bool
) -> pl.DataFrame:
    height = len(columns["raw"])
    constants = {"source": split.source, "source_digest": split.source_digest, "is_body_logged": is_body_logged}
    numbers = pl.Series(np.arange(first_record, first_record + height), dtype=pl.Int64)
    filled = {
        **{name: pl.Series([value]).new_from_index(0, height) for name, value in constants.items()},
        **columns,
        "record_no": numbers,
    }
    missing = {
        name: pl.Series([None], dtype=dtype).new_from_index(0, height)
        for name, dtype in REQUESTS.schema.items()
        if name not in filled
    }
    return pl.DataFrame(filled | missing).select(REQUESTS.schema.names())


def read_raws(split: Split, places: pl.DataFrame) -> pl.DataFrame:
    """The raw text of some records of a split, without judging the others.

    Args:
        split: Where they are.
        places: `record_no` and `byte_offset`, Int64.

    Returns:
        record_no Int64, raw String, ascending.

    Raises:
        InputError: The input cannot be read.
    """
    wanted = places.sort("record_no")
    if split.codec == "plain" and format_of(split).records == LINES:
        return wanted.select("record_no", raw=_lines_at(split, wanted["byte_offset"].to_list()))
    numbers = wanted["record_no"].to_numpy()
    found = [pl.DataFrame(schema={"record_no": pl.Int64, "raw": pl.String})]
    first = split.first_record
    with open_decompressed(split.path, split.codec, split.source) as (stream, _):
        for batch in _raw_batches(split, stream):
            mine = numbers[(numbers >= first) & (numbers < first + len(batch.starts))]
            lines = mine - first
            raws = spans_to_text(batch.buffer, batch.starts[lines], batch.ends[lines])
            found.append(pl.DataFrame({"record_no": mine, "raw": raws}))
            first += len(batch.starts)
    return pl.concat(found)


def _lines_at(split: Split, offsets: list[int]) -> pl.Series:
    with open_decompressed(split.path, split.codec, split.source) as (stream, _):
        lines = []
        for offset in offsets:
            stream.seek(offset)
            lines.append(stream.readline().removesuffix(b"\n").removesuffix(b"\r"))
    return pl.Series([line.decode("utf-8", "replace") for line in lines], dtype=pl.String)


def _raw_batches(split: Split, stream: BinaryIO) -> Iterator[Batch]:
    if format_of(split).records == DOCUMENTS:
        return (_as_batch(part) for part in read_documents(stream, split.max_record_bytes))
    return read_lines(stream, split.start, split.end, split.max_record_bytes)


def _as_batch(elements: list[Element]) -> Batch:
    ends = np.cumsum([len(element.text) for element in elements], dtype=np.int64)
    buffer = np.frombuffer(b"".join(element.text for element in elements), np.uint8)
    offsets = np.array([element.offset for element in elements], np.int64)
    return Batch(buffer, np.append(0, ends)[:-1], ends, offsets, {})
