r"""Reads the lines of a byte stream in batches of whole lines with their offsets, in bounded memory.

A line ends at `\n`; one `\r` before the `\n` is not part of the line. Of a line longer than the limit, only the
beginning is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions

BATCH_BYTES: Final = 16 * 2**20

#: A batch reads 1/256 more than BATCH_BYTES, so that the last line of a split does not need a batch of its own;
#: measured in "What was tried" in `bench/README.md`.
_BEYOND: Final = 256

#: The raw text of an oversized record is this many bytes of its beginning.
KEPT_BYTES: Final = 1024

_BOM: Final = b"\xef\xbb\xbf"


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
    offset, data, place = max(start - 1, 0), b"", 0
    is_begun = False
    while offset < end:
        left = end - offset - len(data) + place
        block = stream.read(min(BATCH_BYTES, max(left, 0)) + BATCH_BYTES // _BEYOND)
        if not block:
            if place < len(data):
                yield _batch(data[place:], offset, end, max_record_bytes)
            return
        data, place = data[place:] + block, 0
        if not is_begun:
            place = data.find(b"\n") + 1 if start > 0 else len(_BOM) * data.startswith(_BOM)
            is_begun = place > 0 or start == 0
            place = place if is_begun else len(data)
            offset += place
        cut = data.rfind(b"\n", place) + 1
        if cut:
            yield _batch(memoryview(data)[place:cut], offset, end, max_record_bytes)
            offset += cut - place
            place = cut
        elif len(data) - place > max_record_bytes:
            batch, data, offset = _read_past(stream, data[place:], offset)
            place = 0
            yield batch


def _batch(data: bytes | memoryview, offset: int, end: int, max_record_bytes: int) -> Batch:
    """Makes a batch of the lines in some bytes at an offset; lines that begin at `end` or later are left out."""
    buffer = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(buffer == ord("\n"))
    ends = newlines if buffer[-1] == ord("\n") else np.append(newlines, len(buffer))
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    is_mine = starts + offset < end
    starts, ends = starts[is_mine], ends[is_mine]
    has_return = (ends > starts) & (buffer[np.maximum(ends, 1) - 1] == ord("\r"))
    ends = ends - has_return
    lengths = ends - starts
    oversized = {int(i): int(lengths[i]) for i in np.flatnonzero(lengths > max_record_bytes)}
    for i in oversized:
        ends[i] = starts[i] + KEPT_BYTES
    return Batch(buffer, starts, ends, starts + offset, oversized)


def _read_past(stream: BinaryIO, carried: bytes, offset: int) -> tuple[Batch, bytes, int]:
    """Reads an oversized line to its end.

    Returns:
        A batch with that line alone, the bytes already read after it, and their offset.
    """
    length = len(carried)
    while block := stream.read(BATCH_BYTES):
        cut = block.find(b"\n")
        if cut >= 0:
            length += cut + 1
            rest = block[cut + 1 :]
            break
        length += len(block)
    else:
        rest = b""
    kept = np.frombuffer(carried[:KEPT_BYTES], np.uint8)
    places = np.array([0]), np.array([len(kept)]), np.array([offset])
    return Batch(kept, *places, {0: length}), rest, offset + length
