"""Reads splits: parts of inputs, each read by one worker, as frames of `schema.REQUESTS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

import numpy as np
import polars as pl

from etl.columnar.delimited_rows import DELIMITERS
from etl.columnar.string_buffers import texts_of
from etl.errors import AccountingError, ChangedInputError, InputError
from etl.schema import REQUESTS
from etl.sources.body_arrays import split_arrays
from etl.sources.carried import carried_settings, complete, opened_batches, opener_of, outermost_row
from etl.sources.carriers.joining import split_places
from etl.sources.carriers.known_carriers import container_of, cutting
from etl.sources.carriers.opening import Opened
from etl.sources.format import LINES, MESSAGES, PARQUET, Format, Reader, Settings
from etl.sources.formats.registry import (
    BARE_DOCUMENTS,
    BARE_LINES,
    FAMILIES,
    rows_of,
    start_layout_reader,
    start_reader,
)
from etl.sources.framing import StreamPart, read_batches
from etl.sources.readers import access_log, json_batch, json_matching, parquet_tables
from etl.sources.record import Record, as_columns
from etl.sources.records.lines import BATCH_BYTES, Batch, line_text
from etl.sources.storage.checksums import SurveyedBytes, checked, has_changed
from etl.sources.storage.decompress import DecompressedStream, open_decompressed
from etl.sources.storage.line_ends import ReturnsAsNewlines
from etl.sources.storage.locations import Location
from etl.sources.time_limits import limited

Result = TypeVar("Result")

#: Records that lie closer to each other, on average, are read again together with all that lies between them: a file is
#: read at least `CHECKED_BYTES` at a time, an object of a store a buffer.
_DISK_GAP_BYTES: Final = 2**14
_STORE_GAP_BYTES: Final = 2**22


class Split(NamedTuple):
    """A part of an input, as plain data: any machine with access to the file can read the split.

    Attributes:
        source: The input's path as given.
        source_digest: SHA-256 of the input's decompressed bytes.
        path: The input's location.
        codec: The input's compression.
        start: Offset of the first byte, decompressed. Records that begin in [start, end) belong to the split.
        end: One past the last byte.
        first_record: Number of the split's first record.
        row: The input's format.
        framing: How the input is cut into records.
        settings: The user's settings, with the columns of a table.
        max_record_bytes: Records longer than this are malformed.
        has_return_ends: Whether carriage returns alone end the lines of the input.
        carriers: The names of the carriers in the input.
        checked: The checksums of the split's bytes and of those behind them; None: what is read is not compared.
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
    has_return_ends: bool = False
    carriers: tuple[str, ...] = ()
    checked: SurveyedBytes | None = None


@contextmanager
def open_split(split: Split) -> Iterator[DecompressedStream]:
    """Opens the input of a split as a decompressed stream of the surveyed bytes.

    Raises:
        ChangedInputError: The input is not what it was when it was surveyed; also raised while the stream is read.
        InputError: The input cannot be read.
    """
    try:
        with open_decompressed(split.path, split.codec, split.source) as (stream, position):
            yield DecompressedStream(checked(stream, split.checked, split.source), position)
    except InputError as error:
        if split.checked and has_changed(split.path, split.checked.identity):
            raise ChangedInputError.of(split.source) from error
        raise


