"""Splits: the part of an input that one worker reads, and its records as frames of `schema.REQUESTS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import DELIMITERS
from etl.columnar.string_buffers import texts_of
from etl.schema import REQUESTS
from etl.sources.format import DOCUMENTS, LINES, MESSAGES, PARQUET, Format, Settings
from etl.sources.formats.registry import BARE_DOCUMENTS, BARE_LINES, FAMILIES, rows_of, start_layouts, start_reader
from etl.sources.framing import Frame, read_batches
from etl.sources.readers import access_log, json_batch, json_matching, parquet_tables
from etl.sources.readers.escapes import without_prefix
from etl.sources.record import Record, as_columns
from etl.sources.records.lines import Batch
from etl.sources.storage.decompress import open_decompressed
from etl.sources.storage.locations import Location


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
        row: The format it is in.
        framing: How it is cut into records.
        settings: What the user says about the inputs, and the columns of a table.
        max_record_bytes: Longer records are malformed.
    """

    source: str
    source_digest: str
    path: Location
    codec: str
    start: int
    end: int
    first_record: int
    row: Format
    framing: str
    settings: Settings
    max_record_bytes: int


def read_split(split: Split) -> Iterator[tuple[pl.DataFrame, int]]:
    """The records of a split in order, a batch at a time, with how much of the input was read for it.

    Yields:
        Rows of `schema.REQUESTS`, and bytes of the file as it lies there.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    number = split.first_record
    read = batch_reader(split.row, split.framing, split.settings)
    layouts = _layout_reader(split)
    with open_decompressed(split.path, split.codec, split.source) as (stream, position):
        batches = _batches(split, stream)
        reached = split.start if split.codec == "plain" else position()
        for batch in batches:
            height = len(batch.starts)
            if height:
                before, reached = reached, min(position(), split.end) if split.codec == "plain" else position()
                columns = {**read(batch), **_lineage(split, batch), "layout": layouts(batch)}
                yield _as_requests(columns, split, number), max(0, reached - before)
                number += height


def _batches(split: Split, stream: BinaryIO) -> Iterator[Batch]:
    if split.framing == PARQUET:
        return parquet_tables.read_rows(stream, split.source, split.settings)
    if split.start:
        stream.seek(split.start - 1)
    delimiter = DELIMITERS.get(split.row.name, ",")
    frame = Frame(split.framing, split.start, split.end, split.max_record_bytes, split.row.container, delimiter)
    return read_batches(stream, frame)


def batch_reader(row: Format, framing: str, settings: Settings) -> Callable[[Batch], dict[str, pl.Series]]:
    """What gives the columns of `schema.REQUESTS` but lineage and raw, of one batch of records after another.

    Args:
        row: The format they are in.
        framing: How they were cut out of the input.
        settings: What the user says about it, and the columns of a table.
    """
    read = start_reader(row, settings)
    if row.family == "access_log":
        return partial(access_log.read_batch, read=read, word=settings.word)
    has_comments = framing in (LINES, MESSAGES)
    is_shipped = FAMILIES[row.family].is_shipped and framing != DOCUMENTS

    def read_one(text: bytes) -> Record:
        passed_over = access_log.not_a_record(text) if has_comments else None
        return passed_over or read(without_prefix(text) if is_shipped else text)

    def read_at(batch: Batch, i: int) -> Record:
        if i in batch.oversized:
            return access_log.oversized(batch.oversized[i])
        return read_one(batch.buffer[batch.starts[i] : batch.ends[i]].tobytes())

    def read_all(batch: Batch) -> dict[str, pl.Series]:
        return as_columns([read_at(batch, i) for i in range(len(batch.starts))])

    if row not in (BARE_LINES, BARE_DOCUMENTS) or settings.columns:
        return read_all
    is_claimed = json_matching.choice(rows_of(row.family, settings)).is_possible
    return lambda batch: json_batch.read_batch(batch, partial(read_at, batch), is_claimed)


def _lineage(split: Split, batch: Batch) -> dict[str, pl.Series]:
    offsets = pl.Series(batch.offsets, dtype=pl.Int64)
    return {
        "raw": texts_of(batch.buffer, batch.starts, batch.ends),
        "byte_offset": offsets.clear(len(offsets)) if split.framing == PARQUET else offsets,
    }


def _layout_reader(split: Split) -> Callable[[Batch], pl.Series]:
    """What gives the layout of each record, of one batch after another."""
    if not FAMILIES[split.row.family].layouts:
        return lambda batch: pl.Series("layout", [None], dtype=pl.String).new_from_index(0, len(batch.starts))
    read = start_layouts(split.row, split.settings)
    return lambda batch: pl.Series("layout", list(map(read, batch.texts())), dtype=pl.String)


def _as_requests(columns: dict[str, pl.Series], split: Split, first_record: int) -> pl.DataFrame:
    height = len(columns["raw"])
    constants = {
        "source": split.source,
        "source_digest": split.source_digest,
        "is_body_logged": split.row.is_body_logged,
    }
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
        record_no Int64, raw String, layout String, ascending.

    Raises:
        InputError: The input cannot be read.
    """
    wanted = places.sort("record_no")
    if split.codec == "plain" and split.framing == LINES:
        raws = _lines_at(split, wanted["byte_offset"].to_list())
        return wanted.select("record_no", raw=raws, layout=pl.lit(None, pl.String))
    numbers = wanted["record_no"].to_numpy()
    found = [pl.DataFrame(schema={"record_no": pl.Int64, "raw": pl.String, "layout": pl.String})]
    layouts = _layout_reader(split)
    first = split.first_record
    with open_decompressed(split.path, split.codec, split.source) as (stream, _):
        for batch in _batches(split, stream):
            mine = numbers[(numbers >= first) & (numbers < first + len(batch.starts))]
            lines = mine - first
            raws = texts_of(batch.buffer, batch.starts[lines], batch.ends[lines])
            found.append(pl.DataFrame({"record_no": mine, "raw": raws, "layout": layouts(batch)[lines]}))
            first += len(batch.starts)
    return pl.concat(found)


def _lines_at(split: Split, offsets: list[int]) -> pl.Series:
    with open_decompressed(split.path, split.codec, split.source) as (stream, _):
        lines = []
        for offset in offsets:
            stream.seek(offset)
            lines.append(stream.readline().removesuffix(b"\n").removesuffix(b"\r"))
    return pl.Series([line.decode("utf-8", "replace") for line in lines], dtype=pl.String)
