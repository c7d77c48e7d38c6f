r"""Lines of a byte stream: batches of whole lines with their places, in bounded memory.

Lines end at `\n` only; one `\r` before it is no part of the line. A line longer than the limit is read past and kept
as its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions

BATCH_BYTES: Final = 16 * 2**20

#: A batch reads on by one part in so many, so that the last line of a split makes no batch of its own.
_BEYOND: Final = 256

#: How much of an oversized record is kept as its raw text.
KEPT_BYTES: Final = 1024

_BOM: Final = b"\xef\xbb\xbf"


class Batch(NamedTuple):
    """Some lines, one after another.

    Attributes:
        buffer: Their bytes.
        starts: Where each line begins in the buffer.
        ends: One past its last byte, without the line's end.
        offsets: Where each line begins in the decompressed input.
        oversized: Index -> bytes of lines over the limit, of which the buffer holds the beginning.
    """

    buffer: Bytes
    starts: Positions
    ends: Positions
    offsets: Positions
    oversized: dict[int, int]

    def texts(self) -> list[bytes]:
        """The records' bytes, one by one."""
        data = self.buffer.tobytes()
        return [data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]


class Element(NamedTuple):
    """One record's text without blanks around it (its beginning, if oversized), its place and its whole length."""

    text: bytes
    offset: int
    length: int


def as_batch(elements: list[Element]) -> Batch:
    """Records that are not one after another in the input, as a batch of their own bytes."""
    ends = np.cumsum([len(element.text) for element in elements], dtype=np.int64)
    buffer = np.frombuffer(b"".join(element.text for element in elements), np.uint8)
    offsets = np.array([element.offset for element in elements], np.int64)
    oversized = {i: element.length for i, element in enumerate(elements) if element.length > len(element.text)}
    return Batch(buffer, np.append(0, ends)[:-1], ends, offsets, oversized)


def read_lines(stream: BinaryIO, start: int, end: int, max_record_bytes: int) -> Iterator[Batch]:
    """The lines that begin in [start, end) of a stream, in order.

    Args:
        stream: Stands at `start`, or one byte before it where that is not 0.
        start: First byte of the split.
        end: One past its last byte.
        max_record_bytes: Longer lines are oversized.
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
    """An oversized line as a batch of its own, and what follows it."""
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