def read_split(split: Split) -> Iterator[tuple[pl.DataFrame, int]]:
    """Reads the records of a split in order, in batches.

    Yields:
        A frame with rows of `schema.REQUESTS`, and the number of bytes read from the stored file for this batch.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    number = split.first_record
    settings = carried_settings(split.settings, split.carriers)
    read = batch_reader(split.row, split.framing, settings, is_carried=bool(split.carriers))
    layouts = _layout_reader(split)
    for opened, size in opened_parts(split):
        read_columns = _within_limit(split, partial(read, opened.records))
        read_columns = complete(read_columns, opened, split.settings)
        columns = {**read_columns, **lineage_of(split, opened.raws), "layout": layouts(opened.raws)}
        if split.settings.has_array_bodies:
            columns = split_arrays(columns, split.settings.collect_path)
        yield as_requests(columns, split, number), size
        number += len(columns["raw"])


def opened_parts(split: Split) -> Iterator[tuple[Opened, int]]:
    """Yields the records of a split in batches, their carriers open, and the bytes read from the stored file for each.

    Raises:
        InputError: The input cannot be read to the split's end.
    """
    with open_split(split) as (stream, position):
        batches = _opened(split, stream)
        reached = split.start if split.codec == "plain" else position()
        while (opened := _within_limit(split, lambda: next(batches, None))) is not None:
            if len(opened.raws.starts):
                before, reached = reached, min(position(), split.end) if split.codec == "plain" else position()
                yield opened, max(0, reached - before)
        if split.checked and split.framing != PARQUET and stream.tell() < split.end:
            raise AccountingError(
                f"{split.source} was read up to byte {stream.tell():,} instead of {split.end:,}.",
                "Report this with the input.",
            )


def _within_limit(split: Split, call: Callable[[], Result]) -> Result:
    """Returns the result of a call that reads a batch, within the limit for patterns of the user."""
    has_own = split.row.family == "custom" or bool(split.settings.formats)
    with limited(split.source, min(split.end - split.start, BATCH_BYTES), has_own=has_own):
        return call()


def whole_record_starts(split: Split, starts: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns where the splits of an input of several lines a record may begin, and the numbers of their first records.

    Args:
        split: The whole input.
        starts: The wanted offsets; the first is 0.
    """
    rows = cutting(split.carriers) if split.framing == MESSAGES else ()
    if len(starts) < 2 or not rows:
        return (0,), (1,)
    with open_split(split) as (stream, _):
        places = list(split_places(_batches(split, stream), rows, starts[1:], split.max_record_bytes))
    return (0, *(place for place, _ in places)), (1, *(count + 1 for _, count in places))


def _opened(split: Split, stream: BinaryIO) -> Iterator[Opened]:
    """Cuts a split's part of a decompressed stream into batches of records, and opens their carriers."""
    batches = _batches(split, stream)
    return opened_batches(batches, split.row, split.settings, split.carriers, split.max_record_bytes)


def _batches(split: Split, stream: BinaryIO) -> Iterator[Batch]:
    """Cuts a split's part of a decompressed stream into batches of records."""
    if split.framing == PARQUET:
        return parquet_tables.read_rows(stream, split.source, split.settings)
    if split.start:
        stream.seek(split.start - 1)
    if split.has_return_ends:
        stream = ReturnsAsNewlines(stream)  # type: ignore[assignment]
    delimiter = DELIMITERS.get(outermost_row(split.row, split.carriers).name, ",")
    container = container_of(split.carriers) if split.carriers else split.row.container
    part = StreamPart(split.framing, split.start, split.end, split.max_record_bytes, container, delimiter)
    return read_batches(stream, part)


def batch_reader(
    row: Format,
    framing: str,
    settings: Settings,
    *,
    is_carried: bool = False,
    reader_at: Callable[[int], Reader] | None = None,
) -> Callable[[Batch], dict[str, pl.Series]]:
    """Returns a function that parses batches of records in order.

    The function returns the columns of `schema.REQUESTS` except lineage and raw.

    Args:
        row: The records' format.
        framing: How the records were cut out of the input.
        settings: The user's settings, with the columns of a table.
        is_carried: Whether carriers held the records.
        reader_at: For a batch of several inputs: returns the reader of the input of a record, by the record's index.
    """
    if reader_at is None:
        reader = start_reader(row, settings, is_carried=is_carried)
        reader_at = lambda _i: reader  # noqa: E731
    if row.family == "access_log":
        return partial(access_log.read_batch, reader_at=reader_at, word=settings.word)
    has_comments = framing in (LINES, MESSAGES) or is_carried

    def read_at(batch: Batch, i: int) -> Record:
        if i in batch.oversized:
            return access_log.oversized(batch.oversized[i])
        text = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
        return (access_log.blank_or_comment(text) if has_comments else None) or reader_at(i)(text)

    def read_all(batch: Batch) -> dict[str, pl.Series]:
        return as_columns([read_at(batch, i) for i in range(len(batch.starts))])

    if row not in (BARE_LINES, BARE_DOCUMENTS) or settings.columns:
        return read_all
    is_claimed = json_matching.format_matcher(rows_of(row.family, settings)).may_match
    return lambda batch: json_batch.read_batch(batch, partial(read_at, batch), is_claimed)


