"""Cuts the bytes of an input into batches of records, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from etl.columnar.delimited_rows import row_patterns
from etl.sources.format import BLOCKS, DOCUMENTS, HEADED, LINES, MESSAGES, TABLE_ROWS
from etl.sources.readers.timestamps import DATED
from etl.sources.records.json_documents import read_documents
from etl.sources.records.lines import KEPT_BYTES, Batch, Element, as_batch, read_lines
from etl.sources.storage.line_ends import BOM


class StreamPart(NamedTuple):
    """The part of a stream to cut into records, and how to cut it.

    Attributes:
        framing: A framing constant of `sources.format`.
        start: Offset of the first byte. Only LINES can begin elsewhere than at 0.
        end: One past the last byte.
        max_record_bytes: Records longer than this are marked oversized.
        container: For DOCUMENTS: the keys that lead to the array of records.
        delimiter: For TABLE_ROWS: the character between cells.
    """

    framing: str
    start: int
    end: int
    max_record_bytes: int
    container: tuple[str, ...] = ()
    delimiter: str = ","


def read_batches(stream: BinaryIO, part: StreamPart) -> Iterator[Batch]:
    """Yields the records of a part of a stream, in order.

    The stream must stand one byte before the part's start, or at 0 if the part starts there.
    """
    return _CUTTERS[part.framing](stream, part)


def _lines(stream: BinaryIO, part: StreamPart) -> Iterator[Batch]:
    """Yields lines."""
    return read_lines(stream, part.start, part.end, part.max_record_bytes)


def _documents(stream: BinaryIO, part: StreamPart) -> Iterator[Batch]:
    """Yields JSON values."""
    yield from map(as_batch, read_documents(stream, part.max_record_bytes, part.container))


def _lines_of(batch: Batch) -> list[Element]:
    """Returns the lines of a batch, each with its line end."""
    data = batch.buffer.tobytes()
    starts = batch.starts.tolist()
    spans = zip(starts, batch.ends.tolist(), [*starts[1:], len(data)], batch.offsets.tolist(), strict=True)
    return [
        Element(data[start:end], offset, batch.oversized[i])
        if i in batch.oversized
        else Element(text := data[start:end] + data[end:following].translate(None, b"\0" + BOM), offset, len(text))
        for i, (start, end, following, offset) in enumerate(spans)
    ]


def _join(lines: list[Element], limit: int) -> Element:
    """Joins lines into one record, without the line end of the last line."""
    length = sum(line.length for line in lines)
    if length > limit:
        return Element(lines[0].text[:KEPT_BYTES], lines[0].offset, length)
    text = b"".join(line.text for line in lines).removesuffix(b"\n").rstrip(b"\r")
    return Element(text, lines[0].offset, len(text))


def _blocks(stream: BinaryIO, part: StreamPart) -> Iterator[Batch]:
    """Yields blocks: a dated line and the following lines without a date. Lines before the first date stand alone."""
    limit = part.max_record_bytes
    waiting: list[Element] = []
    is_dated, length = False, 0
    for batch in _lines(stream, part):
        records: list[Element] = []
        for line in _lines_of(batch):
            begins = bool(DATED.match(line.text))
            if waiting and (begins or not is_dated or length > limit):
                records.append(_join(waiting, limit))
                waiting, length, is_dated = [], 0, False
            waiting.append(line)
            length += line.length
            is_dated |= begins
        yield as_batch(records)
    yield as_batch([_join(waiting, limit)] if waiting else [])


def _table_rows(stream: BinaryIO, part: StreamPart) -> Iterator[Batch]:
    """Yields table rows; a row spans several lines if a quoted cell contains line ends.

    If a quote is not closed within the size limit, each of its lines is a record of its own.
    """
    limit = part.max_record_bytes
    rows = row_patterns(part.delimiter)
    waiting: list[Element] = []
    length = 0
    for batch in _lines(stream, part):
        records: list[Element] = []
        for line in _lines_of(batch):
            is_whole = (rows.rest if waiting else rows.whole).fullmatch(line.text)
            waiting.append(line)
            length += line.length
            if is_whole:
                records.append(_join(waiting, limit))
            elif length > limit:
                records += [_join([waiting_line], limit) for waiting_line in waiting]
            else:
                continue
            waiting, length = [], 0
        yield as_batch(records)
    yield as_batch([_join([line], limit) for line in waiting])


_CUTTERS: Final[dict[str, Callable[[BinaryIO, StreamPart], Iterator[Batch]]]] = {
    LINES: _lines,
    HEADED: _lines,
    MESSAGES: _lines,
    DOCUMENTS: _documents,
    BLOCKS: _blocks,
    TABLE_ROWS: _table_rows,
}
