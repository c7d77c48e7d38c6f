"""How the bytes of an input are cut into records, a batch at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from etl.columnar.delimited_rows import row_patterns
from etl.sources.format import BLOCKS, DOCUMENTS, HEADED, LINES, MESSAGES, TABLE_ROWS
from etl.sources.formats.queue_messages import unwrapped
from etl.sources.readers.timestamps import DATED
from etl.sources.records.json_documents import read_documents
from etl.sources.records.lines import KEPT_BYTES, Batch, Element, as_batch, read_lines


class Frame(NamedTuple):
    """Which part of a stream to cut, and how.

    Attributes:
        framing: A constant of `format_rows`.
        start: First byte; only LINES begin anywhere but at 0.
        end: One past the last byte.
        max_record_bytes: Longer records are oversized.
        container: Keys that lead to the records of DOCUMENTS.
        delimiter: What divides the cells of TABLE_ROWS.
    """

    framing: str
    start: int
    end: int
    max_record_bytes: int
    container: tuple[str, ...] = ()
    delimiter: str = ","


def read_batches(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    """The records of a part of a stream, in order; the stream stands at the part's start, or one byte before it."""
    return _CUTS[frame.framing](stream, frame)


def _lines(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    return read_lines(stream, frame.start, frame.end, frame.max_record_bytes)


def _documents(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    for elements in read_documents(stream, frame.max_record_bytes, frame.container):
        yield as_batch([inner for element in elements for inner in _carried(element)])


def _messages(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    for batch in _lines(stream, frame):
        yield as_batch([inner for line in _elements(batch) for inner in _carried(line)])


def _carried(element: Element) -> list[Element]:
    if element.length > len(element.text):
        return [element]
    return [Element(text, element.offset, len(text)) for text in unwrapped(element.text)]


def _elements(batch: Batch) -> list[Element]:
    """The lines of a batch with the line ends that follow them."""
    data = batch.buffer.tobytes()
    starts = batch.starts.tolist()
    return [
        Element(data[start : start + KEPT_BYTES] if i in batch.oversized else data[start:end], offset, length)
        for i, (start, end, offset) in enumerate(
            zip(starts, [*starts[1:], len(data)], batch.offsets.tolist(), strict=True)
        )
        for length in (batch.oversized.get(i, end - start),)
    ]


def _joined(lines: list[Element], limit: int) -> Element:
    """Lines as one record, which ends before the last one's line end."""
    length = sum(line.length for line in lines)
    if length > limit:
        return Element(lines[0].text[:KEPT_BYTES], lines[0].offset, length)
    text = b"".join(line.text for line in lines).removesuffix(b"\n").removesuffix(b"\r")
    return Element(text, lines[0].offset, len(text))


def _blocks(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    """A dated line with those that follow it; lines before the first date stand alone."""
    limit = frame.max_record_bytes
    waiting: list[Element] = []
    is_dated, length = False, 0
    for batch in _lines(stream, frame):
        records: list[Element] = []
        for line in _elements(batch):
            begins = bool(DATED.match(line.text))
            if waiting and (begins or not is_dated or length > limit):
                records.append(_joined(waiting, limit))
                waiting, length, is_dated = [], 0, False
            waiting.append(line)
            length += line.length
            is_dated |= begins
        yield as_batch(records)
    yield as_batch([_joined(waiting, limit)] if waiting else [])


def _table_rows(stream: BinaryIO, frame: Frame) -> Iterator[Batch]:
    """Lines, but where a quoted cell holds line ends; of a quote that nothing closes, the lines stand alone."""
    limit = frame.max_record_bytes
    rows = row_patterns(frame.delimiter)
    waiting: list[Element] = []
    length = 0
    for batch in _lines(stream, frame):
        records: list[Element] = []
        for line in _elements(batch):
            is_whole = (rows.rest if waiting else rows.whole).fullmatch(line.text)
            waiting.append(line)
            length += line.length
            if is_whole:
                records.append(_joined(waiting, limit))
            elif length > limit:
                records += [_joined([one], limit) for one in waiting]
            else:
                continue
            waiting, length = [], 0
        yield as_batch(records)
    yield as_batch([_joined([line], limit) for line in waiting])


_CUTS: Final[dict[str, Callable[[BinaryIO, Frame], Iterator[Batch]]]] = {
    LINES: _lines,
    HEADED: _lines,
    MESSAGES: _messages,
    DOCUMENTS: _documents,
    BLOCKS: _blocks,
    TABLE_ROWS: _table_rows,
}