def lineage_of(split: Split, batch: Batch) -> dict[str, pl.Series]:
    """Returns raw text and byte offset of each record; Parquet rows have no offset."""
    offsets = pl.Series(batch.offsets, dtype=pl.Int64)
    return {
        "raw": texts_of(batch.buffer, batch.starts, batch.ends),
        "byte_offset": offsets.clear(len(offsets)) if split.framing == PARQUET else offsets,
    }


def _layout_reader(split: Split) -> Callable[[Batch], pl.Series]:
    """Returns a function that takes batches in order and returns each record's layout text; null outside tables."""
    row = outermost_row(split.row, split.carriers)
    if not FAMILIES[row.family].start_layout_reader:
        return lambda batch: pl.Series("layout", [None], dtype=pl.String).new_from_index(0, len(batch.starts))
    read = start_layout_reader(row, split.settings)
    return lambda batch: pl.Series("layout", list(map(read, batch.texts())), dtype=pl.String)


def as_requests(columns: dict[str, pl.Series], split: Split, first_record: int) -> pl.DataFrame:
    """Completes the columns of a batch to rows of `schema.REQUESTS`: by what its split says, else by null."""
    height = len(columns["raw"])
    constants = {
        "source": split.source,
        "source_digest": split.source_digest,
        "is_body_logged": split.row.is_body_logged,
    }
    numbers = pl.Series(np.arange(first_record, first_record + height), dtype=pl.Int64)
    filled = {
        **{name: pl.Series([value]).new_from_index(0, height) for name, value in constants.items()},
        "record_no": numbers,
        **columns,
    }
    missing = {
        name: pl.Series([None], dtype=dtype).new_from_index(0, height)
        for name, dtype in REQUESTS.schema.items()
        if name not in filled
    }
    return pl.DataFrame(filled | missing).select(REQUESTS.schema.names())


def read_raws(split: Split, places: pl.DataFrame) -> pl.DataFrame:
    """Reads the raw text of selected records of a split, without parsing them.

    Args:
        split: The split that contains the records.
        places: The selected records: `record_no` and `byte_offset`, Int64.

    Returns:
        record_no Int64, raw String, layout String, ascending by record_no.

    Raises:
        InputError: The input cannot be read.
    """
    wanted = places.sort("record_no")
    if split.settings.has_array_bodies:
        columns = ("record_no", "raw", "layout")
        read = pl.concat([REQUESTS.empty().select(columns), *(rows.select(columns) for rows, _ in read_split(split))])
        return read.join(wanted.select("record_no"), on="record_no", how="semi", maintain_order="left")
    is_seekable = split.codec == "plain" and split.framing == LINES and not split.has_return_ends
    gap = _DISK_GAP_BYTES if isinstance(split.path, Path) else _STORE_GAP_BYTES
    if is_seekable and (split.end - split.start) > gap * wanted.height:
        raws = _lines_at(split, wanted["byte_offset"].to_list())
        return wanted.select("record_no", raw=raws, layout=pl.lit(None, pl.String))
    numbers = wanted["record_no"].to_numpy()
    found = [pl.DataFrame(schema={"record_no": pl.Int64, "raw": pl.String, "layout": pl.String})]
    layouts = _layout_reader(split)
    first = split.first_record
    with open_split(split) as (stream, _):
        for opened in _opened(split, stream):
            batch = opened.raws
            selected = numbers[(numbers >= first) & (numbers < first + len(batch.starts))]
            lines = selected - first
            raws = texts_of(batch.buffer, batch.starts[lines], batch.ends[lines])
            found.append(pl.DataFrame({"record_no": selected, "raw": raws, "layout": layouts(opened.raws)[lines]}))
            first += len(batch.starts)
    return pl.concat(found)


def _lines_at(split: Split, offsets: list[int]) -> pl.Series:
    """Reads the lines that begin at the given offsets of an uncompressed input."""
    opener = opener_of(split.row, split.settings, split.carriers)
    with open_split(split) as (stream, _):
        lines = []
        for offset in offsets:
            stream.seek(offset)
            lines.append(opener.carried(line_text(stream.readline()))[0].raw)
    return pl.Series([line.decode("utf-8", "replace") for line in lines], dtype=pl.String)
