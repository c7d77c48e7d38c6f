r"""Reads the lines of a byte stream in batches of whole lines with their offsets, in bounded memory.

A line ends at `\n`, or at a `\r` before the head of a record. `\r` before the end, NUL bytes at the edges and a byte
order mark at the beginning are not part of it. Of a line longer than the limit, only the beginning is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions
from etl.sources.storage.line_ends import BOM, LOOKAHEAD, returns_before_heads, without_edges

BATCH_BYTES: Final = 16 * 2**20

#: A batch reads 1/256 more than BATCH_BYTES, so that the last line of a split does not need a batch of its own;
#: measured in "What was tried" in `bench/README.md`.
_BEYOND: Final = 256

#: Most records of a batch: lines of a byte cost as much memory as others.
MOST_RECORDS: Final = 2**17

#: The raw text of an oversized record is this many bytes of its beginning.
KEPT_BYTES: Final = 1024


class Batch(NamedTuple):
    """Records in one buffer.

    Attributes:
        buffer: The bytes of the records.
        starts: Where each record begins in the buffer.
        ends: One past the last byte of each record in the buffer, without the line end.
        offsets: Where each record begins in the decompressed input; for Parquet, the row number from 0.
        oversized: Index -> full length in bytes of each record over the limit. The buffer holds only its beginning.
    """

    buffer: Bytes
    starts: Positions
    ends: Positions
    offsets: Positions
    oversized: dict[int, int]

    def part(self, first: int, end: int) -> Batch:
        """Returns the records from `first` up to `end`, with as much of the buffer as they need."""
        begin, starts, ends = self.starts[first], self.starts[first:end], self.ends[first:end]
        oversized = {i - first: length for i, length in self.oversized.items() if first <= i < end}
        offsets = self.offsets[first:end]
        return Batch(self.buffer[begin : ends[-1]], starts - begin, ends - begin, offsets, oversized)

    def texts(self) -> list[bytes]:
        """Returns the bytes of each record."""
        data = self.buffer.tobytes()
        return [data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]


class Element(NamedTuple):
    """The text of one record (its beginning, if oversized), its offset in the input, and its full length in bytes."""

    text: bytes
    offset: int
    length: int


def as_batch(elements: list[Element]) -> Batch:
    """Copies records into a batch; in the input they need not be adjacent."""
    ends = np.cumsum([len(element.text) for element in elements], dtype=np.int64)
    buffer = np.frombuffer(b"".join(element.text for element in elements), np.uint8)
    offsets = np.array([element.offset for element in elements], np.int64)
    oversized = {i: element.length for i, element in enumerate(elements) if element.length > len(element.text)}
    return Batch(buffer, np.append(0, ends)[:-1], ends, offsets, oversized)


def read_lines(stream: BinaryIO, start: int, end: int, max_record_bytes: int) -> Iterator[Batch]:
    """Yields batches of the lines that begin in [start, end) of a stream, in order.

    Args:
        stream: Must stand one byte before `start`, or at 0 if `start` is 0.
        start: Offset of the split's first byte.
        end: One past the split's last byte.
        max_record_bytes: Lines longer than this are oversized.
    """
    offset, data, place, hole = max(start - 1, 0), b"", 0, 0
    is_begun = start == 0
    beyond = BATCH_BYTES // _BEYOND
    while offset < end:
        left = end - offset - hole - len(data) + place
        block = stream.read(min(BATCH_BYTES, max(left, 0)) + beyond)
        data, place = data[place:] + block, 0
        if not is_begun:
            begin = _first_end(data, is_last=not block)
            is_begun = begin > 0
            place = begin if is_begun else max(len(data) - LOOKAHEAD - 1, 0)
            offset += place
            if not is_begun and not block:
                return
            if not is_begun:
                continue
        cut = _last_end(data, place, is_last=not block)
        beyond = BATCH_BYTES // _BEYOND if cut > place else min(2 * beyond, BATCH_BYTES)
        if cut > place:
            yield from _cut_lines(data, (place, cut), (offset, hole, end), max_record_bytes)
            offset += cut - place + hole
            place, hole = cut, 0
        elif len(data) - place > max_record_bytes and not data[place]:
            kept = data[place:].lstrip(b"\0")
            hole, data, place = hole + len(data) - place - len(kept), kept, 0
        elif len(data) - place > max_record_bytes:
            batch, data, offset = _read_past(stream, data[place:], offset, hole)
            place = hole = 0
            yield batch
        if not block:
            return


def _first_end(data: bytes, *, is_last: bool) -> int:
    """Returns the place behind the first end of a line; 0 if there is none that the data decide."""
    newline = data.find(b"\n")
    decided = newline if newline >= 0 else len(data) if is_last else max(len(data) - LOOKAHEAD - 1, 0)
    returns = returns_before_heads(data, 0, decided)
    return (returns[0] if returns else newline) + 1


def _last_end(data: bytes, place: int, *, is_last: bool) -> int:
    """Returns the place behind the last known end of a line, at or after a place; the end of the last data is one."""
    if is_last:
        return len(data)
    newline = data.rfind(b"\n", place)
    if newline >= 0:
        return newline + 1
    returns = returns_before_heads(data, place, max(len(data) - LOOKAHEAD - 1, place))
    return returns[-1] + 1 if returns else place


def _cut_lines(
    data: bytes, span: tuple[int, int], places: tuple[int, int, int], max_record_bytes: int
) -> Iterator[Batch]:
    """Yields the lines in a span of some bytes; lines that begin at the split's end or later are left out.

    Args:
        data: Some bytes of the input.
        span: Where the whole lines begin and end in them.
        places: Where the first line begins in the input, how many NUL bytes at its beginning were dropped, and one past
            the split's last byte.
        max_record_bytes: Lines longer than this are oversized.
    """
    place, cut = span
    offset, hole, end = places
    buffer = np.frombuffer(data, np.uint8, cut - place, place)
    breaks = np.flatnonzero(buffer == ord("\n"))
    returns = returns_before_heads(data, place, cut)
    if returns:
        breaks = np.sort(np.append(breaks, np.array(returns) - place))
    ends = breaks if len(breaks) and breaks[-1] == len(buffer) - 1 else np.append(breaks, len(buffer))
    for first in range(0, len(ends), MOST_RECORDS):
        begin = int(ends[first - 1]) + 1 if first else 0
        held = ends[first : first + MOST_RECORDS] - begin
        starts = np.append(0, held[:-1] + 1)
        is_mine = starts + begin + offset + hole < end
        is_mine[0] |= not first and offset < end
        if not is_mine.any():
            return
        lines = buffer[begin : begin + held[-1] + 1]
        yield _batch(lines, (starts[is_mine], held[is_mine]), begin + offset + hole, max_record_bytes)


def _batch(buffer: Bytes, bounds: tuple[Positions, Positions], offset: int, max_record_bytes: int) -> Batch:
    """Makes a batch of lines.

    Args:
        buffer: The bytes of the lines.
        bounds: Where each line begins and ends in the buffer.
        offset: Where the buffer begins in the input.
        max_record_bytes: Lines longer than this are oversized.
    """
    starts, ends = bounds
    has_return = (ends > starts) & (buffer[np.maximum(ends, 1) - 1] == ord("\r"))
    ends = ends - has_return
    _drop_edges(buffer, starts, ends)
    lengths = ends - starts
    oversized = {int(i): int(lengths[i]) for i in np.flatnonzero(lengths > max_record_bytes)}
    for i in oversized:
        ends[i] = starts[i] + KEPT_BYTES
    return Batch(buffer, starts, ends, starts + offset, oversized)


def _drop_edges(buffer: Bytes, starts: Positions, ends: Positions) -> None:
    """Moves the starts and ends of lines past what is not part of a record."""
    first, last = buffer[np.minimum(starts, len(buffer) - 1)], buffer[np.maximum(ends, 1) - 1]
    is_edged = (first == 0) | (first == BOM[0]) | (last == 0) | (last == ord("\r"))
    for i in np.flatnonzero(is_edged & (ends > starts)).tolist():
        begin, end = without_edges(buffer[starts[i] : ends[i]].tobytes())
        starts[i], ends[i] = starts[i] + begin, starts[i] + end


def _read_past(stream: BinaryIO, carried: bytes, offset: int, hole: int) -> tuple[Batch, bytes, int]:
    """Reads an oversized line to its end.

    Returns:
        A batch with that line alone, the bytes already read after it, and their offset.
    """
    length = len(carried)
    while block := stream.read(BATCH_BYTES):
        cut = _first_end(block, is_last=False)
        if cut:
            length += cut
            rest = block[cut:]
            break
        length += len(block)
    else:
        rest = b""
    kept = np.frombuffer(carried[:KEPT_BYTES], np.uint8)
    places = np.array([0]), np.array([len(kept)]), np.array([offset + hole])
    return Batch(kept, *places, {0: length}), rest, offset + hole + length


def line_text(line: bytes) -> bytes:
    """Returns the record of the line at the beginning of some bytes, without the end of the line and its edges."""
    text = line[: (_first_end(line, is_last=True) or len(line) + 1) - 1]
    return text[slice(*without_edges(text))]
